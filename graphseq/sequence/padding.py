"""Between packed segments and a padded batch, for what needs the segments side by side."""

from __future__ import annotations

from jaxtyping import Shaped
from torch import Tensor

from graphseq.scan import Ragged


def pad(x: Shaped[Tensor, "tokens *channels"], topology: Ragged) -> Shaped[Tensor, "segments length *channels"]:
    """Each segment in scan direction in a row of its own, zero beyond its end."""
    longest = topology.longest
    rows = x.new_zeros(topology.num_segments, longest, *x.shape[1:])
    return rows.index_put((topology.segment, topology.position), x)


def unpad(x: Shaped[Tensor, "segments length *channels"], topology: Ragged) -> Shaped[Tensor, "tokens *channels"]:
    """Inverse of :func:`pad`; what lies beyond a segment's end is dropped."""
    return x[topology.segment, topology.position]
