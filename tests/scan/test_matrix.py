"""matrix_scan: parity of backends, independent products, range, gradients, and edges."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import (
    LogSumExp,
    MaxPlus,
    Ragged,
    SumProduct,
    available_backends,
    matrix_scan,
    two_way_matrix_scan,
    use_backend,
)
from tests.scan.strategies import topologies

OPERATION = "matrix_scan"
FAST = [name for name in available_backends(OPERATION) if name != "reference"]
SEMIRINGS = [SumProduct(), MaxPlus(), LogSumExp()]
TOPOLOGY = Ragged(torch.tensor([0, 3, 3, 4, 9]))


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def restored(scaled, semiring):
    """The matrices themselves, or their logarithms."""
    if isinstance(semiring, SumProduct):
        return scaled.values * scaled.log_scale.exp()[:, None, None]
    return scaled.values + scaled.log_scale[:, None, None]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("semiring", SEMIRINGS, ids=repr)
@given(topology=topologies(), size=st.integers(1, 4), rows=st.sampled_from([None, 1, 3]))
@settings(max_examples=30, deadline=None)
def test_fast_backends_equal_the_reference(backend, semiring, topology, size, rows):
    # Signed entries: a sum-product need not be of probabilities.
    leaves = [randn(topology.num_states, size, size), randn(topology.num_states)]
    initial = None
    if rows is not None:
        shape = (size, rows) if topology.reversed else (rows, size)
        initial = randn(topology.num_segments, *shape)
        leaves.append(initial)
    leaves = [leaf.requires_grad_() for leaf in leaves]

    def outcome(name):
        with use_backend(name):
            found = matrix_scan(leaves[0], topology, log_scale=leaves[1], initial=initial, semiring=semiring)
        weight = torch.linspace(-1, 1, found.values.numel(), dtype=torch.float64).reshape(found.values.shape)
        # A function of the products: of their two parts alone the gradient depends on how they are divided.
        scale = found.log_scale.detach()[:, None, None]
        alike = found._replace(log_scale=found.log_scale - found.log_scale.detach())
        value = (restored(alike, semiring) * weight).sum() + 0 * sum(leaf.sum() for leaf in leaves)
        return [found.values, scale, *torch.autograd.grad(value, leaves)]

    for a, b in zip(outcome("reference"), outcome(backend), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("reverse", [False, True])
def test_products_are_numpys(backend, reverse):
    matrices = randn(9, 2, 2)
    found = restored(matrix_scan(matrices, TOPOLOGY, reverse=reverse), SumProduct())
    bounds = TOPOLOGY.ptr.tolist()
    for a, b in itertools.pairwise(bounds):
        for t in range(a, b):
            factors = matrices[t:b] if reverse else matrices[a : t + 1]
            expected = np.eye(2)
            for factor in factors.numpy():
                expected = expected @ factor
            torch.testing.assert_close(found[t].numpy(), expected, rtol=1e-12, atol=1e-12)


def test_best_paths_are_those_of_all_paths(backend):
    matrices = randn(5, 3, 3)
    found = restored(matrix_scan(matrices, Ragged.equal(1, 5), semiring=MaxPlus()), MaxPlus())[-1]
    paths = torch.cartesian_prod(*[torch.arange(3)] * 6)
    scores = sum(matrices[t, paths[:, t], paths[:, t + 1]] for t in range(5))
    for a in range(3):
        for b in range(3):
            assert found[a, b] == pytest.approx(
                float(scores[(paths[:, 0] == a) & (paths[:, -1] == b)].max()), abs=1e-12
            )


def test_logarithms_are_those_of_the_products(backend):
    matrices = torch.rand(9, 3, 3, dtype=torch.float64)
    plain = restored(matrix_scan(matrices, TOPOLOGY), SumProduct()).log()
    logs = restored(matrix_scan(matrices.log(), TOPOLOGY, semiring=LogSumExp()), LogSumExp())
    torch.testing.assert_close(logs, plain, rtol=1e-12, atol=1e-12)


def test_two_ways_are_both_scans(backend):
    matrices, initial, final, log_scale = randn(9, 2, 2), randn(4, 1, 2), randn(4, 2, 3), randn(9)
    both = two_way_matrix_scan(matrices, TOPOLOGY, log_scale=log_scale, initial=initial, final=final)
    one = matrix_scan(matrices, TOPOLOGY, log_scale=log_scale, initial=initial)
    other = matrix_scan(matrices, TOPOLOGY, log_scale=log_scale, initial=final, reverse=True)
    for found, expected in zip(both, (one, other), strict=True):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("semiring", SEMIRINGS, ids=repr)
def test_long_products_stay_in_range(backend, semiring):
    """A thousand factors of e^±100 or so; the exact product is known for equal matrices of rank one."""
    length, log_size = 1000, 100 * randn(1000)
    entries = torch.tensor([[1.0, 0.5], [1.0, 0.5]])
    matrices = (entries if isinstance(semiring, SumProduct) else entries.log()).expand(length, 2, 2)
    found = matrix_scan(matrices, Ragged.equal(1, length), log_scale=log_size, semiring=semiring)
    growth = 0.0 if isinstance(semiring, MaxPlus) else np.log(1.5)
    expected = log_size.cumsum(0) + growth * torch.arange(length)
    assert found.values.isfinite().all()
    # Rounding of the float32 normalisations: 1e-7 each, and they add up along the tree only.
    torch.testing.assert_close(found.log_scale, expected, rtol=1e-9, atol=2e-4)


@pytest.mark.parametrize("semiring", SEMIRINGS, ids=repr)
def test_zero_makes_zero_and_no_nan(backend, semiring):
    zero = 0.0 if isinstance(semiring, SumProduct) else -torch.inf
    matrices = torch.rand(6, 2, 2, dtype=torch.float64)
    matrices[1] = zero
    matrices[3, :, 0] = zero
    matrices.requires_grad_()
    found = matrix_scan(matrices, Ragged(torch.tensor([0, 3, 6])), semiring=semiring)
    assert (found.values[1:3] == zero).all()
    assert found.log_scale.isfinite().all()
    assert (found.values[3, :, 0] == zero).all()
    assert not found.values.isnan().any()
    possible = found.values > -torch.inf
    (gradient,) = torch.autograd.grad(found.values[possible].sum() + found.log_scale.sum() * 0, matrices)
    assert gradient.isfinite().all()


def test_ratios_beyond_the_range_need_logarithms(backend):
    """A chain that must stay in a state whose observations are e^-150 as likely as another's."""
    log_matrices = torch.tensor([[-150.0, -torch.inf], [-torch.inf, 0.0]]).expand(4, 2, 2)
    initial = torch.tensor([[[0.0, -torch.inf]]])
    found = matrix_scan(log_matrices, Ragged.equal(1, 4), initial=initial, semiring=LogSumExp())
    assert found.log_scale[-1] == -600
    assert matrix_scan(log_matrices.exp(), Ragged.equal(1, 4), initial=initial.exp()).values[-1].sum() == 0


