"""Events from tensors, tables and files; what is wrong with them is said."""

import gzip
import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from graphseq.data import events_from_table, load_events, read_konect, read_wiki_rfa, signed_events

A, B = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
T, S = torch.tensor([1.0, 2.0, 2.0]), torch.tensor([1, -1, 1])


def test_both_ways_to_write_signs_mean_the_same():
    assert torch.equal(signed_events(A, B, T, S).y, signed_events(A, B, T, (S + 1) // 2).y)


def test_sorting_keeps_the_order_of_ties():
    t = torch.tensor([5.0, 1.0, 5.0, 1.0])
    src = torch.arange(4)
    events = signed_events(src, src.flip(0), t, torch.ones(4), sort=True)
    assert events.src.tolist() == [1, 3, 0, 2] and events.t.tolist() == [1, 1, 5, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": torch.tensor([1.0, 3.0, 2.0])}, r"t must be in ascending order .*got 2.0 after 3.0 at event 2"),
        ({"t": torch.tensor([1.0, torch.nan, 2.0])}, r"t must be finite, got nan at event 1"),
        ({"sign": torch.tensor([1, 0, -1])}, r"sign must be all in \{-1, \+1\} or all in \{0, 1\}, got \[-1, 0, 1\]"),
        ({"sign": torch.tensor([1, 2, 1])}, r"sign must be all in .*got \[1, 2\]"),
        ({"src": torch.tensor([0, 1, 9])}, r"src must hold nodes in 0\.\.2, got values from 0 to 9"),
        ({"dst": torch.tensor([0, -1, 1])}, r"dst must hold nodes in 0\.\.2, got values from -1 to 1"),
        ({"dst": torch.tensor([0, 1])}, r"src, dst, t and sign must have one entry for each event"),
    ],
)
def test_wrong_events_are_refused(unchecked, change, message):
    with pytest.raises(ValueError, match=message):
        signed_events(**{"src": A, "dst": B, "t": T, "sign": S, "num_nodes": 3, **change})


def test_a_table_of_names_and_dates_becomes_a_stream():
    table = pd.DataFrame(
        {
            "rater": ["eve", "ann", "bob"],
            "rated": ["ann", "bob", "eve"],
            "when": pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-03"]),
            "rating": [-3, 10, 1],
        }
    )
    stream = events_from_table(table, src="rater", dst="rated", t="when", sign="rating", sort=True)
    assert stream.users.tolist() == ["ann", "bob", "eve"]
    assert stream.events.src.tolist() == [0, 2, 1] and stream.events.y.tolist() == [1, -1, 1]
    assert stream.events.t.diff().tolist() == [86400, 86400]
    assert stream.events.msg.flatten().tolist() == [10, 3, 1]
    with pytest.raises(ValueError, match="got none called 'score'"):
        events_from_table(table, src="rater", dst="rated", t="when", sign="score")


PUBLISHED = {
    "Bitcoin-OTC": (35592, 5881, 3563, 1289241911.72836, 1453684323.75728, 35592),
    "Bitcoin-Alpha": (24186, 3783, 1536, 1289192400, 1453438800, 1647),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_trust_networks_have_their_published_sizes(name, root, mirror):
    events, users = load_events(name, root, mirror)
    found = (len(events.t), len(users), int((events.y < 0).sum()), *events.t[[0, -1]].tolist(), len(events.t.unique()))
    assert found == PUBLISHED[name]
    assert set(events.msg.unique().tolist()) == set(range(1, 11))


def test_votes_are_read_in_time_order_without_neutral_and_undated_ones(tmp_path):
    vote = "SRC:{}\nTGT:{}\nVOT:{}\nRES:1\nYEA:2013\nDAT:{}\nTXT:words: with a colon\n\n"
    text = (
        vote.format("ann", "eve", -1, "23:13, 19 April 2013")
        + vote.format("bob", "eve", 0, "23:14, 19 April 2013")
        + vote.format("", "eve", 1, "23:14, 19 April 2013")
        + vote.format("bob", "ann", 1, "")
        + vote.format("bob", "ann", 1, "01:00, 2 Jan 2009")
    )
    path = tmp_path / "wiki-RfA.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    events, users = read_wiki_rfa(path)
    assert users.tolist() == ["ann", "bob", "eve"]
    assert (events.src.tolist(), events.dst.tolist(), events.y.tolist()) == ([1, 0], [0, 2], [1, -1])


def test_konect_is_read_from_its_archive_and_from_the_file_in_it(tmp_path):
    (tmp_path / "out.epinions").write_text("% asym signed\n% 3\n7 9 -1 20\n3 7 0 15\n9 3 1 10\n")
    with tarfile.open(tmp_path / "download.tsv.epinions.tar.bz2", "w:bz2") as archive:
        archive.add(tmp_path / "out.epinions", "epinions/out.epinions")
    for name in ("out.epinions", "download.tsv.epinions.tar.bz2"):
        events, users = read_konect(tmp_path / name)
        np.testing.assert_array_equal(users, [3, 7, 9])
        assert (events.src.tolist(), events.dst.tolist(), events.y.tolist()) == ([2, 1], [0, 2], [1, -1])


VOTE = b"SRC:ann\nTGT:eve\nVOT:-1\nRES:1\nYEA:2013\nDAT:23:13, 19 April 2013\nTXT:no\n\n"


@pytest.mark.parametrize("source", ["mirror", "address"])
def test_a_network_without_known_checksum_comes_with_a_warning_that_states_its_own(source, tmp_path, monkeypatch):
    monkeypatch.delenv("GRAPHSEQ_MIRROR", raising=False)
    content, asked = gzip.compress(VOTE, mtime=0), []
    folder = tmp_path / "mirror" / "signed"
    folder.mkdir(parents=True)
    if source == "mirror":
        (folder / "wiki-RfA.txt.gz").write_bytes(content)

    def download(url, folder, filename):
        asked.append(url)
        (Path(folder) / filename).write_bytes(content)

    monkeypatch.setattr("graphseq.data.mirror.download_url", download)
    with pytest.warns(UserWarning, match=f"no checksum is known .* {hashlib.sha256(content).hexdigest()}"):
        events, users = load_events("wiki-RfA", tmp_path / "root", folder.parent)
    assert users.tolist() == ["ann", "eve"] and events.y.tolist() == [-1]
    assert asked == ([] if source == "mirror" else ["https://snap.stanford.edu/data/wiki-RfA.txt.gz"])
    # Once there, it is read in silence.
    assert len(load_events("wiki-RfA", tmp_path / "root").users) == 2


def test_a_network_that_cannot_be_fetched_is_one_clear_error(tmp_path, monkeypatch):
    def offline(url, folder, filename):
        raise OSError("no route")

    monkeypatch.setattr("graphseq.data.mirror.download_url", offline)
    with pytest.raises(FileNotFoundError, match=r"epinions\.tar\.bz2 could not be .* http://konect.cc/.*no route"):
        load_events("Epinions", tmp_path / "root", tmp_path)
