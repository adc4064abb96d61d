"""A whole model against reference numbers, with gradients against a dense network written out."""

import pytest
import torch
from torch.nn.functional import elu

from graphseq.spen import (
    EgoNetworks,
    InvariantReadout,
    MeanInjection,
    PairFeatures,
    SPENLayer,
    SumInjection,
    Symmetric,
    ego_networks,
)

EXACT = {"rtol": 1e-10, "atol": 1e-11}


def _load(layer, data, prefix, names):
    """Weights and biases under their stored names; the diagonal's bias comes first with us."""
    with torch.no_grad():
        for target, weight, biases in names:
            target.weight.copy_(data[f"{prefix}_{weight}"])
            stored = [data[f"{prefix}_{bias}"] if bias else torch.zeros_like(target.bias[:, 0]) for bias in biases]
            target.bias.copy_(torch.stack(stored, 1))
    return layer


def _layers(data, aggr, injection):
    settings = {"buckets": 4, "group": Symmetric(aggr)}
    first = SPENLayer((4, 0), 4, injection=injection, norm=False, **settings).double()
    maps = first.maps[0]
    _load(first, data, "L0", [(maps.to_pair[0], "22", ["b2d", "b2a"]), (maps.to_node[0], "21", ["b21"])])
    second = SPENLayer((4, 4), 3, injection=injection, norm=False, **settings).double()
    maps = second.maps[0]
    _load(
        second,
        data,
        "L1",
        [
            (maps.to_pair[0], "22", ["b2d", "b2a"]),
            (maps.to_pair[1], "12", [None, "b12"]),
            (maps.to_node[0], "21", ["b21"]),
            (maps.to_node[1], "11", ["b11"]),
        ],
    )
    readout = InvariantReadout((6, 6), 5, **settings).double()
    _load(readout, data, "L2", [(readout.maps["pair"], "20", ["b20"]), (readout.maps["node"], "10", ["b10"])])
    return first, second, readout


def _dense(values, nets, rows):
    out = torch.zeros(rows, rows, values.shape[1], dtype=values.dtype)
    out[nets.pair_index[0], nets.pair_index[1]] = values
    return out


def _nets(data, **arguments):
    return EgoNetworks(*ego_networks(data["edge_index"], 10), data["buckets"].tolist(), **arguments)


def test_ego_networks_are_the_reference_ones(golden):
    data = golden("spen/spen_model_1hop")
    index, size = ego_networks(data["edge_index"], 10)
    assert torch.equal(index, data["sub_nodes"])
    assert torch.equal(size, data["sub_ptr"].diff())
    nets = _nets(data)
    assert torch.equal(_dense(nets.pair_count[:, None], nets, 10)[..., 0], data["pair_count"])


@pytest.mark.parametrize("max_pairs", [None, 12])
@pytest.mark.parametrize(
    ("prefix", "aggr", "injection"), [("", "mean", MeanInjection()), ("alt_", "sum", SumInjection())]
)
def test_layers_agree_with_reference_numbers(prefix, aggr, injection, max_pairs, golden):
    data = golden("spen/spen_model_1hop")
    nets = _nets(data, max_pairs=max_pairs)
    assert (len(nets.parts) > 1) == (max_pairs is not None)
    pair, node = data["x2"][nets.pair_index[0], nets.pair_index[1]], None
    *layers, readout = _layers(data, aggr, injection)
    for number, layer in enumerate(layers):
        pair, node = layer(pair, node, nets)
        torch.testing.assert_close(_dense(pair, nets, 10), data[f"{prefix}L{number}_out2"], **EXACT)
        torch.testing.assert_close(node, data[f"{prefix}L{number}_out1"], **EXACT)
    out = readout(pair, node, nets)
    torch.testing.assert_close(out, data[f"{prefix}sub_out0"], **EXACT)
    torch.testing.assert_close(out.mean(0), data[f"{prefix}graph_out"], **EXACT)


def test_first_state_is_the_reference_one(golden):
    data = golden("spen/spen_model_1hop")
    nets = _nets(data)
    x = torch.nn.functional.one_hot(data["node_label"], 3).double()
    pair = PairFeatures(3)(x, data["edge_index"], None, nets)
    torch.testing.assert_close(_dense(pair, nets, 10), data["x2"], **EXACT)


