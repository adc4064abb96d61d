"""Tables and files of events: every line is taken, left out as stated, or refused by name."""

import gzip
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import TemporalData

from graphseq.data import (
    SignedNetwork,
    WeightTask,
    draw_negatives,
    events_from_table,
    read_bitcoin,
    read_konect,
    read_wiki_rfa,
    signed_benchmark,
    signed_events,
)

RATINGS = {"src": ["ann", "bob", "eve"], "dst": ["bob", "eve", "ann"], "t": [10, 20, 30], "sign": [8, -10, 3]}
ENDS = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"src": ["ann", None, "eve"]}, "table must name a user in every row of column 'src', got None in row 1"),
        ({"dst": ["ann", " ", "eve"]}, "in every row of column 'dst', got ' ' in row 1"),
        ({"src": np.array([1.0, np.nan, 2]), "dst": [1, 2, 3]}, "column 'src', got nan in row 1"),
        ({"src": [1.5, 2.5, 3.5]}, r"users of one kind in 'src' and 'dst', got \['number', 'text'\]"),
        ({"dst": ["bob", "eve"]}, "columns of one length, got 'src' 3, 'dst' 2, 't' 3, 'sign' 3"),
        ({"src": ["ann", "bob"], "dst": ["a", "b", "c", "d"]}, "columns of one length, got 'src' 2, 'dst' 4"),
        ({"sign": [1, "-", -1]}, "table must hold numbers in column 'sign', got '-' in row 1"),
        ({"sign": ["1", "−1", "1"]}, "table must hold numbers in column 'sign', got '−1' in row 1"),
        ({"sign": [8, None, -10]}, "table must hold a number in every row of column 'sign', got None in row 1"),
        ({"sign": [8, np.inf, -10]}, "in every row of column 'sign', got inf in row 1"),
        ({"sign": ["1,5", "2", "3"]}, "in column 'sign', got '1,5' in row 0"),
        ({"strength": [1.0, np.nan, 2.0]}, "in every row of column 'strength', got nan in row 1"),
        ({"strength": [1.0, "x", 2.0]}, "in column 'strength', got 'x' in row 1"),
        ({"strength": [1.0, 1e39, 2.0]}, r"strength must be within torch.float32, got up to 1e\+39"),
        ({"t": ["01/02/2024", "02/02/2024", "03/02/2024"]}, "year first, .*got '01/02/2024' in row 0 of column 't'"),
        ({"t": ["2024-01-01", "soon", "2024-01-03"]}, "got 'soon' in row 1 of column 't'"),
        ({"t": [10, None, 30]}, "t must be finite, got nan at event 1"),
        ({"t": [10, 2**53, 2**53 + 1]}, "got the integer 9007199254740993 in row 2"),
        ({"t": np.array([1, 2, 3], dtype="datetime64[ns]")}, "at least a microsecond apart in column 't'"),
        ({"src": np.ones((3, 2), int), "dst": [1, 2, 3]}, r"one column 'src' .* got shape \[3, 2\]"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(change, message):
    strength = "strength" if "strength" in change else None
    with pytest.raises(ValueError, match=message):
        events_from_table(RATINGS | change, strength=strength)


def test_no_two_users_become_one():
    big = 2**53
    for src, dst in (
        (np.array([big, big + 1, 5]), np.array([1, 2, 3], dtype=np.uint64)),
        (np.array([big + 1, big], dtype=np.int64), np.array([-1, 2**63], dtype=object)),
        ([big, big + 1], ["ann", "bob"]),
    ):
        number = len(src)
        stream = events_from_table({"src": src, "dst": dst, "t": range(number), "sign": [1] * number})
        assert len(stream.users) == len({*map(str, src), *map(str, dst)})
        assert [str(stream.users[node]) for node in stream.events.src] == [str(user) for user in src]
    with pytest.raises(ValueError, match="exactly in column 'src', got the integer 9007199254740993"):
        events_from_table({"src": [big + 1], "dst": [0.5], "t": [0], "sign": [1]})


def test_whole_numbers_and_texts_of_the_same_users_meet():
    stream = events_from_table(RATINGS | {"src": [1, 2, 3], "dst": ["2", "x", "1"]})
    assert stream.users.tolist() == ["1", "2", "3", "x"]
    assert stream.events.src.tolist() == [0, 1, 2] and stream.events.dst.tolist() == [1, 3, 0]


BERLIN = pd.date_range("2024-10-27 00:30", periods=4, freq="h", tz="Europe/Berlin")
SECONDS = [1729981800.0 + 3600 * hour for hour in range(4)]


@pytest.mark.parametrize(
    "times",
    [
        BERLIN,
        list(BERLIN.to_pydatetime()),
        [stamp.isoformat() for stamp in BERLIN],
        BERLIN.tz_convert("UTC").tz_localize(None),
        BERLIN.tz_convert("UTC").strftime("%Y-%m-%d %H:%M"),
        SECONDS,
        [str(second) for second in SECONDS],
        np.array(SECONDS).astype(np.int32),
        pd.array(SECONDS, dtype="Float64"),
    ],
)
def test_times_in_any_dress_are_seconds_in_utc(times):
    """Over the hour that the end of summer time repeats."""
    table = pd.DataFrame({"src": [0, 1, 2, 0], "dst": [1, 2, 0, 2], "sign": [1, -1, 1, 1], "t": times})
    assert events_from_table(table).events.t.tolist() == SECONDS


def test_times_of_a_clock_or_in_another_order_are_read_when_told():
    table = {"src": [0, 1, 2, 0], "dst": [1, 2, 0, 2], "sign": [1, -1, 1, 1]}
    clock = BERLIN.tz_localize(None)
    assert events_from_table({**table, "t": clock}, zone="Europe/Berlin").events.t.tolist() == SECONDS
    written = clock.strftime("%d/%m/%Y %H.%M")
    stream = events_from_table({**table, "t": written}, zone="Europe/Berlin", time_format="%d/%m/%Y %H.%M")
    assert stream.events.t.tolist() == SECONDS
    offset = timezone(timedelta(hours=2))
    days = [datetime(2024, 1, day, tzinfo=offset) for day in range(1, 5)]
    assert events_from_table({**table, "t": days}).events.t[0].item() == days[0].timestamp()


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (torch.tensor([1.7e9, 1.7e9, 1.8e9]), r"float64 or int64 for times up to 1.8e\+09, got torch.float32"),
        (torch.tensor([1.0, 2.0, 3000.0], dtype=torch.bfloat16), "got torch.bfloat16, which does not hold every whole"),
        (torch.tensor([0, 2**53, 2**53 + 1]), "t must be exact in float64, got 9007199254740993 at event 2"),
    ],
)
def test_times_that_lose_seconds_are_refused(t, message):
    with pytest.raises(ValueError, match=message):
        signed_events(*ENDS, t, torch.ones(3))


