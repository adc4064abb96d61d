import pickle

import pytest
import torch
from torch_geometric.data import Data

from graphseq.data import trusted_pyg_classes


class Stranger:
    pass


def test_graphs_are_read_and_strangers_are_not(tmp_path):
    torch.save(Data(x=torch.ones(2, 1)), tmp_path / "graph.pt")
    torch.save(Stranger(), tmp_path / "stranger.pt")
    with trusted_pyg_classes():
        assert torch.load(tmp_path / "graph.pt", weights_only=True).num_nodes == 2
        with pytest.raises(pickle.UnpicklingError):
            torch.load(tmp_path / "stranger.pt", weights_only=True)


def test_what_pyg_has_allowed_for_good_stays_allowed():
    with trusted_pyg_classes(), trusted_pyg_classes():
        pass
    assert Data in torch.serialization.get_safe_globals()


def test_what_nobody_else_has_allowed_is_withdrawn():
    before = set(torch.serialization.get_safe_globals())
    with trusted_pyg_classes():
        assert set(torch.serialization.get_safe_globals()) > before
    assert set(torch.serialization.get_safe_globals()) == before
