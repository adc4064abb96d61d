"""The maps are all linear maps that commute with permutations, and nothing else."""

from itertools import permutations

import pytest
import torch

from graphseq.spen import Blocks, EquivariantMap, MarkedRoot, RootStabiliser, Symmetric

PAIRS = [(2, 2), (2, 1), (2, 0), (1, 2), (1, 1), (1, 0), (0, 2), (0, 1)]
EXACT = {"rtol": 1e-10, "atol": 1e-11}


def _map(k, to, weight, bias=None, **arguments):
    buckets = weight.shape[0] if weight.dim() == 4 else 1
    layer = EquivariantMap(k, to, *weight.shape[-2:], buckets=buckets, bias=bias is not None, **arguments).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def _one_block(size, rooted=False):
    return Blocks(torch.tensor([0, size]), root=torch.tensor([0]) if rooted else None)


def _operators(k, to, size, group, rooted=False):
    """Every operation as a matrix, from what it does to unit vectors."""
    blocks = _one_block(size, rooted)
    count = group.basis(k, to).size
    layer = _map(k, to, torch.eye(count, dtype=torch.float64).reshape(count, 1, count), group=group)
    return torch.stack([layer(unit[:, None], blocks).T for unit in torch.eye(size**k, dtype=torch.float64)], 2)


def _representation(permutation, order):
    matrix = torch.eye(len(permutation), dtype=torch.float64)[list(permutation)]
    out = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(order):
        out = torch.kron(out, matrix)
    return out


@pytest.mark.parametrize(("k", "to"), PAIRS)
@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_every_operation_is_the_published_one(k, to, aggr, golden):
    data = golden("spen/maps_dense_m5")
    ops, weight = data[f"ops_{k}{to}_{aggr}"], data[f"w_{k}{to}"]
    x = data[f"x{k}"].flatten(0, k)
    blocks = Blocks(torch.tensor([0, 5, 10, 15]))
    for number, expected in enumerate(ops):
        chosen = torch.zeros(ops.shape[0], 2, 2, dtype=torch.float64)
        chosen[number] = torch.eye(2)
        out = _map(k, to, chosen, group=Symmetric(aggr))(x, blocks)
        torch.testing.assert_close(out, expected.flatten(0, to), **EXACT)
    out = _map(k, to, weight, group=Symmetric(aggr))(x, blocks)
    torch.testing.assert_close(out, data[f"y_{k}{to}_{aggr}"].flatten(0, to), **EXACT)


@pytest.mark.parametrize(("k", "to"), PAIRS)
def test_blocks_of_many_sizes_agree_with_reference_numbers(k, to, golden):
    data = golden("spen/maps_ragged")
    out = _map(k, to, data[f"w_{k}{to}"])(data[f"x{k}"], Blocks(data["node_ptr"]))
    torch.testing.assert_close(out, data[f"y_{k}{to}"], **EXACT)


def test_biases_agree_with_reference_numbers(golden):
    data = golden("spen/maps_ragged")
    blocks = Blocks(data["node_ptr"])
    biases = {2: torch.stack([data["b2d"], data["b2a"]]), 1: data["b1"][None], 0: data["b0"][None]}
    for order, bias in biases.items():
        total = 0
        for k in range(3):
            if (k, order) in PAIRS:
                own = bias if (k, order) in ((2, 2), (2, 1), (2, 0)) else None
                total = total + _map(k, order, data[f"w_{k}{order}"], own)(data[f"x{k}"], blocks)
        torch.testing.assert_close(total, data[f"sum_out{order}"], **EXACT)


def _dense(x, weight, sizes):
    """Order 2 to 2 from the table of operations, written out for one block after another."""
    outs, start = [], 0
    for m in sizes:
        X = x[start : start + m * m].view(m, m, -1)
        start += m * m
        eye = torch.eye(m, dtype=x.dtype)[:, :, None]
        d = torch.diagonal(X).T
        r, c, t, a = X.mean(1), X.mean(0), d.mean(0), X.mean((0, 1))
        ones = torch.ones(m, m, 1, dtype=x.dtype)
        ops = [
            eye * d[:, None], eye * t, eye * r[:, None], eye * c[:, None], eye * a,
            c[:, None] * ones, r[:, None] * ones, c[None] * ones, r[None] * ones, X, X.transpose(0, 1),
            d[:, None] * ones, d[None] * ones, t * ones, a * ones,
        ]  # fmt: skip
        outs.append(sum(op @ w for op, w in zip(ops, weight, strict=True)).reshape(m * m, -1))
    return torch.cat(outs)


def test_gradients_agree_with_the_table_written_out(golden):
    data = golden("spen/maps_ragged")
    x, weight = data["x2"].requires_grad_(), data["w_22"].requires_grad_()
    layer = _map(2, 2, weight.detach())
    out, expected = layer(x, Blocks(data["node_ptr"])), _dense(x, weight, data["sizes"].tolist())
    towards = torch.randn_like(expected)
    got = torch.autograd.grad(out, [x, layer.weight], towards)
    want = torch.autograd.grad(expected, [x, weight], towards)
    torch.testing.assert_close(got[0], want[0], **EXACT)
    torch.testing.assert_close(got[1][0], want[1], **EXACT)


