"""Perturb, then diagonalise: the perturbation, and the transfer function that it is for."""

import math

import pytest
import torch

from graphseq.scan import Ragged
from graphseq.sequence import LSSL, S4D, S4PTD, S5, S5PTD, bilinear, legs, legs_normal, legs_spectrum, perturbed_legs


def _transfer(eigenvalues, B, C, frequencies):
    """C (i w - Λ)^-1 B at each frequency."""
    return ((C * B) / (1j * frequencies[:, None] - eigenvalues)).sum(-1)


def _transfers(size):
    """On the imaginary axis: of LegS, of its perturbed form, and of its normal part, for one read-out."""
    A, B = legs(size)
    C = torch.randn(size, dtype=A.dtype, generator=torch.Generator().manual_seed(0))
    frequencies = torch.logspace(-2, 4, 600, dtype=A.dtype)
    system = 1j * frequencies[:, None, None] * torch.eye(size) - A
    exact = torch.linalg.solve(system, B.to(system.dtype)) @ C.to(system.dtype)
    perturbed, normal = perturbed_legs(size), legs_normal(size)
    kind = normal.eigenvalues.dtype
    B, C = B.to(kind), C.to(kind)
    near = _transfer(perturbed.eigenvalues, perturbed.inverse @ B, C @ perturbed.vectors, frequencies)
    # Both of each conjugate pair, and half of B: the published limit of the normal part is that of LegS.
    eigenvalues = torch.cat([normal.eigenvalues, normal.eigenvalues.conj()])
    vectors = torch.cat([normal.vectors, normal.vectors.conj()], 1)
    spiked = _transfer(eigenvalues, vectors.mH @ B / 2, C @ vectors, frequencies)
    return frequencies, exact, near, spiked


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_the_perturbation_is_small_stable_and_well_conditioned(size):
    basis = perturbed_legs(size)
    A = legs(size)[0].to(basis.vectors.dtype)
    E = basis.vectors @ torch.diag(basis.eigenvalues) @ basis.inverse - A
    assert E.imag.abs().max() < 1e-8 * A.abs().max()
    assert torch.linalg.matrix_norm(E, 2) <= 1.01e-3 * torch.linalg.matrix_norm(A, 2)
    assert basis.eigenvalues.real.max() < -0.3
    # That of LegS itself passes 1e10 at 16 states.
    assert torch.linalg.cond(basis.vectors) < 1e3


def test_a_random_perturbation_would_not_be_stable():
    A = legs(64)[0]
    E = torch.randn(64, 64, dtype=A.dtype)
    E *= 0.1 * torch.linalg.matrix_norm(A, 2) / torch.linalg.matrix_norm(E, 2)
    assert torch.linalg.eigvals(A + E).real.max() > 10
    assert perturbed_legs(64, 0.1).eigenvalues.real.max() < 0


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_transfer_function_stays_near_that_of_legs_where_the_normal_part_has_spikes(size):
    _, exact, near, spiked = _transfers(size)
    largest = exact.abs().max()
    assert (near - exact).abs().max() / largest < 0.2
    assert (spiked - exact).abs().max() / largest > 1


@pytest.mark.parametrize("size", [32])
def test_a_fourier_mode_at_a_spike_disturbs_the_normal_part_alone(size):
    """What a wave of unit size adds to the output, in the steady state, is the transfer function at its frequency."""
    frequencies, exact, near, spiked = _transfers(size)
    worst = (spiked - exact).abs().argmax()
    wave = torch.exp(1j * frequencies[worst] * torch.linspace(0, 1, 50, dtype=torch.float64))
    answers = [(gain[worst] * wave).real for gain in (exact, near, spiked)]
    error = [(answer - answers[0]).norm() / answers[0].norm() for answer in answers]
    assert error[2] > 20 * error[1]


