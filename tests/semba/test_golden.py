"""Parity with reference numbers in float64: every tensor, every gradient."""

import pytest
import torch
from torch_geometric.nn.models.tgn import TimeEncoder

from graphseq.semba import (
    GRUUpdater,
    HalfEvents,
    LastAggregator,
    ReleasedGRUUpdater,
    SignedScan,
    TemporalAttention,
    Timelines,
)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def within(found, expected, rounding):
    assert ((found - expected).abs() <= rounding + 1e-10 * (1 + expected.abs())).all()


def set_time_encoder(encoder, weight, bias):
    encoder.lin.weight.data, encoder.lin.bias.data = weight[:, None].clone(), bias.clone()


def halves(g, memory):
    owner, peer = torch.cat([g["src"], g["dst"]]), torch.cat([g["dst"], g["src"]])
    sign, t, raw = g["sign"].repeat(2), g["t"].double().repeat(2), g["raw"].repeat(2, 1)
    return HalfEvents(owner, memory[peer], sign, t, raw)


def state(g):
    memory = torch.stack([g["mem_pos"], g["mem_neg"]], dim=1).requires_grad_()
    return memory, torch.stack([g["last_pos"], g["last_neg"]], dim=1).double()


def updater(g, kind=GRUUpdater, **options):
    found = kind(1, 4, 3, **options).double()
    set_time_encoder(found.time_enc, g["time_weight"], g["time_bias"])
    for sign in ("pos", "neg"):
        for name, parameter in getattr(found, f"gru_{sign}").named_parameters():
            if f"gru_{sign}_{name}" in g:
                parameter.data = g[f"gru_{sign}_{name}"].clone()
    return found


def test_time_encoder(golden):
    g = golden("semba/time_encoder")
    encoder = TimeEncoder(6).double()
    set_time_encoder(encoder, g["weight"], g["bias"])
    t = g["t"].clone().requires_grad_()
    out = encoder(t)
    # Times reach ten million. A processor with fused multiply-add rounds the angle once, another twice, and the cosine
    # inherits the last digit of the angle.
    last_digit = torch.finfo(torch.float64).eps * (g["t"][:, None] * g["weight"]).abs()
    within(out, g["out"], last_digit)
    (out * g["grad_out"]).sum().backward()
    within(t.grad, g["grad_t"], (last_digit * (g["grad_out"] * g["weight"]).abs()).sum(1))
    per_angle = last_digit * g["grad_out"].abs()
    within(encoder.lin.weight.grad[:, 0], g["grad_weight"], (per_angle * g["t"][:, None].abs()).sum(0))
    within(encoder.lin.bias.grad, g["grad_bias"], per_angle.sum(0))


def test_balanced_messages_and_their_mean(golden):
    g = golden("semba/balanced_messages")
    update = updater(g)
    memory, last = state(g)
    half = halves(g, memory)
    messages = update.messages(memory, last, half)
    close(messages, torch.stack([g["msg_pos"], g["msg_neg"]], dim=1))
    means = [update.aggregator(messages[:, channel], half.owner, half.t, 9) for channel in (0, 1)]
    close(torch.stack(means), torch.stack([g["mean_pos"], g["mean_neg"]]))
    (means[0] * g["grad_mean_pos"] + means[1] * g["grad_mean_neg"]).sum().backward()
    close(memory.grad, torch.stack([g["grad_mem_pos"], g["grad_mem_neg"]], dim=1))
    close(update.time_enc.lin.weight.grad[:, 0], g["grad_time_weight"])
    close(update.time_enc.lin.bias.grad, g["grad_time_bias"])


def test_last_message(golden):
    g = golden("semba/balanced_messages")
    memory, last = state(g)
    half = halves(g, memory)
    messages = updater(g).messages(memory, last, half)
    for channel, name in enumerate(("lastagg_pos", "lastagg_neg")):
        close(LastAggregator()(messages[:, channel], half.owner, half.t, 9), g[name])