def test_derivatives_of_both_orders(backend):
    topology = Ragged(torch.tensor([0, 2, 2, 5]))
    matrices = torch.rand(5, 2, 2, dtype=torch.float64).requires_grad_()
    log_scale, initial = randn(5).requires_grad_(), torch.rand(3, 1, 2, dtype=torch.float64).requires_grad_()

    def scan(matrices, log_scale, initial):
        # Together: alone, each part has a gradient only up to the division between them.
        behind, ahead = two_way_matrix_scan(matrices, topology, log_scale=log_scale, initial=initial)
        return restored(behind, SumProduct()), ahead.values.sum((1, 2)).log() + ahead.log_scale

    assert torch.autograd.gradcheck(scan, (matrices, log_scale, initial))
    assert torch.autograd.gradgradcheck(scan, (matrices, log_scale, initial))


@pytest.mark.parametrize("semiring", [MaxPlus(), LogSumExp()], ids=repr)
def test_derivatives_of_logarithms(backend, semiring):
    def scan(matrices):
        return restored(matrix_scan(matrices, TOPOLOGY, semiring=semiring), semiring)

    assert torch.autograd.gradcheck(scan, (randn(9, 2, 2).requires_grad_(),))


def test_single_precision_is_exact_over_long_products():
    """The scale is a sum over a tree, so that sixteen thousand roundings do not add up."""
    generator = torch.Generator().manual_seed(1)
    matrices = torch.rand(16384, 5, 5, dtype=torch.float64, generator=generator)
    topology, initial = Ragged.equal(1, 16384), torch.ones(1, 1, 5, dtype=torch.float64)
    exact = matrix_scan(matrices, topology, initial=initial).log_scale[-1]
    single = matrix_scan(matrices.float(), topology, initial=initial.float()).log_scale[-1]
    assert abs(float(single - exact)) < 0.02


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [1], [1, 0, 1]])
def test_empty_and_single(backend, lengths):
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    matrices = randn(topology.num_states, 2, 2)
    for initial in (None, randn(len(lengths), 1, 2)):
        found = matrix_scan(matrices, topology, initial=initial)
        expected = matrices if initial is None else initial[topology.segment] @ matrices
        torch.testing.assert_close(restored(found, SumProduct()), expected, rtol=1e-12, atol=1e-12)


def test_half_precision_is_computed_in_single():
    matrices = torch.rand(9, 2, 2).half()
    found = matrix_scan(matrices, TOPOLOGY)
    assert found.values.dtype is torch.float16
    exact = matrix_scan(matrices.float(), TOPOLOGY)
    torch.testing.assert_close(found.log_scale, exact.log_scale)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"matrices": torch.ones(9, 2, 3)}, "matrices must have shape [9, 3, 3], got [9, 2, 3]"),
        ({"matrices": torch.ones(8, 2, 2)}, "ptr must end at the number of rows of matrices: ptr ends at 9"),
        ({"initial": torch.ones(4, 2, 1)}, "initial must have shape [4, 2, 2], got [4, 2, 1]"),
        ({"log_scale": torch.ones(9, 1)}, "log_scale must have shape [9], got [9, 1]"),
        ({"matrices": torch.ones(9, 0, 0)}, "matrices must have at least one row and column"),
    ],
)
def test_wrong_arguments_are_named(change, words, unchecked):
    with pytest.raises(ValueError) as caught:
        matrix_scan(**{"matrices": torch.ones(9, 2, 2), "topology": TOPOLOGY, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"matrices": torch.ones(9, 2, 2, dtype=torch.complex64)},
            "matrices must have a real dtype, got torch.complex64",
        ),
        ({"initial": torch.ones(4, 1, 2).double()}, "initial must have the dtype of matrices (torch.float32)"),
        ({"topology": [0, 9]}, "topology must be a Ragged, got list"),
    ],
)
def test_wrong_kinds_are_named(change, words, unchecked):
    with pytest.raises(TypeError) as caught:
        matrix_scan(**{"matrices": torch.ones(9, 2, 2), "topology": TOPOLOGY, **change})
    assert words in str(caught.value)
