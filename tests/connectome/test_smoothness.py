"""Smooth time courses: tridiagonal systems by scans, the constrained optimum, and what the price does."""

import numpy as np
import pytest
import torch
from scipy.linalg import solveh_banded
from scipy.optimize import lsq_linear

from graphseq.connectome import HALS, NonNegativeCP
from graphseq.connectome.factorisation.smoothness import pivots, roughness_times, smooth_course, smooth_solve


def _bands(g, w, time):
    """Upper form of gI + wL."""
    degree = np.full(time, 2.0)
    degree[0] -= 1
    degree[-1] -= 1  # also where it is the first: a single frame has no neighbour
    return np.stack([np.full(time, -w), g + w * degree])


@pytest.mark.parametrize("time", [1, 2, 3, 50, 3000])
def test_scans_solve_the_tridiagonal_system(time):
    g = torch.tensor([1.0, 1e-3, 5.0, 2.0, 1e4], dtype=torch.float64)
    w = torch.tensor([1.0, 10.0, 1e-8, 1e3, 1e-3], dtype=torch.float64)
    right = torch.randn(5, time, dtype=torch.float64)
    found = smooth_solve(right, pivots(g, w, time), w)
    for row in range(5):
        bands = _bands(g[row].item(), w[row].item(), time)
        expected = solveh_banded(bands, right[row].numpy()) if time > 1 else right[row].numpy() / bands[1]
        # The condition number of the second system is 4e4.
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_the_laplacian_is_the_gradient_of_squared_steps():
    course = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(0.5 * course.diff(dim=-1).square().sum(), course)
    torch.testing.assert_close(roughness_times(course.detach()), gradient)


def test_a_course_reaches_the_constrained_optimum():
    g, w = torch.tensor([1.0, 0.5], dtype=torch.float64), torch.tensor([2.0, 0.1], dtype=torch.float64)
    right = torch.randn(2, 12, dtype=torch.float64)
    course = torch.rand(2, 12, dtype=torch.float64)

    def objective(c):
        return 0.5 * (g * c.square().sum(1) + w * c.diff(dim=1).square().sum(1)) - (right * c).sum(1)

    last = objective(course)
    for _ in range(200):
        course = smooth_course(course, right, g, w, pivots(g, w, 12))
        assert (objective(course) <= last + 1e-12).all()
        last = objective(course)
    for row in range(2):
        steps = np.diff(np.eye(12), axis=0) * np.sqrt(w[row].item())
        root = np.linalg.cholesky(g[row].item() * np.eye(12) + steps.T @ steps).T
        best = lsq_linear(root, np.linalg.solve(root.T, right[row].numpy()), (0, np.inf), tol=1e-14)
        np.testing.assert_allclose(course[row].numpy(), best.x, atol=1e-6)


def test_a_higher_price_makes_smoother_courses():
    t = torch.linspace(0, 6, 60, dtype=torch.float64)
    slow = torch.stack([1 + t.sin(), 1 + (2 * t).cos()], 1)
    x = torch.einsum("ir,jr,kr->ijk", torch.rand(15, 2, dtype=torch.float64), slow, torch.rand(4, 2).double())
    x = x + 0.5 * torch.rand(x.shape, dtype=torch.float64)
    mask = torch.rand(15, 4) < 0.8
    mask[0] = mask[:, 0] = True
    for m in (None, mask):
        rough = []
        for smooth in (0.0, 1.0, 100.0):
            fit = NonNegativeCP(2, smooth=smooth, solver=HALS(2), restarts=1, max_sweeps=10).fit(x, m)
            rough.append((fit.weights * fit.factors[1].diff(dim=0).square().sum(0)).sum().item())
        assert rough[0] > rough[1] > rough[2]


def test_the_price_does_not_depend_on_where_the_scale_lies():
    """Moving scale from the time course into the other modes changes neither the path nor the price."""
    x = torch.rand(6, 8, 3, dtype=torch.float64)
    start = [torch.rand(n, 2, dtype=torch.float64) for n in x.shape]
    moved = [8 * start[0], start[1] / 64, 8 * start[2]]
    method = NonNegativeCP(2, solver=HALS(2), smooth=2.0, max_sweeps=6, tolerance=0.0)
    one, other = method.fit(x, start=start), method.fit(x, start=moved)
    torch.testing.assert_close(one.objectives, other.objectives, rtol=1e-9, atol=0)
