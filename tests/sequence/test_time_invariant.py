"""The time-invariant family: reference numbers, and for each model an independent way to its kernel."""

import math

import pytest
import scipy.linalg
import scipy.signal
import torch

from graphseq.scan import Ragged
from graphseq.sequence import (
    LRU,
    LSSL,
    S4D,
    S5,
    BiS5,
    DSSExp,
    DSSSoftmax,
    LongConv,
    bilinear,
    fft_conv,
    inv,
    legs,
    legs_normal,
    legs_spectrum,
    legt,
    lin,
    real,
    zero_order_hold,
)
from graphseq.sequence.dss import _reciprocal
from graphseq.sequence.lssl import krylov

RULES = {"zoh": zero_order_hold, "bilinear": bilinear}


def _check(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def _set(parameter, value):
    """As a leaf of the layer, complex numbers as pairs."""
    value = torch.view_as_real(value) if value.is_complex() else value
    parameter.data = value.clone()


def _kernel_by_impulse(layer, taps):
    """The response of each channel to an impulse, by steps; ``[channels, taps]``."""
    rows = []
    for channel in range(layer.channels):
        x = torch.zeros(taps, layer.channels, dtype=torch.float64)
        x[0, channel] = 1
        y, _ = layer.filter(x, Ragged.equal(1, taps), layer.initial_state(1))
        rows.append(y[:, channel])
    return torch.stack(rows)


def test_golden_hippo(golden):
    g = golden("sequence/hippo_1")
    A, B = legs(8)
    _check(A, g["legs_A"])
    _check(B, g["legs_B"])
    _check(A + torch.outer(B, B) / 2, g["legs_normal"])
    At, Bt = legt(8)
    _check(At, g["legt_A"])
    _check(Bt, g["legt_B"])
    basis = legs_normal(8)
    expected = g["normal_eigenvalues_sorted_by_imag"]
    _check(basis.eigenvalues, expected[4:])
    _check((basis.inverse @ B.to(basis.inverse.dtype)).abs(), g["abs_VstarB"][4:])
    both = torch.cat([basis.vectors, basis.vectors.conj()], 1)
    diagonal = torch.diag(torch.cat([basis.eigenvalues, basis.eigenvalues.conj()]))
    _check((both @ diagonal @ both.mH).real, g["legs_normal"])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("by_scan", [False, True])
def test_golden_s4d(backend, golden, rule, by_scan):
    g = golden("sequence/s4d_1")
    layer = S4D(3, state_size=8, discretise=RULES[rule], by_scan=by_scan)
    for name in ("log_dt", "log_A_real", "A_imag", "B", "C", "D"):
        _set(getattr(layer, name), g[name])
    system = layer.system()
    _check(system.log_decay.exp(), g[f"{rule}_Abar"])
    _check(system.source, g[f"{rule}_Bbar"])
    _check(system.kernel(40), g[f"{rule}_kernel"])
    u = g["u"].transpose(1, 2).flatten(0, 1)
    topology = Ragged.equal(2, 40)
    y = layer.filter(u, topology)[0] + layer.D * u
    _check(y.view(2, 40, 3).transpose(1, 2), g[f"{rule}_y"])
    _, state = layer.filter(u, topology, layer.initial_state(2))
    _check(state.values, g[f"{rule}_last_state"])
    (y.view(2, 40, 3).transpose(1, 2) * g["cot_y"]).sum().backward()
    for name in ("log_dt", "log_A_real", "A_imag"):
        _check(getattr(layer, name).grad, g[f"{rule}_grad_{name}"])
    for name in ("B", "C"):
        _check(torch.view_as_complex(getattr(layer, name).grad), g[f"{rule}_grad_{name}"])


@pytest.mark.parametrize("rule", RULES)
def test_golden_s5(backend, golden, rule):
    g = golden("sequence/s5_1")
    layer = S5(4, state_size=12, discretise=RULES[rule])
    given = {"Lambda": "Lambda", "B": "B_tilde", "C": "C_tilde", "D": "D", "log_step": "log_step"}
    for name, key in given.items():
        _set(getattr(layer, name), g[key])
    u = g["u"].clone().requires_grad_()
    y = layer.filter(u, Ragged.equal(1, 33))[0] + layer.D * u
    _check(y, g[f"{rule}_y"])
    (y * g["cot_y"]).sum().backward()
    _check(u.grad, g[f"{rule}_grad_u"])
    for name, key in given.items():
        grad = getattr(layer, name).grad
        grad = torch.view_as_complex(grad) if g[key].is_complex() else grad
        _check(grad, g[f"{rule}_grad_{key}"])


def test_both_directions_of_s5_are_two_systems(golden):
    """The backward state of a token covers that token and all later ones."""
    g = golden("sequence/s5_1")
    layer, forward, backward = (kind(4, state_size=12) for kind in (BiS5, S5, S5))
    for single in (layer.ahead, forward, backward):
        for name, key in {"Lambda": "Lambda", "B": "B_tilde", "C": "C_tilde", "log_step": "log_step"}.items():
            _set(getattr(single, name), g[key])
    other = torch.randn_like(layer.C_back, dtype=torch.float64)
    layer.C_back.data, backward.C.data = other, other
    topology = Ragged.equal(1, 33)
    expected = forward.filter(g["u"], topology)[0] + backward.filter(g["u"].flip(0), topology)[0].flip(0)
    _check(layer.filter(g["u"], topology), expected)


@pytest.mark.parametrize("spectrum", [lin, inv, real, legs_spectrum])
@pytest.mark.parametrize("rule", RULES)
def test_convolution_equals_scan(spectrum, rule):
    # Steps so long that the bilinear decay of a real mode is negative.
    layer = S4D(5, state_size=8, spectrum=spectrum, discretise=RULES[rule], dt_max=2.0).double()
    x, topology = torch.randn(150, 5, dtype=torch.float64), Ragged(torch.tensor([0, 100, 100, 103, 150]))
    convolved = layer(x, topology)
    layer.by_scan = True
    _check(layer(x, topology), convolved)


@pytest.mark.parametrize("spectrum", [lin, inv, real, legs_spectrum])
def test_zero_order_hold_is_a_matrix_exponential(spectrum):
    """The exponential of [[A, B], [0, 0]] by SciPy, with the conjugate modes written out."""
    layer = S4D(2, state_size=6, spectrum=spectrum).double()
    pair = (lambda p: torch.view_as_complex(p)) if layer.oscillates else (lambda p: p)
    kernel = layer.system().kernel(9)
    for channel in range(2):
        A, B, C = (
            layer.eigenvalues()[channel].detach(),
            pair(layer.B)[channel].detach(),
            pair(layer.C)[channel].detach(),
        )
        n = A.shape[0]
        block = torch.zeros(n + 1, n + 1, dtype=A.dtype)
        block[:n, :n], block[:n, n] = torch.diag(A), B
        step = torch.from_numpy(scipy.linalg.expm((layer.log_dt[channel].exp() * block).detach().numpy()))
        h, taps = step[:n, n], []
        for _ in range(9):
            # A mode and its conjugate give twice the real part.
            taps.append((2 * (C * h).sum()).real)
            h = step[:n, :n] @ h
        _check(kernel[channel], torch.stack(taps))


def test_published_spectra():
    n = torch.arange(4, dtype=torch.float64)
    _check(lin(8), torch.complex(torch.full_like(n, -0.5), math.pi * n))
    _check(inv(8).imag, 8 / math.pi * (8 / (2 * n + 1) - 1))
    _check(real(8), -(n + 1))
    assert (legs_spectrum(64).imag > 0).all()


@pytest.mark.parametrize("growing", [False, True])
def test_dss_softmax_is_a_softmax_over_the_length(growing):
    layer = DSSSoftmax(3, state_size=4, length=30).double()
    with torch.no_grad():
        layer.Lambda[:, 0] = torch.tensor([0.3, -0.5, 2.0, -0.1]) if growing else -torch.rand(4)
    Lambda, W, dt = torch.view_as_complex(layer.Lambda), torch.view_as_complex(layer.W), layer.log_dt.exp()
    powers = torch.exp(dt[:, None, None] * Lambda[:, None] * torch.arange(30))
    expected = (W[..., None] / Lambda[:, None] * powers / powers.sum(-1, keepdim=True)).sum(1).real
    # The guard of the two divisions adds 1e-7 to the square of each divisor.
    torch.testing.assert_close(layer.system().kernel(30), expected, rtol=1e-3, atol=1e-4)


def test_dss_exp_is_its_kernel():
    layer = DSSExp(3, state_size=4).double()
    real_part, imaginary = layer.Lambda.unbind(-1)
    Lambda, W, dt = torch.complex(-real_part.exp(), imaginary), torch.view_as_complex(layer.W), layer.log_dt.exp()
    decay = dt[:, None] * Lambda
    expected = torch.stack(
        [(W * (decay.exp() - 1) / Lambda * (step * decay).exp()).sum(1).real for step in range(80)], 1
    )
    _check(layer.system().kernel(80), expected)
    _check(_kernel_by_impulse(layer, 80), expected)


@pytest.mark.parametrize("measure", [legs, legt])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_lssl_is_the_bilinear_rule_of_scipy(measure, alpha):
    """SciPy's discretisation and a dense recurrence, channel by channel."""
    layer = LSSL(3, state_size=5, measure=measure, alpha=alpha).double()
    x = torch.randn(60, 3, dtype=torch.float64)
    y = layer.filter(x, Ragged.equal(1, 60))[0]
    A, B = layer.A.detach().numpy(), layer.B.detach().numpy()
    # Parameters were made in float32.
    torch.testing.assert_close(layer.A.detach(), measure(5)[0], rtol=1e-6, atol=1e-6)
    for channel in range(3):
        step = layer.log_dt[channel].exp().item()
        system = (A, B[:, None], layer.C[channel : channel + 1].detach().numpy(), [[0.0]])
        Ad, Bd, _, _, _ = scipy.signal.cont2discrete(system, step, method="gbt", alpha=alpha)
        Ad, Bd, h = torch.from_numpy(Ad), torch.from_numpy(Bd[:, 0]), torch.zeros(5, dtype=torch.float64)
        for t in range(60):
            h = Ad @ h + Bd * x[t, channel]
            _check(y[t, channel], layer.C[channel].detach() @ h)


def test_krylov_vectors_are_powers():
    A, b = torch.randn(2, 3, 3, dtype=torch.float64) / 2, torch.randn(2, 3, dtype=torch.float64)
    for step, vector in enumerate(krylov(A, b, 11).unbind(1)):
        _check(vector, torch.einsum("cmn,cn->cm", torch.linalg.matrix_power(A, step), b))


def test_lru_starts_on_its_ring_and_is_its_recurrence():
    layer = LRU(3, state_size=400, r_min=0.5, r_max=0.9, max_phase=1.0).double()
    modulus, phase = layer.eigenvalues().abs(), layer.eigenvalues().angle()
    assert modulus.min() >= 0.5 - 1e-6
    assert modulus.max() <= 0.9 + 1e-6
    assert phase.min() >= 0
    assert phase.max() <= 1 + 1e-6
    # Uniform in area: the mean of the squared modulus is the middle; its standard error is 0.008.
    assert abs(modulus.square().mean().item() - (0.25 + 0.81) / 2) < 0.04
    torch.testing.assert_close(layer.log_gamma.exp().square(), 1 - modulus.square(), rtol=1e-5, atol=1e-6)
    x = torch.randn(50, 3, dtype=torch.float64)
    y, h = layer.filter(x, Ragged.equal(1, 50))[0], torch.zeros(400, dtype=torch.complex128)
    lam = torch.exp(torch.complex(-layer.nu.exp(), layer.theta.exp()))
    B, C = torch.view_as_complex(layer.B), torch.view_as_complex(layer.C)
    for t in range(50):
        h = lam * h + layer.log_gamma.exp() * (B @ x[t].to(B.dtype))
        _check(y[t], (C @ h).real)


def test_golden_long_convolution(golden):
    g = golden("sequence/longconv_1")
    layer = LongConv(3, length=32, squash=g["lam"].item())
    _set(layer.weight, g["kernel"])
    _check(layer.kernel(), g["squashed"])
    x = g["u"].transpose(-1, -2)
    y = layer.filter(x.flatten(0, 1), Ragged.equal(*x.shape[:2]))[0].view(x.shape) + g["D"] * x
    y = y.transpose(-1, -2)
    _check(y, g["y"])
    (y * g["cot_y"]).sum().backward()
    _check(layer.weight.grad, g["grad_kernel"])
    layer.smooth, layer.squash = 7, 0.0
    _check(layer.kernel(), g["smoothed"])
    layer.squash = g["lam_smooth_then_squash"].item()
    _check(layer.kernel(), g["smooth_then_squash"])


@pytest.mark.parametrize("smooth", [1, 7])
def test_a_new_long_convolution_trains(smooth):
    """The threshold lies below the size of the kernel, or every tap and its gradient would be zero."""
    layer = LongConv(8, length=64, smooth=smooth)
    layer(torch.randn(2, 64, 8)).square().sum().backward()
    assert (layer.kernel() != 0).float().mean() > 0.5
    assert (layer.weight.grad != 0).float().mean() > 0.5


def test_fft_convolution_is_a_direct_convolution():
    lengths = [40, 0, 3, 17]
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    kernel, x = torch.randn(2, 25, dtype=torch.float64), torch.randn(60, 2, dtype=torch.float64)
    expected = []
    for part in x.split(lengths):
        rows = [sum(kernel[:, lag] * part[t - lag] for lag in range(min(t + 1, 25))) for t in range(part.shape[0])]
        expected += rows
    _check(fft_conv(kernel, x, topology), torch.stack(expected))


def test_time_scales_do_not_decay_with_the_weights():
    for layer in (S4D(4), S5(4), LSSL(4), DSSExp(4)):
        names = {name for name, p in layer.named_parameters() if getattr(p, "_no_weight_decay", False)}
        assert names & {"log_dt", "log_step"}
        assert names & {"A_imag", "Lambda", "A"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S4D(4, state_size=5), "state_size must be even and at least 2, got 5"),
        (lambda: S5(4, state_size=8, blocks=3), "blocks must divide state_size = 8, got 3"),
        (lambda: LRU(4, r_min=0.9, r_max=0.5), "r_min and r_max must satisfy"),
        (lambda: LSSL(4, alpha=2.0), "alpha must be in"),
        (lambda: LongConv(4, smooth=4), "smooth must be odd, got 4"),
        (lambda: LongConv(4, squash=-1.0), "squash must be at least 0"),
        (lambda: S4D(4, dt_min=1.0, dt_max=0.5), "dt_min and dt_max must satisfy"),
        (lambda: legs_normal(7), "size must be even, got 7"),
    ],
)
def test_wrong_sizes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_dss_divides_by_a_small_number_from_above():
    """Gupta et al. (2022), appendix A: 1 / x becomes conj(x) / (|x|^2 + 1e-7), which is small where x vanishes."""
    x = torch.tensor([1e-4j, 2e-4 + 0j, 3.0 - 4.0j, 0j], dtype=torch.complex128)
    found = _reciprocal(x)
    expected = torch.tensor([-1e-4j / 1.1e-7, 2e-4 / 1.4e-7 + 0j, (3 + 4j) / 25, 0j], dtype=torch.complex128)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=0)