@pytest.mark.parametrize("group", [Symmetric(), MarkedRoot("sum"), RootStabiliser()])
@pytest.mark.parametrize(("k", "to"), [(2, 2), (2, 1), (1, 2), (2, 0)])
def test_gradients_of_first_and_second_order(k, to, group):
    blocks = Blocks(torch.tensor([0, 2, 3, 6]), root=torch.tensor([1, 2, 3]), buckets=[2, 1])
    rows = {0: 3, 1: 6, 2: 14}
    layer = EquivariantMap(k, to, 2, 1, buckets=2, group=group).double()
    x = torch.randn(rows[k], 2, dtype=torch.float64, requires_grad=True)
    inputs = (x, layer.weight)
    assert torch.autograd.gradcheck(lambda *_: layer(x, blocks), inputs)
    assert torch.autograd.gradgradcheck(lambda *_: layer(x, blocks), inputs)


RANKS = {(2, 2): [1, 8, 14, 15, 15], (2, 1): [1, 4, 5, 5, 5], (1, 2): [1, 4, 5, 5, 5], (1, 1): [1, 2, 2, 2, 2]}


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize(("k", "to"), PAIRS)
def test_operations_commute_and_span_all_that_commutes(k, to, size):
    ops = _operators(k, to, size, Symmetric())
    average = torch.zeros(size**to, size**k, dtype=torch.float64)
    any_map = torch.randn_like(average)
    group = list(permutations(range(size)))
    for permutation in group:
        out, into = _representation(permutation, to), _representation(permutation, k)
        torch.testing.assert_close(out @ ops, ops @ into, rtol=0, atol=1e-13)
        average += out.T @ any_map @ into / len(group)
    _assert_spans(ops, average)
    if (k, to) in RANKS:
        assert torch.linalg.matrix_rank(ops.flatten(1)) == RANKS[k, to][size - 1]


