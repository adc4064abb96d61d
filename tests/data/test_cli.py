import pytest

from graphseq.data import names
from graphseq.data.cli import COMMANDS
from graphseq.data.series import series_names


def test_the_list_has_every_set_with_licence_and_state(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GRAPHSEQ_MIRROR", raising=False)
    COMMANDS["list"](root=str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[-1] for line in lines[1:]}
    assert tuple(states) == (*names(), *series_names())
    assert (states["ring-transfer"], states["Cora"], states["MUTAG"]) == ("generated", "online", "missing")
    assert states["ETTm1"] == "online"


def test_get_then_verify_then_damage(tmp_path, mirror, capsys):
    COMMANDS["get"]("MUTAG,Texas", root=str(tmp_path), mirror=mirror)
    assert "MUTAG: train 153, val 17, test 18" in capsys.readouterr().out
    COMMANDS["verify"](root=str(tmp_path))
    assert capsys.readouterr().out.splitlines() == ["MUTAG: 2 files as stated", "Texas: 12 files as stated"]
    (tmp_path / "tu/MUTAG.zip").write_bytes(b"spoilt")
    (tmp_path / "webkb/texas/raw/out1_graph_edges.txt").unlink()
    with pytest.raises(SystemExit, match=r"MUTAG\.zip must have SHA-256(.|\n)*out1_graph_edges\.txt is missing"):
        COMMANDS["verify"](["MUTAG", "Texas"], root=str(tmp_path))


def test_series_are_fetched_and_held_to_their_checksums(tmp_path, mirror, capsys):
    COMMANDS["get"]("ETTh1", root=str(tmp_path), mirror=mirror)
    assert "ETTh1: 17420 rows, 7 variates; licence: CC BY-ND 4.0" in capsys.readouterr().out
    COMMANDS["verify"](root=str(tmp_path))
    assert capsys.readouterr().out.splitlines() == ["ETTh1: 1 files as stated"]
    (table,) = (tmp_path / "series").rglob("ETTh1*")
    table.write_bytes(b"spoilt")
    with pytest.raises(SystemExit, match=r"ETTh1.* must have SHA-256"):
        COMMANDS["verify"](root=str(tmp_path))


def test_a_name_of_neither_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"known data set or series \(did you mean 'Exchange'\?\), got 'Exchang'"):
        COMMANDS["get"]("Exchang")


def test_the_list_tells_mirror_from_root(root, real, mirror, capsys):
    real("MUTAG")
    COMMANDS["list"](root=str(root), mirror=mirror)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["MUTAG"].endswith("present")
    assert lines["DD"].endswith(("in mirror", "present"))
