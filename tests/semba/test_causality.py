"""Later events change no prediction, whatever the memory, the size of chunks and the task; streaming is the scan."""

import pytest
import torch

from graphseq.data import SignedNetwork, signed_benchmark, signed_events
from graphseq.data.signed import EVENT_TASKS
from graphseq.semba import GRUSEMBA, TGN, ScanSEMBA, SignedMemory, SignedScan, Timelines, row_features

NETWORKS = {
    "scan": lambda *sizes, **kw: ScanSEMBA(*sizes, channels=4, **kw),
    "scan, no balance": lambda *sizes, **kw: ScanSEMBA(*sizes, channels=4, balance=False, **kw),
    "gru": lambda *sizes, **kw: GRUSEMBA(*sizes, channels=8, heads=2, dropout=0.0, **kw),
    "gru, no balance": lambda *sizes, **kw: GRUSEMBA(*sizes, channels=8, heads=2, dropout=0.0, balance=False, **kw),
    "gru, released": lambda *sizes, **kw: GRUSEMBA(*sizes, channels=8, heads=2, dropout=0.0, released=True, **kw),
    "tgn": lambda *sizes, **kw: TGN(*sizes, channels=8, heads=2, dropout=0.0, **kw),
}
CUT = 12  # a time, shared by several events


def stream(altered=False):
    """Three events a time step; altered, everything from CUT on is other."""
    events = SignedNetwork(num_nodes=15, num_events=75, seed=1).events
    t = torch.arange(75).div(3, rounding_mode="floor").double()
    src, dst, sign, strength = events.src, events.dst, events.y, torch.arange(75.0) % 7 + 1
    if altered:
        late = t >= CUT
        src, dst = torch.where(late, dst, src), torch.where(late, src, dst)
        sign, strength = torch.where(late, -sign, sign), torch.where(late, strength + 5, strength)
    return signed_events(src, dst, t * 86400, sign, strength, num_nodes=15)


def chunks(events, task, chunk):
    bench = signed_benchmark(events, EVENT_TASKS[task](), chunk=chunk)
    return bench, list(bench.train)


def predict(network, parts):
    with torch.no_grad():
        return torch.cat(
            [network(d.x, d.edge_index, None, d.edge_attr, **{key: d[key] for key in network.needs}) for d in parts]
        )


@pytest.mark.parametrize("task", EVENT_TASKS)
@pytest.mark.parametrize("chunk", [3, 20, None])
@pytest.mark.parametrize("name", NETWORKS)
def test_later_events_change_no_prediction_at_or_before(name, chunk, task):
    (bench, parts), (_, others) = (chunks(stream(altered), task, chunk) for altered in (False, True))
    network = NETWORKS[name]((15,), bench.task.num_outputs, edge_channels=1, level="edge").eval()
    found, expected = predict(network, others), predict(network, parts)
    t = torch.cat([d.edge_label_t for d in parts])
    assert torch.equal(found[t < CUT * 86400], expected[t < CUT * 86400])
    # At CUT itself the same pairs are asked about in either stream if they are asked anew.
    again = [d.clone() for d in others]
    for new, old in zip(again, parts, strict=True):
        new.edge_label_index = old.edge_label_index
    at = t == CUT * 86400
    assert torch.equal(predict(network, again)[at], expected[at])
    if chunk is not None or "scan" in name:  # units know nothing of their own batch, here the whole stream
        assert not torch.equal(found[t > CUT * 86400], expected[t > CUT * 86400])


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_a_scan_does_not_depend_on_where_chunks_end(chunk):
    (_, whole), (_, cut) = (chunks(stream(), "sign", size) for size in (None, chunk))
    network = ScanSEMBA((15,), 1, edge_channels=1, channels=4, layers=3).double().eval()
    for part in (*whole, *cut):
        part.edge_attr = part.edge_attr.double()
    network.reset_state()
    torch.testing.assert_close(predict(network, cut), predict(network, whole), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_streaming_equals_the_scan_ties_included(size):
    """Chunks of one or two events cut the ties of three."""
    events = stream()
    message = torch.arange(75.0, dtype=torch.float64)[:, None].sin()
    memory = SignedMemory(15, 1, 4, updater="scan", layers=3).double().eval()
    memory.reset_state()
    scan = memory.store.updater
    lines = Timelines(events.src, events.dst, events.t, events.y, 15)
    expected = scan.read(scan(row_features(message, lines), lines), lines, events.src, events.t)
    found, asked = [], []
    for start in range(0, 75, size):
        now = slice(start, start + size)
        for event in range(*now.indices(75)):
            if events.t[event] == events.t[start]:  # all that came strictly before has been taken in
                asked.append(event)
                found.append(memory.store.read_at(events.src[event : event + 1], events.t[event : event + 1]))
        memory.update_state(events.src[now], events.dst[now], events.t[now], message[now], events.y[now])
    torch.testing.assert_close(torch.cat(found), expected[asked], rtol=1e-12, atol=1e-12)


def test_in_a_balanced_network_the_signed_recurrence_is_the_unsigned_one():
    r"""With :math:`s_{ij} = \sigma_i \sigma_j` and no input but peers', :math:`D_n = \sigma_n c_n`."""
    network = SignedNetwork(num_nodes=20, num_events=300, noise=0.0, drift=0.0)
    events, camp = network.events, torch.zeros(20)
    camp[events.src], camp[events.dst] = network.camp[:, 0].float(), network.camp[:, 1].float()
    scan = SignedScan(2, 4, layers=3, squash=torch.tanh).double()
    for total, difference in zip(scan.weight_sum, scan.weight_diff, strict=True):
        difference.data = total.data.clone()
    lines = Timelines(events.src, events.dst, events.t, events.y, 20)
    owner, peer = (camp[end].double() for end in (lines.owner, lines.peer))
    x = torch.randn(len(owner), 2, dtype=torch.float64)
    # Inputs to D that carry the peer's camp turn into the owner's by the sign.
    total = scan(x, lines)[..., 0]
    seen = scan._inputs
    scan._inputs = lambda layer, x, read: torch.stack(
        [
            seen(layer, x, read)[..., 0],
            seen(layer, x * peer[:, None], read)[..., 1],
        ],
        dim=-1,
    )
    difference = scan(x, lines)[..., 1]
    torch.testing.assert_close(difference, owner[:, None, None] * total, rtol=1e-12, atol=1e-12)


def test_all_signs_positive_and_equal_weights_leave_no_foes():
    events = stream()
    scan = SignedScan(1, 4, layers=2).double()
    for total, difference in zip(scan.weight_sum, scan.weight_diff, strict=True):
        difference.data = total.data.clone()
    lines = Timelines(events.src, events.dst, events.t, torch.ones(75), 15)
    read = scan.read(scan(torch.ones(150, 1, dtype=torch.float64), lines), lines, events.src, events.t)
    assert read[..., 0].abs().max() > 0 and read[..., 1].abs().max() < 1e-13
