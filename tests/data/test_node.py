import pytest
import torch
from torch_geometric.utils import is_undirected

SPLITS = {
    "Cora": (1, (140, 500, 1000)),
    "CiteSeer": (1, (120, 500, 1000)),
    "Cora-geom-gcn": (10, (1192, 796, 497)),
    "CiteSeer-geom-gcn": (10, (1596, 1065, 666)),
    "Texas": (10, (87, 59, 37)),
    "Cornell": (10, (87, 59, 37)),
    "Wisconsin": (10, (120, 80, 51)),
    "Actor": (10, (3648, 2432, 1520)),
    "Minesweeper": (10, (5000, 2500, 2500)),
}


def sizes(data):
    return tuple(int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test"))


@pytest.mark.parametrize("name", SPLITS)
def test_splits_have_their_published_size(real, name):
    bench = real(name)
    assert (bench.num_splits, sizes(bench.train[0])) == SPLITS[name]


@pytest.mark.slow
def test_tolokers_has_its_published_split(real):
    assert sizes(real("Tolokers").train[0]) == (5879, 2939, 2940)


@pytest.mark.parametrize("name", ["Texas", "Minesweeper", "Chameleon", "Cora-geom-gcn"])
def test_splits_differ_and_the_graph_does_not(real, name):
    first, last = real(name).train[0], real(name, split=9).train[0]
    assert not torch.equal(first.train_mask, last.train_mask)
    assert torch.equal(first.edge_index, last.edge_index) and torch.equal(first.y, last.y)


@pytest.mark.parametrize("name", ["Cornell", "Actor"])
def test_links_go_both_ways_on_demand(real, name):
    directed, undirected = real(name).train[0], real(name, undirected=True).train[0]
    assert not is_undirected(directed.edge_index) and is_undirected(undirected.edge_index)
    pairs = {tuple(sorted(pair)) for pair in directed.edge_index.t().tolist()}
    assert {tuple(sorted(pair)) for pair in undirected.edge_index.t().tolist()} == pairs


@pytest.mark.parametrize("name", ["Chameleon", "Squirrel"])
def test_filtered_pages_are_undirected_and_fewer(real, name):
    data = real(name).train[0]
    assert is_undirected(data.edge_index) and data.num_nodes == {"Chameleon": 890, "Squirrel": 2223}[name]


def test_a_spoilt_pickle_is_never_read(tmp_path, mirror, monkeypatch):
    from graphseq.data import load

    load("Cora", root=tmp_path, mirror=mirror)
    (tmp_path / "planetoid/Cora/processed/data.pt").unlink()
    (tmp_path / "planetoid/Cora/raw/ind.cora.allx").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    monkeypatch.setattr("pickle.load", lambda *_: pytest.fail("an unchecked pickle was opened"))
    with pytest.raises(ValueError, match=r"ind\.cora\.allx must have SHA-256"):
        load("Cora", root=tmp_path, mirror=mirror)