def _answer_to_a_wave(layer, frequency, step=0.01, size=32):
    """What a layer that holds LegS in its own way, with one read-out for all, makes of a wave, once it is steady."""
    A, B = legs(size)
    C = torch.randn(size, dtype=A.dtype, generator=torch.Generator().manual_seed(0))
    layer = layer.double().requires_grad_(False)
    (layer.log_step if isinstance(layer, S5) else layer.log_dt).fill_(math.log(step))
    if isinstance(layer, LSSL):
        layer.A.copy_(A)
        layer.B.copy_(B)
        layer.C.copy_(C[None])
    else:
        basis = perturbed_legs(size) if isinstance(layer, S5PTD) else legs_normal(size)
        write = basis.inverse @ (B if isinstance(layer, S5PTD) else B / 2).to(basis.inverse.dtype)
        layer.B.copy_(torch.view_as_real(write).view_as(layer.B))
        layer.C.copy_(torch.view_as_real(C.to(basis.vectors.dtype) @ basis.vectors).view_as(layer.C))
        if isinstance(layer, S5):
            layer.Lambda.copy_(torch.view_as_real(basis.eigenvalues))
    # The trapezoid rule shows a system its frequencies bent.
    wave = torch.cos(2 * math.atan(frequency * step / 2) * torch.arange(3000, dtype=torch.float64))
    return layer.filter(wave[:, None], Ragged.equal(1, 3000))[0][-1000:, 0]


def test_a_wave_in_the_input_shakes_s4d_and_s5_and_not_s5_ptd():
    """The layers themselves, run on a wave at the worst spike, beside the exact system in an LSSL."""
    frequencies, exact, _, spiked = _transfers(32)
    worst = frequencies[(spiked - exact).abs().argmax()].item()
    expected = _answer_to_a_wave(LSSL(1, state_size=32, measure=legs), worst)
    slow = _answer_to_a_wave(LSSL(1, state_size=32, measure=legs), 0.1)
    s4d = _answer_to_a_wave(S4D(1, state_size=32, spectrum=legs_spectrum, discretise=bilinear), worst)
    s5 = _answer_to_a_wave(S5(1, state_size=32, discretise=bilinear), worst)
    ptd = _answer_to_a_wave(S5PTD(1, state_size=32, discretise=bilinear), worst)
    assert (s4d - expected).norm() > 0.5 * slow.norm()
    assert (s5 - expected).norm() > 0.5 * slow.norm()
    assert (ptd - expected).norm() < 0.05 * slow.norm()


@pytest.mark.parametrize("kind", [S4PTD, S5PTD])
def test_layers_start_as_the_perturbed_system(kind):
    """A dense matrix exponential of the system in its own basis gives the same kernel."""
    layer = kind(2, state_size=8).double()
    basis, B = perturbed_legs(8), legs(8)[1]
    A = (basis.vectors @ torch.diag(basis.eigenvalues) @ basis.inverse).real
    log_step = torch.full_like(layer.log_dt if kind is S4PTD else layer.log_step, -3.0)
    (layer.log_dt if kind is S4PTD else layer.log_step).data = log_step
    step = torch.exp(torch.tensor(-3.0, dtype=torch.float64))
    C = (torch.view_as_complex(layer.C) @ basis.inverse).real
    if kind is S5PTD:
        B = (basis.vectors @ torch.view_as_complex(layer.B)).real[:, 1]
    block = torch.zeros(9, 9, dtype=torch.float64)
    block[:8, :8], block[:8, 8] = A, B
    discrete = torch.linalg.matrix_exp(step * block)
    x = torch.zeros(12, 2, dtype=torch.float64)
    x[0, 1] = 1
    y, h = layer.filter(x, Ragged.equal(1, 12))[0], discrete[:8, 8]
    for t in range(12):
        expected = C @ h if kind is S5PTD else torch.stack([torch.zeros(()).double(), C[1] @ h])
        # Parameters were made in float32, and the condition number of the basis is a few hundred.
        torch.testing.assert_close(y[t], expected, rtol=1e-4, atol=1e-4)
        h = discrete[:8, :8] @ h


def test_the_same_arguments_give_the_same_basis():
    first = perturbed_legs(8, 1e-2)
    perturbed_legs.cache_clear()
    torch.manual_seed(5)
    again = perturbed_legs(8, 1e-2)
    torch.testing.assert_close(first.eigenvalues, again.eigenvalues, rtol=0, atol=0)
