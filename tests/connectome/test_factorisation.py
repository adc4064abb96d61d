"""Non-negative factorisation: reference numbers, objectives that never rise, gaps, sparse data, restarts."""

import pytest
import torch

from graphseq.connectome import HALS, BoundedLBFGS, MultiplicativeUpdates, NonNegativeCP

EXACT = {"rtol": 1e-9, "atol": 1e-11}
SOLVERS = {"HALS": HALS(), "one pass": HALS(1), "MU": MultiplicativeUpdates(), "L-BFGS-B": BoundedLBFGS()}


def _planted(sizes=(12, 10, 5), rank=3, noise=0.05):
    factors = [torch.rand(size, rank, dtype=torch.float64) * (torch.rand(size, rank) < 0.6) for size in sizes]
    exact = torch.einsum("ir,jr,kr->ijk", *factors)
    return exact + noise * torch.rand(sizes, dtype=torch.float64)


def _start(sizes=(12, 10, 5), rank=3, restarts=2):
    return [torch.rand(restarts, size, rank, dtype=torch.float64) for size in sizes]


def _separable(sizes=(12, 10, 5)):
    mask = torch.rand(sizes[0], sizes[2]) < 0.7
    mask[0] = True
    mask[:, 0] = True
    return mask


def _speckled(sizes=(12, 10, 5)):
    return torch.rand(sizes) < 0.8


def _never_rises(objectives):
    """To rounding of the sums that make up an objective."""
    return bool((objectives.diff() <= 1e-12 * objectives[0]).all())


@pytest.mark.parametrize("prefix", ["", "masked_"])
@pytest.mark.parametrize("sweeps", [1, 2, 5, 20])
def test_hals_is_the_reference(golden, prefix, sweeps):
    data = golden("connectome/ntf_hals_dev")
    method = NonNegativeCP(data["rank"].item(), tolerance=0.0, max_sweeps=sweeps)
    mask = data["mask"] if prefix else None
    fit = method.fit(data["X"], mask, [data[f"init_{m}"] for m in range(3)])
    expected = [data[f"{prefix}factor_{m}_after_{sweeps}"] for m in range(3)]
    norms = [f.norm(dim=0) for f in expected]
    weights, order = torch.stack(norms).prod(0).sort(descending=True)
    torch.testing.assert_close(fit.weights, weights, **EXACT)
    for found, factor, norm in zip(fit.factors, expected, norms, strict=True):
        # After one sweep a component has died, and is zero in every mode; the next sweep revives it.
        unit = torch.where(weights > 0, (factor / norm)[:, order], 0)
        torch.testing.assert_close(found, unit, **EXACT)
    error = data[f"{prefix}rel_error_after_{sweeps}"].item()
    assert fit.relative_error == pytest.approx(error, rel=1e-9)
    assert fit.errors[-1].item() == pytest.approx(error, rel=1e-9)
    assert len(fit.errors) == sweeps and not fit.converged


