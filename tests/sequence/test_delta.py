"""The delta rule layers: brute-force products of Householder matrices, and state tracking without training."""

import pytest
import torch
from scipy.optimize import brentq

from graphseq.scan import Ragged
from graphseq.sequence import DeltaNet, DeltaProduct, GatedDeltaNet


@pytest.mark.parametrize(
    "make",
    [
        lambda: DeltaNet(8, heads=2),
        lambda: DeltaNet(8, heads=2, beta_max=2.0),
        lambda: GatedDeltaNet(8, heads=2, beta_max=2.0),
        lambda: DeltaProduct(8, heads=2, steps=3, beta_max=2.0),
        lambda: DeltaProduct(8, heads=2, steps=2, gated=True),
    ],
)
def test_layers_are_products_of_householder_matrices(make):
    """Every factor is written out as a dense matrix in float64, from the layer's parameters to its output."""
    layer, x = make().double(), torch.randn(40, 8, dtype=torch.float64)
    steps, silu = layer.steps, torch.nn.functional.silu
    padded = torch.nn.functional.pad((x @ layer.in_proj.weight.t()).t(), (3, 0))[None]
    qkv = silu(torch.nn.functional.conv1d(padded, layer.conv1d.weight, groups=padded.shape[1])[0].t())
    q, k, v = qkv[:, :8].view(40, 2, 4), qkv[:, 8 : 8 + 8 * steps], qkv[:, 8 + 8 * steps :]
    q, k = (torch.nn.functional.normalize(part.view(40, 2, -1, 4), dim=-1) for part in (q, k))
    v, beta = v.view(40, 2, steps, 4), layer.beta_max * torch.sigmoid(layer.beta_proj(x)).view(40, 2, steps)
    alpha = torch.ones(40, 2, dtype=torch.float64)
    if layer.gated:
        alpha = torch.exp(-layer.A_log.exp() * torch.nn.functional.softplus(layer.decay_proj(x) + layer.dt_bias))
    rows = []
    for head in range(2):
        S = torch.zeros(4, 4, dtype=torch.float64)
        for t in range(40):
            transition, written = torch.eye(4, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.float64)
            for j in range(steps):
                key, b = k[t, head, j], beta[t, head, j]
                factor = torch.eye(4, dtype=torch.float64) - b * torch.outer(key, key)
                transition = factor @ transition
                written = factor @ written + b * torch.outer(key, v[t, head, j])
            S = alpha[t, head] * transition @ S + written
            rows.append(S.t() @ q[t, head, 0] / 2)
    o = torch.stack(rows).view(2, 40, 4).transpose(0, 1)
    o = o / (o.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.norm.weight
    expected = (o.flatten(1) * silu(layer.gate_proj(x))) @ layer.out_proj.weight.t()
    torch.testing.assert_close(layer(x, Ragged.equal(1, 40)), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("beta_max", "low"), [(1.0, 0.0), (2.0, -1.0)])
def test_the_range_of_beta_is_the_range_of_eigenvalues(beta_max, low):
    layer, x = DeltaNet(8, heads=2, beta_max=beta_max), 100 * torch.randn(500, 8)
    eigenvalues = 1 - layer.beta_max * layer.beta_proj(x).sigmoid()
    assert eigenvalues.min() == low
    assert eigenvalues.max() == 1


def _by_hand(layer):
    """All weights zero, the convolution the identity, one output channel an entry of the memory."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.conv1d.weight[:, 0, -1] = 1
        layer.norm.weight.fill_(1)
        count = min(layer.out_proj.weight.shape)
        layer.out_proj.weight[:count, :count] = torch.eye(count)
    return layer.double().requires_grad_(False)


# sigmoid(±NEVER) is exactly 0 or 1 in float64.
NEVER = 1000.0


def test_delta_net_tracks_parity_without_error_for_ten_thousand_steps():
    """A mark reflects the one state (beta = 2); the first token has written 1 (beta = 1)."""
    layer = _by_hand(DeltaNet(3, heads=1, key_size=1, beta_max=2.0, conv_size=1, output_gate=False))
    start, mark, no_mark = torch.eye(3, dtype=torch.float64)
    layer.in_proj.weight[0:2] = 1
    layer.in_proj.weight[2] = start
    layer.beta_proj.weight[0] = NEVER * (mark - no_mark)
    marks = torch.randint(0, 2, (10_000,))
    x = torch.cat([start[None], torch.where(marks[:, None] == 1, mark, no_mark)])
    y = layer(x, Ragged.equal(1, len(x)))[1:, 0]
    assert torch.equal(y < 0, marks.cumsum(0) % 2 == 1)
    assert y.abs().min() == y.abs().max()


def test_without_negative_eigenvalues_the_same_weights_forget():
    """With beta at most 1 a mark erases instead of reflecting."""
    layer = _by_hand(DeltaNet(3, heads=1, key_size=1, beta_max=1.0, conv_size=1, output_gate=False))
    start, mark, no_mark = torch.eye(3, dtype=torch.float64)
    layer.in_proj.weight[0:2] = 1
    layer.in_proj.weight[2] = start
    layer.beta_proj.weight[0] = NEVER * (mark - no_mark)
    x = torch.stack([start, no_mark, mark, no_mark])
    assert (layer(x, Ragged.equal(1, 4))[:, 0] != 0).tolist() == [True, True, False, False]


def _silu_inverse(value):
    silu = torch.nn.functional.silu
    return brentq(lambda z: silu(torch.tensor(z, dtype=torch.float64)).item() - value, -1.2, 3, xtol=1e-15)


def test_delta_product_tracks_the_symmetric_group_for_ten_thousand_steps():
    """Two reflections a token make every permutation of three things; each of two heads reads one row of the state.

    The first token writes the rows (1, 0, 0), (0, 1, 0), (0, 0, 0), which tell all six permutations apart.
    """
    permutations = torch.tensor([[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]])
    # As products of transpositions (first, second step), the state's rows permuted.
    factors = [[None, None], [(0, 1), None], [(1, 2), None], [(0, 2), None], [(0, 1), (1, 2)], [(1, 2), (0, 1)]]
    layer = _by_hand(DeltaProduct(7, heads=2, key_size=3, steps=2, beta_max=2.0, conv_size=1, output_gate=False))
    plus, minus = _silu_inverse(0.2), _silu_inverse(-0.2)
    queries, keys, values = layer.in_proj.weight.split(layer.projected)
    keys, values = keys.view(2, 2, 3, 7), values.view(2, 2, 3, 7)
    beta_weight, beta_bias = layer.beta_proj.weight.view(2, 2, 7), layer.beta_proj.bias
    beta_bias.fill_(0)
    for head in range(2):
        queries.view(2, 3, 7)[head, head] = 1
        for step in range(2):
            keys[head, step, step, 6] = values[head, step, step, 6] = _silu_inverse(1.0)
            for symbol, transpositions in enumerate(factors):
                pair = transpositions[step]
                beta_weight[head, step, symbol] = -NEVER if pair is None else NEVER
                i, j = pair or (0, 1)
                keys[head, step, i, symbol], keys[head, step, j, symbol] = plus, minus
    symbols = torch.randint(0, 6, (10_000,))
    x = torch.nn.functional.one_hot(torch.cat([torch.tensor([6]), symbols]), 7).double()
    rows = layer(x, Ragged.equal(1, len(x)))[1:, :6].unflatten(-1, (2, 3))
    # A row of the state is one of the three that were written, scaled by the norm; the third has no entries.
    read = torch.where(rows.abs().amax(-1) > 0.5, rows.argmax(-1), 2)
    # What each symbol does to the rows, as the product of its two transpositions.
    arrangement, expected = torch.arange(3), []
    for symbol in symbols.tolist():
        for pair in factors[symbol]:
            if pair is not None:
                arrangement = arrangement.clone()
                arrangement[list(pair)] = arrangement[list(pair)[::-1]]
        expected.append(arrangement[:2])
    assert torch.equal(read, torch.stack(expected))
    assert len({tuple(p) for p in permutations.tolist()}) == len({tuple(e.tolist()) for e in expected}) == 6


def test_wrong_betas_are_named():
    with pytest.raises(ValueError, match="beta_max must be in \\(0, 2\\], got 3"):
        DeltaNet(8, beta_max=3.0)
