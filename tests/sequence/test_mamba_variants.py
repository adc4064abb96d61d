"""Mamba with negative eigenvalues, without the convergent scenario, and with tokens in order of importance."""

import pytest
import torch

from graphseq.scan import Ragged, use_backend
from graphseq.sequence import DivergentMamba, ImportanceOrder, Mamba, SignedMamba


def test_signed_mamba_is_its_recurrence():
    layer, x = SignedMamba(4, state_size=3).double(), torch.randn(1, 20, 4, dtype=torch.float64)
    seen = {}

    def watch(u, delta, A, B, C, D, z, **options):
        seen.update(u=u, delta=delta, A=A, B=B, C=C, z=z)
        return SignedMamba._recurrence(layer, u, delta, A, B, C, D, z, **options)

    layer._recurrence = watch
    y = layer(x)[0]
    dt = torch.nn.functional.softplus(seen["delta"] + layer.dt_proj.bias)
    h = torch.zeros(8, 3, dtype=torch.float64)
    for t in range(20):
        h = (2 * torch.exp(dt[t][:, None] * seen["A"]) - 1) * h + (dt[t] * seen["u"][t])[:, None] * seen["B"][t]
        o = (h @ seen["C"][t] + layer.D * seen["u"][t]) * torch.nn.functional.silu(seen["z"][t])
        torch.testing.assert_close(y[t], o @ layer.out_proj.weight.t(), rtol=1e-10, atol=1e-10)


def test_signed_mamba_holds_a_sign_where_mamba_forgets():
    """With a large step the decay is -1 in one and 0 in the other."""
    state = torch.ones(1, 1, 1, dtype=torch.float64)
    one, none = torch.ones(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64)
    arguments = (none, 100 * one, -one[:1], none, one, none[0], 100 * one)
    options = {"delta_bias": none[0], "delta_softplus": True, "topology": Ragged.equal(1, 3)}
    options |= {"initial": state, "return_last": True}
    for kind, expected in ((SignedMamba, [-100.0, 100.0, -100.0]), (Mamba, [0.0, 0.0, 0.0])):
        y, _ = kind(1)._recurrence(*arguments, **options)
        torch.testing.assert_close(y.squeeze(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_backends_agree_on_signed_mamba():
    layer, x = SignedMamba(6), torch.randn(2, 50, 6)
    with use_backend("reference"):
        expected = layer(x)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


def _smallest_eigenvalue(S_B, S_C):
    mu = S_C.t() @ S_B
    return torch.linalg.eigvalsh(mu + mu.t()).min().item()


def test_divergent_mamba_excludes_negative_eigenvalues_whatever_its_parameters():
    for seed in range(5):
        torch.manual_seed(seed)
        layer = DivergentMamba(8, state_size=4).double()
        torch.nn.init.normal_(layer.lower, std=2)
        torch.nn.init.normal_(layer.diagonal, std=2)
        S_C = layer.x_proj.weight[layer.dt_rank :]
        assert _smallest_eigenvalue(layer.tie() @ S_C, S_C) > -1e-10
        plain = Mamba(8, state_size=4).double()
        S_B, S_C = plain.x_proj.weight[plain.dt_rank :].chunk(2)
        assert _smallest_eigenvalue(S_B, S_C) < -0.01


def test_divergent_mamba_is_mamba_with_the_tied_projection():
    tied = DivergentMamba(8, state_size=4).double()
    torch.nn.init.normal_(tied.lower)
    plain = Mamba(8, state_size=4).double()
    plain.load_state_dict(tied.state_dict() | {"x_proj.weight": plain.x_proj.weight}, strict=False)
    step, S_C = tied.x_proj.weight.split([tied.dt_rank, 4])
    with torch.no_grad():
        plain.x_proj.weight.copy_(torch.cat([step, tied.tie() @ S_C, S_C]))
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(tied(x), plain(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-6])
def test_a_cold_sort_is_a_sort(temperature):
    layer = ImportanceOrder(Mamba(6), temperature=temperature).double()
    x = torch.randn(7, 6, dtype=torch.float64)
    order = layer.score(x).squeeze(-1).argsort(descending=True)
    expected = torch.empty_like(x).index_copy(0, order, layer.layer(x[order], Ragged.equal(1, 7)))
    torch.testing.assert_close(layer(x, Ragged.equal(1, 7)), expected, rtol=1e-10, atol=1e-10)


def test_an_order_by_importance_does_not_depend_on_the_order_given():
    layer = ImportanceOrder(Mamba(6), temperature=0.3).double()
    x, shuffle = torch.randn(7, 6, dtype=torch.float64), torch.randperm(7)
    torch.testing.assert_close(layer(x[shuffle][None])[0], layer(x[None])[0, shuffle], rtol=1e-10, atol=1e-10)


def test_a_temperature_of_zero_is_named():
    with pytest.raises(ValueError, match="temperature must be above 0"):
        ImportanceOrder(Mamba(6), temperature=0.0)