def test_exact_times_of_any_type_are_taken():
    for t in (torch.tensor([0.5, 1.0, 2.0**24]), torch.tensor([1, 2, 2**31 - 1], dtype=torch.int32)):
        assert signed_events(*ENDS, t, torch.ones(3)).t.tolist() == t.tolist()


def test_signs_may_be_truth_values_or_bytes():
    for kind in (torch.bool, torch.uint8, torch.int8):
        sign = torch.tensor([1, 0, 1], dtype=kind)
        assert signed_events(*ENDS, torch.arange(3), sign).y.tolist() == [1, -1, 1]


@pytest.mark.parametrize("shape", [(2, 3), (6,), (3, 1, 2), ()])
def test_strengths_are_one_row_an_event(shape):
    with pytest.raises(ValueError, match=r"strength must have shape \[3\] or \[3, channels\], got"):
        signed_events(*ENDS, torch.arange(3), torch.ones(3), torch.ones(shape))
    assert signed_events(*ENDS, torch.arange(3), torch.ones(3), torch.ones(3, 2)).msg.shape == (3, 2)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ids_of_a_file_are_exact(tmp_path, mark):
    path = tmp_path / "ratings.csv"
    path.write_text(f"{mark}9007199254740993,9007199254740992,10,1.5\n\n9007199254740992,7,-3,0.5\n", encoding="utf-8")
    events, users = read_bitcoin(path)
    assert users.tolist() == [7, 2**53, 2**53 + 1]
    assert events.src.tolist() == [1, 2] and events.msg.flatten().tolist() == [3, 10]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target,rating,time\n1,2,3,4\n", "must hold source, target, rating and time as numbers in each line"),
        ("1,2,3\n", "must have the columns source, target, rating and time, got 3"),
        ("1,2,3,4,5\n", "must have the columns source, target, rating and time, got 5"),
        ("1,2,3,4\n1,2,3\n", "ratings.csv must hold source, target, rating and time"),
        ("1,2,3,4\n1,2,3,4,5\n", "ratings.csv must hold source, target, rating and time"),
        ("1.5,2,3,4\n", "ids as whole ones: .*1.5"),
        ("1,2,-,4\n", "as numbers in each line, .*'-'"),
        ("1,2,,4\n", "as numbers in each line"),
        ("1,2,3#4,5\n", "as numbers in each line, .*'3#4'"),
        ("1,2,nan,4\n", "every row of column 'sign', got nan in row 0"),
        ("1,2,3,inf\n", "t must be finite, got inf"),
        ("\n", "must have the columns source, target, rating and time, got no line"),
    ],
)
def test_a_line_that_is_no_rating_is_refused(tmp_path, text, message):
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_bitcoin(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("% asym\n1 2 1\n", "must have the columns source, target, weight and time, got 3"),
        ("% asym\n1 2 1 5\n1 2 x 5\n", "must hold source, target, weight and time as numbers in each line"),
        ("% asym\n1 2.5 1 5\n", "ids as whole ones"),
        ("% asym\n", "got no line"),
    ],
)
def test_a_line_that_is_no_link_is_refused(tmp_path, text, message):
    path = tmp_path / "out.mine"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_konect(path)