@pytest.mark.parametrize("smooth", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("gaps", ["none", "separable", "speckled"])
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_the_objective_never_rises(solver, gaps, smooth):
    x = _planted()
    mask = {"none": None, "separable": _separable(), "speckled": _speckled()}[gaps]
    method = NonNegativeCP(3, solver=solver, restarts=2, smooth=smooth, tolerance=0.0, max_sweeps=12)
    fit = method.fit(x, mask)
    assert len(fit.restarts) == 2
    for restart in fit.restarts:
        assert len(restart.objectives) > 5
        assert _never_rises(restart.objectives)
        assert all((f >= 0).all() for f in restart.factors)
        if not smooth:
            torch.testing.assert_close(restart.objectives, 0.5 * restart.errors.square() * _energy(x, mask))


def _energy(x, mask):
    spread = torch.ones_like(x, dtype=torch.bool) if mask is None else mask if mask.dim() == 3 else mask[:, None]
    return x[spread.expand_as(x)].square().sum()


def _plain_hals(x, mask, factors, sweeps, passes):
    """Row by row over what was observed, nothing shared."""
    factors = [f.clone() for f in factors]
    letters = "ijkl"[: x.dim()]
    for _ in range(sweeps):
        for mode in range(x.dim()):
            others = [m for m in range(x.dim()) if m != mode]
            terms = ",".join(f"{letters[m]}r" for m in others)
            columns = "".join(letters[m] for m in others)
            design = torch.einsum(f"{terms}->{columns}r", *[factors[m] for m in others]).flatten(0, -2)
            for row in range(x.shape[mode]):
                known = mask.select(mode, row).flatten()
                rows, target = design[known], x.select(mode, row).flatten()[known]
                gram, product = rows.T @ rows, rows.T @ target
                f = factors[mode][row]
                for _ in range(passes):
                    for k in range(len(f)):
                        if gram[k, k] > 0:
                            f[k] = max(0.0, f[k] + (product[k] - gram[k] @ f) / gram[k, k])
    return factors


@pytest.mark.parametrize("sizes", [(8, 7), (8, 7, 4), (6, 5, 4, 3)])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_separable_mask_is_exact_in_any_order(sizes, gaps):
    x, start = torch.rand(sizes, dtype=torch.float64), [torch.rand(size, 3, dtype=torch.float64) for size in sizes]
    mask = torch.rand(sizes[0], sizes[-1]) < (0.6 if gaps else 2)
    mask[0] = mask[:, 0] = True
    spread = mask.view(sizes[0], *[1] * (len(sizes) - 2), sizes[-1]).expand(sizes)
    plain = _plain_hals(x, spread, start, sweeps=3, passes=2)
    fit = NonNegativeCP(3, solver=HALS(2), tolerance=0.0, max_sweeps=3).fit(x, mask if gaps else None, start)
    letters = "ijkl"[: len(sizes)]
    model = torch.einsum(",".join(f"{a}r" for a in letters) + "->" + letters, *plain)
    torch.testing.assert_close(fit.reconstruct(), model, **EXACT)
    error = ((x - model)[spread].norm() / x[spread].norm()).item()
    assert fit.relative_error == pytest.approx(error, rel=1e-9)
    assert fit.errors[-1].item() == pytest.approx(error, rel=1e-9)


def test_blocks_of_rows_change_nothing(monkeypatch):
    x, mask = _planted(), _separable()
    method = NonNegativeCP(3, restarts=2, max_sweeps=4, tolerance=0.0)
    whole = method.fit(x, mask)
    monkeypatch.setattr("graphseq.connectome.factorisation.grams.BLOCK", 1)
    torch.testing.assert_close(method.fit(x, mask).reconstruct(), whole.reconstruct(), **EXACT)


def test_what_was_not_observed_is_never_read():
    x, mask = _planted(), _separable()
    method = NonNegativeCP(2, restarts=2, max_sweeps=5)
    for m in (mask, mask[:, None].expand_as(x).clone()):
        other = torch.where(mask[:, None], x, torch.nan)
        torch.testing.assert_close(method.fit(other, m).reconstruct(), method.fit(x, m).reconstruct(), rtol=0, atol=0)


def test_imputation_ends_where_the_exact_mask_does():
    x, mask = _planted(noise=0.2), _separable()
    method = NonNegativeCP(2, restarts=1, max_sweeps=1000, tolerance=1e-11)
    exact, imputed = method.fit(x, mask), method.fit(x, mask[:, None].expand_as(x).clone())
    assert imputed.relative_error == pytest.approx(exact.relative_error, rel=1e-6)
    assert len(exact.errors) < len(imputed.errors)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("smooth", [0.0, 0.5])
def test_sparse_data_are_the_dense_ones(solver, smooth):
    x = _planted() * (torch.rand(12, 10, 5) < 0.2)
    x[3], x[:, :, 2] = 0, 0
    method = NonNegativeCP(3, solver=solver, restarts=2, smooth=smooth, max_sweeps=5, tolerance=0.0)
    start = _start()
    dense, sparse = method.fit(x, start=start), method.fit(x.to_sparse_coo(), start=start)
    torch.testing.assert_close(sparse.reconstruct(), dense.reconstruct(), rtol=1e-7, atol=1e-9)
    assert sparse.relative_error == pytest.approx(dense.relative_error, rel=1e-9)


@pytest.mark.parametrize("block", [1, 100])
def test_blocks_of_entries_change_nothing(monkeypatch, block):
    x = (_planted() * (torch.rand(12, 10, 5) < 0.3)).to_sparse_coo()
    method = NonNegativeCP(3, restarts=2, max_sweeps=3)
    whole = method.fit(x)
    monkeypatch.setattr("graphseq.connectome.factorisation.sparse.BLOCK", block)
    assert torch.equal(method.fit(x).reconstruct(), whole.reconstruct())


@pytest.mark.parametrize("gaps", [False, True])
def test_a_restart_does_not_depend_on_its_company(gaps):
    """They settle after unequal numbers of sweeps, so the batch shrinks on the way."""
    x, start = _planted(), _start(restarts=5)
    mask = _separable() if gaps else None
    method = NonNegativeCP(3, tolerance=1e-5, max_sweeps=300)
    together = method.fit(x, mask, start)
    alone = [method.fit(x, mask, [f[s] for f in start]) for s in range(5)]
    alone.sort(key=lambda fit: fit.relative_error)
    assert len({len(fit.errors) for fit in alone}) > 1
    for one, other in zip(together.restarts, alone, strict=True):
        assert len(one.errors) == len(other.errors) and one.converged
        torch.testing.assert_close(one.reconstruct(), other.reconstruct(), rtol=1e-6, atol=1e-8)


def test_more_restarts_begin_with_the_same():
    x = _planted()
    few, many = (NonNegativeCP(3, restarts=n, max_sweeps=20, seed=3).fit(x) for n in (1, 4))
    errors = [fit.relative_error for fit in many.restarts]
    assert errors == sorted(errors) and many.relative_error == errors[0] <= few.relative_error
    assert min(abs(few.relative_error - error) for error in errors) < 1e-9
    other = NonNegativeCP(3, restarts=1, max_sweeps=20, seed=4).fit(x)
    assert other.relative_error != few.relative_error
    assert torch.equal(NonNegativeCP(3, restarts=1, max_sweeps=20, seed=3).fit(x).weights, few.weights)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_order_of_pairs_and_animals_goes_through(solver):
    """Sums run in another order, so factors agree to rounding that a few sweeps have not amplified."""
    x, mask, start = _planted(), _separable(), _start(restarts=1)
    pairs, animals = torch.randperm(12), torch.randperm(5)
    method = NonNegativeCP(3, solver=solver, max_sweeps=4, tolerance=0.0)
    fit = method.fit(x, mask, start)
    moved = method.fit(
        x[pairs][:, :, animals],
        mask[pairs][:, animals],
        [start[0][:, pairs], start[1], start[2][:, animals]],
    )
    torch.testing.assert_close(moved.reconstruct(), fit.reconstruct()[pairs][:, :, animals], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(moved.factors[0], fit.factors[0][pairs], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(moved.factors[2], fit.factors[2][animals], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("gaps", ["none", "separable", "speckled"])
def test_all_solvers_find_the_planted_components(gaps):
    x = _planted(noise=0.0)
    mask = {"none": None, "separable": _separable(), "speckled": _speckled()}[gaps]
    for solver, bound in ((HALS(), 1e-2), (BoundedLBFGS(), 0.02), (MultiplicativeUpdates(), 0.1)):
        fit = NonNegativeCP(3, solver=solver, restarts=2, tolerance=1e-7, max_sweeps=80).fit(x, mask)
        assert fit.relative_error < bound, solver


def test_factors_are_unit_columns_by_weight():
    fit = NonNegativeCP(3, restarts=2, max_sweeps=30).fit(_planted())
    assert (fit.weights.diff() <= 0).all()
    for factor in fit.factors:
        torch.testing.assert_close(factor.norm(dim=0), torch.ones(3, dtype=torch.float64))


def test_the_last_error_resolves_what_sums_of_products_do_not():
    """In float32 products settle the relative error to about 3e-4; here it is 1e-5."""
    x = torch.einsum("i,j,k->ijk", *(torch.rand(size) + 0.1 for size in (20, 15, 10)))
    x = x + 1e-5 * x.std() * torch.randn(x.shape)
    fit = NonNegativeCP(1, restarts=1, max_sweeps=20, tolerance=0.0).fit(x)
    assert fit.factors[0].dtype == torch.float32
    error = (x.double() - fit.reconstruct().double()).norm() / x.double().norm()
    assert fit.relative_error == pytest.approx(error.item(), rel=0.02) and error < 3e-5


def test_float32_agrees_with_float64():
    x, mask, start = _planted(), _separable(), _start()
    method = NonNegativeCP(3, max_sweeps=10, tolerance=0.0)
    for m in (None, mask):
        wide, narrow = method.fit(x, m, start), method.fit(x.float(), m, start)
        assert narrow.relative_error == pytest.approx(wide.relative_error, rel=1e-3)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_an_all_zero_tensor_is_explained_by_nothing(solver, smooth):
    fit = NonNegativeCP(2, solver=solver, restarts=2, smooth=smooth).fit(torch.zeros(4, 3, 2))
    assert fit.relative_error == 0 and (fit.weights == 0).all()
    assert all((f == 0).all() for f in fit.factors) and (fit.reconstruct() == 0).all()


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("sizes", [(6, 1, 3), (6, 5, 1), (1, 5, 3), (1, 1, 1)])
def test_one_frame_one_animal_one_pair(solver, smooth, sizes):
    x = torch.rand(sizes, dtype=torch.float64)
    fit = NonNegativeCP(2, solver=solver, restarts=2, smooth=smooth, max_sweeps=8).fit(x)
    assert all(f.isfinite().all() for f in fit.factors) and fit.relative_error < 1
    assert _never_rises(fit.objectives)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_a_pair_never_seen_has_no_part_in_anything(solver, smooth):
    x, mask = _planted(), _separable()
    mask[4], mask[:, 3] = False, False
    for m in (mask, mask[:, None].expand_as(x).clone()):
        fit = NonNegativeCP(2, solver=solver, restarts=2, smooth=smooth, max_sweeps=5).fit(x, m)
        assert (fit.factors[0][4] == 0).all() and (fit.factors[2][3] == 0).all()
        assert all(f.isfinite().all() for f in fit.factors)


def test_negative_numbers_are_for_solvers_that_take_them():
    x = _planted() - 0.1
    assert NonNegativeCP(2, restarts=1, max_sweeps=5).fit(x).relative_error < 1
    for data in (x, x.to_sparse_coo()):
        with pytest.raises(ValueError, match="x must not be negative for MultiplicativeUpdates: take HALS"):
            NonNegativeCP(2, solver=MultiplicativeUpdates()).fit(data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"max_sweeps": 0}, "max_sweeps must be at least 1, got 0"),
        ({"smooth": -1.0}, "smooth must be at least 0 and finite, got -1"),
        ({"tolerance": float("nan")}, "tolerance must be at least 0 and finite, got nan"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NonNegativeCP(**{"rank": 2, **settings})
    with pytest.raises(ValueError, match="passes must be at least 1, got 0"):
        HALS(0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.rand(3)}, "x must have at least two modes"),
        ({"x": torch.rand(3, 0, 2)}, r"none of size 0, got shape \[3, 0, 2\]"),
        ({"x": torch.full((3, 4, 2), torch.inf)}, r"x must be finite where observed, got inf at \[0, 0, 0\]"),
        ({"mask": torch.ones(3, 4, dtype=torch.bool)}, r"mask must have the shape of x, \[3, 4, 2\]"),
        ({"mask": torch.ones(3, 2)}, "mask must be bool on cpu, got torch.float32 on cpu"),
        ({"mask": torch.zeros(3, 2, dtype=torch.bool)}, "mask must be true somewhere"),
        ({"x": torch.rand(3, 4, 2).to_sparse_coo(), "mask": torch.ones(3, 2, dtype=torch.bool)}, "mask must be None"),
        ({"start": [torch.rand(3, 2)]}, "start must have one factor for each of the 3 modes, got 1"),
        ({"start": [torch.rand(3, 2)] * 3}, r"start must have shape \[4, 2\] in mode 1"),
        ({"start": [-torch.rand(n, 2) for n in (3, 4, 2)]}, "start must be non-negative, got -"),
        (
            {"start": [torch.rand(1, 3, 2), torch.rand(2, 4, 2), torch.rand(2, 2)]},
            r"start must have equally many restarts in each mode, got \[1, 2, 1\]",
        ),
    ],
)
def test_wrong_input_is_named(unchecked, given, message):
    with pytest.raises(ValueError, match=message):
        NonNegativeCP(2).fit(**{"x": torch.rand(3, 4, 2), **given})


def test_whole_numbers_are_refused(unchecked):
    with pytest.raises(TypeError, match="x must be of dtype float32 or float64, got"):
        NonNegativeCP(2).fit(torch.ones(3, 4, 2, dtype=torch.int64))


def test_a_masked_matrix_is_not_smoothed():
    with pytest.raises(ValueError, match="smooth must be 0 for a matrix with a mask"):
        NonNegativeCP(2, smooth=1.0).fit(torch.rand(3, 4), torch.ones(3, 4, dtype=torch.bool))
