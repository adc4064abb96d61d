import io
import os
import subprocess
import sys

import pandas
import pytest
import torch

SIZES = {
    "molbace": (1210, 151, 152),
    "molbbbp": (1631, 204, 204),
    "molesol": (902, 113, 113),
    "molfreesolv": (513, 64, 65),
    "mollipo": (3360, 420, 420),
    "molclintox": (1181, 148, 148),
    "molsider": (1141, 143, 143),
    "moltox21": (6264, 783, 784),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_scaffold_split_has_its_published_size(real, name):
    bench = real(f"ogbg-{name}")
    assert (len(bench.train), len(bench.val), len(bench.test)) == SIZES[name]


@pytest.mark.slow
def test_molhiv_has_its_published_split_and_positives(real):
    bench = real("ogbg-molhiv")
    assert (len(bench.train), len(bench.val), len(bench.test)) == (32901, 4113, 4113)
    positives = [int(sum(data.y.item() for data in part)) for part in (bench.train, bench.val, bench.test)]
    assert positives == [1232, 81, 130]


def test_labels_are_those_of_the_raw_file(real, root):
    bench = real("ogbg-molesol")
    raw = pandas.read_csv(root / "ogb/ogbg_molesol/raw/graph-label.csv.gz", header=None)[0]
    index = list(bench.val.indices())
    assert [data.y.item() for data in bench.val] == pytest.approx(raw[index].tolist(), rel=1e-6)


def test_missing_labels_are_nan(real):
    assert int(real("ogbg-moltox21").train._data.y.isnan().sum()) == 16_026


def test_molecules_without_a_bond_keep_the_shape_of_their_edges(real):
    data = real("ogbg-molsider").train._data
    assert data.edge_attr.shape[1] == 3
    graphs = [graph for part in ("train", "val", "test") for graph in getattr(real("ogbg-molsider"), part)]
    bare = [graph for graph in graphs if graph.num_edges == 0]
    assert len(bare) == 31 and all(graph.edge_index.shape == (2, 0) for graph in bare)


def test_loading_asks_nothing_warns_of_nothing_and_stays_off_the_network(tmp_path, mirror):
    program = (
        "import socket, sys, warnings; warnings.simplefilter('error', UserWarning)\n"
        "def refuse(*_): print('NETWORK', flush=True); raise OSError\n"
        "socket.getaddrinfo = refuse\n"
        "from graphseq.data import load\n"
        "load('ogbg-molfreesolv', root=sys.argv[1]); load('ogbg-molfreesolv', root=sys.argv[1])\n"
        "import ogb.version; assert ogb.version.check_outdated is None"
    )
    environment = {**os.environ, "GRAPHSEQ_MIRROR": mirror, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "" and "Warning" not in run.stderr


def test_a_folder_that_ogb_would_prefer_is_refused(tmp_path, mirror):
    from graphseq.data import load

    (tmp_path / "ogb" / "ogbg_molesol_pyg").mkdir(parents=True)
    with pytest.raises(ValueError, match="ogbg_molesol_pyg, which ogb reads instead"):
        load("ogbg-molesol", root=tmp_path, mirror=mirror)


def test_the_list_of_trusted_classes_is_not_widened(real):
    before = set(torch.serialization.get_safe_globals())
    real("ogbg-molesol")
    assert set(torch.serialization.get_safe_globals()) == before


def test_progress_stays_off_stdout(tmp_path, mirror, monkeypatch):
    from graphseq.data import load

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    load("ogbg-molfreesolv", root=tmp_path, mirror=mirror)
    assert sys.stdout.getvalue() == ""