def _dense_layer(layer, x2, x1, members, buckets):
    """The layer on dense tensors, network by network, each as a single block of a dense operator."""
    n = x2.shape[0]
    maps = layer.maps[0]
    sums = [torch.zeros(n, n, layer.out_channels.pair, dtype=x2.dtype), torch.zeros(n, layer.out_channels.node).to(x2)]
    counts = [torch.zeros(n, n, 1).to(x2), torch.zeros(n, 1).to(x2)]
    for nodes in members:
        m = len(nodes)
        bucket = max((place for place, bound in enumerate(buckets) if bound <= m), default=0)
        X, v = x2[nodes][:, nodes], x1[nodes]
        d, r, c = torch.diagonal(X).T, X.mean(1), X.mean(0)
        t, a, s = d.mean(0), X.mean((0, 1)), v.mean(0)
        eye = torch.eye(m).to(x2)[:, :, None]
        ones = torch.ones(m, m, 1).to(x2)
        ops = {
            22: [eye * d[:, None], eye * t, eye * r[:, None], eye * c[:, None], eye * a, c[:, None] * ones,
                 r[:, None] * ones, c[None] * ones, r[None] * ones, X, X.transpose(0, 1), d[:, None] * ones,
                 d[None] * ones, t * ones, a * ones],
            12: [eye * v[:, None], eye * s, v[None] * ones, v[:, None] * ones, s * ones],
            21: [d, t.expand_as(d), r, c, a.expand_as(d)],
            11: [v, s.expand_as(v)],
        }  # fmt: skip

        def apply(key, layer, ops=ops, bucket=bucket):
            return sum(op @ w for op, w in zip(ops[key], layer.weight[bucket], strict=True))

        biases = [layer.bias[bucket] for layer in maps.to_pair]
        y2 = torch.cat(
            [
                apply(key, layer) + eye * b[0] + b[1]
                for key, layer, b in zip((22, 12), maps.to_pair, biases, strict=True)
            ],
            -1,
        )
        y1 = torch.cat(
            [apply(key, layer) + layer.bias[bucket, 0] for key, layer in zip((21, 11), maps.to_node, strict=True)], -1
        )
        grid = torch.tensor(nodes)
        sums[0] = sums[0].index_put((grid[:, None], grid[None]), y2, accumulate=True)
        sums[1] = sums[1].index_put((grid,), y1, accumulate=True)
        counts[0][grid[:, None], grid[None]] += 1
        counts[1][grid] += 1
    return elu(sums[0] / counts[0].clamp(min=1)), elu(sums[1] / counts[1].clamp(min=1))


@pytest.mark.parametrize("max_pairs", [None, 12])
def test_gradients_agree_with_the_network_written_out(max_pairs, golden):
    """On input that is not symmetric; in parts, the backward pass computes anew what it needs."""
    data = golden("spen/spen_model_1hop")
    nets = _nets(data, max_pairs=max_pairs)
    layer = SPENLayer((4, 3), 2, buckets=4, norm=False).double()
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter)
    dense, node = torch.randn(10, 10, 4).double().requires_grad_(), torch.randn(10, 3).double().requires_grad_()
    members = [part.tolist() for part in data["sub_nodes"].split(data["sub_ptr"].diff().tolist())]
    expected = _dense_layer(layer, dense, node, members, data["buckets"].tolist())
    got = layer(dense[nets.pair_index[0], nets.pair_index[1]], node, nets)
    towards = torch.randn_like(expected[0]), torch.randn_like(expected[1])
    torch.testing.assert_close(_dense(got[0], nets, 10), expected[0], **EXACT)
    torch.testing.assert_close(got[1], expected[1], **EXACT)
    inputs = [dense, node, *layer.parameters()]
    want = torch.autograd.grad(expected, inputs, towards)
    have = torch.autograd.grad(got, inputs, (towards[0][nets.pair_index[0], nets.pair_index[1]], towards[1]))
    for one, other in zip(have, want, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
