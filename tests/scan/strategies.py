"""Random ragged batches for property tests."""

import torch
from hypothesis import strategies as st

from graphseq.scan import Ragged

lengths = st.lists(st.integers(0, 12), max_size=6) | st.lists(st.integers(40, 90), min_size=1, max_size=2)


@st.composite
def topologies(draw):
    sizes = draw(lengths)
    topology = Ragged(torch.tensor([0, *sizes]).cumsum(0))
    return topology.reverse() if draw(st.booleans()) else topology