def _assert_spans(ops, matrix):
    basis = ops.flatten(1).T
    solution = torch.linalg.lstsq(basis, matrix.flatten()[:, None], driver="gelsd").solution
    torch.testing.assert_close((basis @ solution).flatten(), matrix.flatten(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("k", "to"), PAIRS)
def test_group_averages_are_the_reference_ones(k, to, golden):
    data = golden("spen/reynolds_m5")
    ops = _operators(k, to, 5, Symmetric("sum"))
    torch.testing.assert_close(ops, data[f"opmat_sum_{k}{to}"], **EXACT)
    projected = torch.einsum("b,bij->ij", data[f"coef_sum_{k}{to}"], ops)
    torch.testing.assert_close(projected, data[f"proj_{k}{to}"], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("k", "to"), PAIRS)
def test_with_a_root_the_operations_are_the_orbits_of_its_stabiliser(k, to, golden):
    data = golden("spen/reynolds_m5")
    ops = _operators(k, to, 5, RootStabiliser("sum"), rooted=True)
    dimension = int(data[f"rootdim_{k}{to}"])
    assert ops.shape[0] == dimension == torch.linalg.matrix_rank(ops.flatten(1))
    _assert_spans(ops, data[f"rootproj_{k}{to}"])
    orbit = data[f"rootorbit_{k}{to}"]
    for op in ops:
        for number in orbit.unique():
            assert op[orbit == number].unique().numel() == 1


@pytest.mark.parametrize(("size", "rank"), [(2, 16), (3, 41), (4, 51), (5, 52)])
def test_with_a_root_small_blocks_have_fewer_operations(size, rank):
    assert torch.linalg.matrix_rank(_operators(2, 2, size, RootStabiliser(), rooted=True).flatten(1)) == rank


def _permuted(x, order, permutation, blocks):
    """Move the members of each block, by a permutation of each block's own."""
    if order == 0:
        return x
    place = torch.cat([p + start for p, start in zip(permutation, blocks.ptr[:-1], strict=True)])
    if order == 1:
        return x[place]
    rows, cols = place[blocks.pair_row], place[blocks.pair_col]
    within = rows - blocks.ptr[blocks.block[rows]], cols - blocks.ptr[blocks.block[cols]]
    block = blocks.block[rows]
    return x[blocks.pair_ptr[block] + within[0] * blocks.size[block] + within[1]]


@pytest.mark.parametrize("group", [Symmetric(), Symmetric("sum"), MarkedRoot(), RootStabiliser()])
@pytest.mark.parametrize(("k", "to"), PAIRS)
def test_permuting_members_of_each_block_permutes_the_result(k, to, group):
    """Input is not symmetric, and no width equals a size, so that swapped axes or sums would show."""
    sizes = [3, 1, 5, 4, 1, 2]
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    root = ptr[:-1] + torch.tensor([1, 0, 4, 0, 0, 1])
    blocks = Blocks(ptr, root, buckets=[2, 4])
    permutation = [torch.randperm(m) for m in sizes]
    moved_root = torch.stack(
        [(p == r).nonzero()[0, 0] + s for p, r, s in zip(permutation, root - ptr[:-1], ptr[:-1], strict=True)]
    )
    moved = Blocks(ptr, moved_root, buckets=[2, 4])
    layer = EquivariantMap(k, to, 7, 6, buckets=2, group=group).double()
    for bias in (layer.bias, layer.root_bias):
        if bias is not None:
            torch.nn.init.normal_(bias)
    x = torch.randn((6, blocks.num_members, blocks.num_pairs)[k], 7, dtype=torch.float64)
    out = _permuted(layer(x, blocks), to, permutation, blocks)
    torch.testing.assert_close(layer(_permuted(x, k, permutation, blocks), moved), out, rtol=1e-10, atol=1e-10)
    if to > 0 and isinstance(group, MarkedRoot | RootStabiliser):
        unmoved = layer(_permuted(x, k, permutation, blocks), blocks)
        assert not torch.allclose(unmoved, out, atol=1e-3), "the root makes no difference"


def test_a_wrong_axis_would_be_seen():
    """What guards the test above against being empty: a map that swaps row and column sums is another map."""
    blocks = Blocks(torch.tensor([0, 3, 7]))
    layer = EquivariantMap(2, 1, 2, 3).double()
    x = torch.randn(25, 2, dtype=torch.float64)
    assert not torch.allclose(layer(x, blocks), layer(x[blocks.transposed], blocks), atol=1e-3)


def test_the_mark_is_all_constants_that_keep_the_root():
    """Five constants of order 2 (all, diagonal, the root's row, its column, itself) and two of order 1."""
    blocks = _one_block(4, rooted=True)
    for order, expected in ((2, 5), (1, 2)):
        layer = EquivariantMap(1, order, 1, 1, group=MarkedRoot()).double()
        outs = []
        for bias in (layer.bias, layer.root_bias):
            for place in range(bias.shape[1]):
                torch.nn.init.zeros_(layer.bias)
                torch.nn.init.zeros_(layer.root_bias)
                with torch.no_grad():
                    bias[0, place] = 1
                outs.append(layer(torch.zeros(4, 1, dtype=torch.float64), blocks).flatten())
        assert torch.linalg.matrix_rank(torch.stack(outs)) == len(outs) == expected


def test_buckets_have_weights_of_their_own():
    blocks = Blocks(torch.tensor([0, 2, 3, 6, 9]), buckets=[1, 0, 3])
    layer = EquivariantMap(2, 2, 2, 3, buckets=3).double()
    x = torch.randn(blocks.num_pairs, 2, dtype=torch.float64)
    out = layer(x, blocks)
    for bucket, ptr, rows in ((0, [0, 2], slice(0, 4)), (2, [0, 1, 4, 7], slice(4, None))):
        alone = _map(2, 2, layer.weight[bucket].detach(), layer.bias[bucket].detach())
        torch.testing.assert_close(out[rows], alone(x[rows], Blocks(torch.tensor(ptr))), **EXACT)


@pytest.mark.parametrize("group", [Symmetric(), RootStabiliser()])
def test_no_blocks_at_all(group):
    blocks = Blocks(torch.tensor([0]), root=torch.zeros(0, dtype=torch.long))
    for k, to in PAIRS:
        assert EquivariantMap(k, to, 2, 3, group=group)(torch.zeros(0, 2), blocks).shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EquivariantMap(3, 1, 2, 2), "in_order must be 0, 1 or 2, got 3"),
        (lambda: EquivariantMap(2, 1, 2, 0), "out_channels must be at least 1, got 0"),
        (lambda: Symmetric("max"), "aggr must be 'mean' or 'sum', got 'max'"),
        (lambda: Blocks(torch.tensor([1, 2])), "ptr must start at 0 and not decrease, got [1, 2]"),
        (lambda: Blocks(torch.tensor([0, 2]), buckets=[2]), "buckets must add up to 1 blocks, got [2]"),
        (lambda: Blocks(torch.tensor([0, 2]), torch.tensor([2])), "root must hold a member of each of 1 blocks"),
        (
            lambda: EquivariantMap(2, 1, 2, 2)(torch.zeros(4, 3), _one_block(2)),
            "x must have shape [4, 2], got [4, 3]",
        ),
        (
            lambda: EquivariantMap(2, 1, 2, 2, buckets=3)(torch.zeros(4, 2), _one_block(2)),
            "blocks must come in 3 buckets, got 1",
        ),
        (
            lambda: EquivariantMap(2, 1, 2, 2, group=RootStabiliser())(torch.zeros(4, 2), _one_block(2)),
            "root must be given to the blocks",
        ),
    ],
)
def test_wrong_input_is_named(make, words, unchecked):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)