@pytest.mark.parametrize("kind", [GRUUpdater, ReleasedGRUUpdater])
def test_memory_update(golden, kind):
    released = kind is ReleasedGRUUpdater
    g = golden("semba/memory_update" + ("_released_code" if released else ""))
    update = updater(g, kind)
    memory, last = state(g)
    found, found_last = update(memory, last, halves(g, memory))
    close(found, torch.stack([g["new_mem_pos"], g["new_mem_neg"]], dim=1))
    assert torch.equal(found_last.long(), torch.stack([g["new_last_pos"], g["new_last_neg"]], dim=1))
    (found * torch.stack([g["grad_out_pos"], g["grad_out_neg"]], dim=1)).sum().backward()
    for sign in ("pos", "neg"):
        for name, parameter in getattr(update, f"gru_{sign}").named_parameters():
            close(parameter.grad, g[f"grad_gru_{sign}_{name}"])
    if released:
        assert update.time_enc.lin.weight.grad is None
    else:
        close(memory.grad, torch.stack([g["grad_mem_pos"], g["grad_mem_neg"]], dim=1))
        close(update.time_enc.lin.weight.grad[:, 0], g["grad_time_weight"])
        close(update.time_enc.lin.bias.grad, g["grad_time_bias"])


def test_temporal_attention(golden):
    g = golden("semba/temporal_attention")
    encoder = TimeEncoder(3).double()
    set_time_encoder(encoder, g["time_weight"], g["time_bias"])
    attention = TemporalAttention(8, 6, 1, encoder, heads=int(g["heads"]), dropout=0.0).double()
    for name, parameter in attention.conv.named_parameters():
        parameter.data = g[name.replace(".", "_")].clone()
    friend, foe = (g[name].clone().requires_grad_() for name in ("mem_pos", "mem_neg"))
    edges = torch.stack([g["src"], g["dst"]])
    last, t = g["last_update"].double(), g["t"].double()
    out = attention(torch.cat([friend, foe], dim=1), last, edges, t, g["raw"])
    close(out, g["out"])
    (out * g["grad_out"]).sum().backward()
    close(friend.grad, g["grad_mem_pos"])
    close(foe.grad, g["grad_mem_neg"])
    close(encoder.lin.weight.grad[:, 0], g["grad_time_weight"])
    close(encoder.lin.bias.grad, g["grad_time_bias"])
    for name, parameter in attention.conv.named_parameters():
        if f"grad_{name.replace('.', '_')}" in g:
            close(parameter.grad, g[f"grad_{name.replace('.', '_')}"])


OPERATION = "linear_scan"


def test_signed_scan(golden, backend):
    g = golden("semba/signed_scan")
    scan = SignedScan(3, 4, layers=2, tau=float(g["tau"])).double()
    for layer in (0, 1):
        scan.rho[layer].data = g[f"rho_{layer}"].clone()
        scan.weight_sum[layer].data = g[f"w_sum_{layer}"].clone()
        scan.weight_diff[layer].data = g[f"w_diff_{layer}"].clone()
    x = g["x"].clone().requires_grad_()
    lines = Timelines(g["src"], g["dst"], g["t"], g["sign"], int(g["num_nodes"]))
    nodes, t = torch.cat([g["src"], g["dst"]]), g["t"].double().repeat(2)
    read = scan.read(scan(x[lines.event], lines), lines, nodes, t)
    expected = torch.stack([g["read_pos"], g["read_neg"]], dim=-1).transpose(0, 1)
    close(read, expected)
    (read * torch.stack([g["grad_read_pos"], g["grad_read_neg"]], dim=-1).transpose(0, 1)).sum().backward()
    close(x.grad, g["grad_x"])
    for layer in (0, 1):
        close(scan.rho[layer].grad, g[f"grad_rho_{layer}"])
        close(scan.weight_sum[layer].grad, g[f"grad_w_sum_{layer}"])
        close(scan.weight_diff[layer].grad, g[f"grad_w_diff_{layer}"])