def _vote(src, tgt, vot, dat):
    return f"SRC:{src}\nTGT:{tgt}\nVOT:{vot}\nRES:1\nYEA:2013\nDAT:{dat}\nTXT:no\n"


DATE = "23:13, 19 April 2013"


def _votes(folder, text):
    path = folder / "votes.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_votes_without_a_blank_line_between_are_all_there(tmp_path):
    path = _votes(tmp_path, "\ufeff" + _vote("ann", "eve", 1, DATE) + _vote("bob", "eve", -1, DATE))
    events, users = read_wiki_rfa(path)
    assert users.tolist() == ["ann", "bob", "eve"] and events.y.tolist() == [1, -1]


def test_dates_that_cannot_be_read_are_counted(tmp_path):
    votes = [_vote("ann", "eve", 1, DATE), _vote("bob", "eve", 1, "yesterday"), _vote("eve", "bob", 1, "2013-04-19")]
    path = _votes(tmp_path, "\n".join(votes))
    with pytest.warns(UserWarning, match="2 votes are left out, as their date cannot be read: 'yesterday'"):
        events, _ = read_wiki_rfa(path)
    assert len(events.y) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_vote("ann", "eve", 2, DATE), "must hold votes of 1, 0 or -1, got '2' of 'ann'"),
        (_vote("ann", "eve", "+1", DATE), "got '\\+1' of 'ann'"),
        ("ann,eve,1,2013\n", "must hold votes in lines that begin with SRC:, TGT:, VOT: and DAT:, got none"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_wiki_rfa(_votes(tmp_path, text))


def test_drawn_pairs_do_not_depend_on_the_size_of_ids():
    events = SignedNetwork(num_nodes=40, num_events=300, duration=100).events
    # Squares of such ids, times the number of times, are beyond 64 bits.
    spread = torch.cumsum(torch.randint(1, 2**40, (40,), generator=torch.Generator().manual_seed(0)), 0)
    far = signed_events(spread[events.src], spread[events.dst], events.t, events.y)
    near = draw_negatives(events, 4)
    drawn = draw_negatives(far, 4)
    # For an event without a past, any number below the largest id serves.
    known = torch.isin(drawn, spread)
    assert known.double().mean() > 0.9 and torch.equal(drawn[known], spread[near][known])
    pairs = {tuple(pair) for pair in torch.stack([events.src, events.dst, events.t.long()], 1).tolist()}
    asked = torch.stack([events.src[:, None].expand_as(near), near, events.t.long()[:, None].expand_as(near)], -1)
    assert not pairs & {tuple(pair) for pair in asked.flatten(0, 1).tolist()}


def test_a_network_whose_times_would_overflow_is_refused():
    with pytest.raises(ValueError, match=r"num_nodes times duration must be below 2\*\*63, got 200 and"):
        SignedNetwork(duration=10**17)


def test_events_that_were_made_elsewhere_are_checked_and_put_in_form():
    made = {
        "src": torch.arange(20) % 3,
        "dst": torch.arange(20) % 3 + 1,
        "t": torch.arange(20),
        "y": torch.arange(20) % 2,
    }
    events = TemporalData(**made, msg=torch.full((20, 1), 3.0))
    bench = signed_benchmark(events, WeightTask())
    assert bench.train[0].edge_label[:2].tolist() == [[-3], [3]] and bench.train[0].event_t.dtype == torch.float64
    events.note = torch.zeros(20)
    with pytest.warns(UserWarning, match="events have note, which no task reads: they are left out"):
        signed_benchmark(events)
    with pytest.raises(ValueError, match=r"sign must be all in .* got \[0, 1, 2\]"):
        signed_benchmark(TemporalData(**made | {"y": torch.arange(20) % 3}, msg=torch.ones(20, 1)))
    with pytest.raises(ValueError, match="events must have src, dst, t, y and msg, got none called 'y'"):
        signed_benchmark(TemporalData(src=made["src"], dst=made["dst"], t=made["t"]))
