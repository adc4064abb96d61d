import pytest
import torch
from torch_geometric.transforms import AddRandomWalkPE

from graphseq.data import load
from graphseq.data.catalogue import data_root


def test_an_unknown_option_proposes_the_nearest():
    with pytest.raises(TypeError, match=r"ring-transfer has no option 'num_node'.*did you mean 'num_nodes'"):
        load("ring-transfer", num_node=10)
    with pytest.raises(TypeError, match=r"MUTAG has no option 'undirected'.*no options"):
        load("MUTAG", undirected=True)


@pytest.mark.parametrize("split", [-1, 10])
def test_a_split_that_does_not_exist_is_refused(split):
    with pytest.raises(ValueError, match=rf"split must be in 0\.\.9 for MUTAG, got {split}"):
        load("MUTAG", split=split)


def test_generated_data_writes_nothing(tmp_path):
    load("ring-transfer", root=tmp_path / "none", num_train=5, num_val=5, num_test=5)
    assert not (tmp_path / "none").exists()


def test_a_transform_is_applied_on_access_and_counted_in_the_width():
    def widen(data):
        data.x = torch.cat([data.x, data.x], dim=1)
        return data

    bench = load("ring-transfer", transform=widen, num_train=5)
    assert bench.in_channels == 10 and bench.train[0].x.shape[1] == 10


def test_a_pre_transform_reaches_every_part():
    bench = load("ring-transfer", pre_transform=AddRandomWalkPE(4, attr_name="walk"), num_train=5)
    assert all(part[0].walk.shape == (20, 4) for part in (bench.train, bench.val, bench.test))


def test_the_environment_names_the_root(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHSEQ_DATA", str(tmp_path))
    assert data_root() == tmp_path and str(data_root("here")) == "here"


def test_a_kept_pre_transform_does_not_mix_up_splits_or_options(real):
    keep = {"pre_transform": AddRandomWalkPE(2, attr_name="walk")}
    first, other = real("Texas", **keep).train[0], real("Texas", split=1, **keep).train[0]
    undirected = real("Texas", undirected=True, **keep).train[0]
    assert torch.equal(first.walk, other.walk) and not torch.equal(first.train_mask, other.train_mask)
    assert undirected.num_edges > first.num_edges
