"""The memory in the call shape of TGNMemory, and what it refuses."""

import pytest
import torch

from graphseq.semba import ScanSEMBA, SignedMemory, SignedScan, Timelines

SRC, DST = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 3, 3])
T, SIGN, MSG = torch.tensor([1.0, 2.0, 2.0, 5.0]), torch.tensor([1, -1, 1, -1]), torch.ones(4, 1)
UPDATERS = ["gru", "gru-released", "scan"]


@pytest.mark.parametrize("updater", UPDATERS)
def test_training_reads_what_evaluation_reads(updater):
    memory = SignedMemory(6, 1, 4, 3, updater=updater)
    found = []
    for training in (True, False):
        memory.train(training)
        memory.reset_state()
        for now in (slice(0, 2), slice(2, 4)):
            memory.update_state(SRC[now], DST[now], T[now], MSG[now], SIGN[now])
        found.append(memory(torch.tensor([3, 0, 5, 3])))
    torch.testing.assert_close(found[0][0].detach(), found[1][0])
    assert found[0][1].tolist() == found[1][1].tolist() == [5, 5, 0, 5]
    assert found[0][0].requires_grad and not found[1][0].isnan().any()


@pytest.mark.parametrize("updater", UPDATERS)
def test_the_loop_of_tgn_trains(updater):
    """Read, loss, update_state, backward, step, detach: no graph is used twice."""
    memory = SignedMemory(6, 1, 4, 3, updater=updater)
    optimizer = torch.optim.SGD(memory.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in memory.parameters()]
    memory.update_state(SRC, DST, T - 10, MSG, SIGN)
    for round_ in range(4):
        z, _ = memory(torch.arange(6))
        memory.update_state(SRC, DST, T + 10 * round_, MSG, SIGN)
        optimizer.zero_grad()
        z.square().sum().backward()
        optimizer.step()
        memory.detach()
    moved = [not torch.equal(old, new) for old, new in zip(before, memory.parameters(), strict=True)]
    assert sum(moved) >= len(moved) - 2


@pytest.mark.parametrize("updater", UPDATERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": T.flip(0)}, "t must be in ascending order"),
        ({"t": T * torch.nan}, "t must be finite"),
        ({"sign": SIGN * 2}, r"sign must be all in \{-1, \+1\} or all in \{0, 1\}, got \[-2, 2\]"),
        ({"src": SRC + 6}, r"src must hold nodes in 0\.\.5, got values from 6 to 8"),
        ({"raw_msg": torch.ones(4, 2)}, r"raw_msg must have shape \[4, 1\], got \[4, 2\]"),
        ({"t": T - 100}, r"t must not be before the last event taken in \(5.0\), got -99.0"),
    ],
)
def test_wrong_events_are_refused(unchecked, updater, change, message):
    memory = SignedMemory(6, 1, 4, 3, updater=updater)
    right = {"src": SRC, "dst": DST, "t": T, "raw_msg": MSG, "sign": SIGN}
    memory.update_state(**right)
    with pytest.raises(ValueError, match=message):
        memory.update_state(**{**right, "t": T + 10, **change})


def test_a_question_before_the_first_event_is_refused():
    scan, lines = SignedScan(1, 2), Timelines(SRC, DST, T, SIGN, 6)
    states = scan(torch.ones(8, 1), lines)
    with pytest.raises(ValueError, match=r"t must not be before the first event \(1.0\), got 0.5"):
        scan.read(states, lines, SRC, torch.full((4,), 0.5))
    assert scan.read(states, lines, SRC, torch.ones(4)).abs().max() == 0


def test_chunks_out_of_order_are_refused():
    network = ScanSEMBA((6,), 1, edge_channels=1)
    pairs = torch.stack([SRC, DST])
    chunk = {"event_t": T, "event_sign": SIGN, "edge_label_index": pairs, "edge_label_t": T}
    x = torch.arange(6)[:, None]
    network(x, pairs, None, MSG, begins=torch.tensor([True]), **chunk)
    with pytest.raises(ValueError, match="chunks must come in order of time"):
        network(x, pairs, None, MSG, begins=torch.tensor([False]), **chunk)


def test_an_unknown_updater_is_refused():
    with pytest.raises(ValueError, match="updater must be one of gru, gru-released, scan, got 'lstm'"):
        SignedMemory(3, 1, 2, updater="lstm")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e38])
def test_a_scan_reads_nothing_of_earlier_rows_and_of_other_nodes(value):
    """Features of earlier rows may be anything, and so may the states of a node that a question is not about."""
    torch.manual_seed(0)
    scan = SignedScan(3, 4)
    lines = Timelines(SRC, DST, T, SIGN, 4, (torch.tensor([0, 2]), torch.tensor([-1.0, 0.0], dtype=torch.float64)))
    x, earlier = torch.randn(len(lines.owner), 3), torch.randn(2, 2, 4, 2)
    # Node 0, whose rows come first, is asked about by no event that node 3 takes part in before the last.
    nodes, t = torch.tensor([3, 1]), torch.tensor([2.0, 2.0])

    def outcome(features, of_node_0):
        scan.zero_grad()
        states = scan(features, lines, earlier)
        states = torch.where((lines.owner == 0)[:, None, None, None], of_node_0, states) if of_node_0 else states
        read = scan.read(states, lines, nodes, t)
        read.square().sum().backward()
        return [read.detach(), *(parameter.grad.clone() for parameter in scan.parameters())]

    expected = outcome(x.masked_fill(~lines.is_event[:, None], 0), 0.0)
    for found in (
        outcome(x.masked_fill(~lines.is_event[:, None], value), 0.0),
        outcome(x.masked_fill(~lines.is_event[:, None], 0), value),
    ):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
