"""Derivatives of every kind, of every scan, on every backend, against central differences and one another."""

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

from graphseq.scan import available_backends, use_backend
from tests.scan.operations import OPERATIONS, draw

BACKENDS = ["reference", *(name for name in available_backends() if name not in ("reference", "triton"))]
# torch.func's transforms wrap tensors, which kernels cannot read: there the PyTorch formulas run.
TRANSFORMABLE = [name for name in BACKENDS if name != "native"]

every_operation = pytest.mark.parametrize("name", OPERATIONS)


def on(backend, name):
    operation = OPERATIONS[name]()
    tensors = list(operation.inputs.values())

    def run(*given):
        with use_backend(backend):
            return operation(*given)

    try:
        run(*tensors)
    except NotImplementedError:
        pytest.skip(f"backend {backend} has no such operation")
    return run, tensors


def slope(run, tensors, directions, step=1e-6):
    """Central differences."""
    ahead = run(*(x + step * v for x, v in zip(tensors, directions, strict=True)))
    behind = run(*(x - step * v for x, v in zip(tensors, directions, strict=True)))
    return (ahead - behind) / (2 * step)


@every_operation
@pytest.mark.parametrize("backend", BACKENDS)
def test_dual_numbers_keep_their_tangent(backend, name):
    run, tensors = on(backend, name)
    directions = [draw(*x.shape) for x in tensors]
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(run(*map(forward_ad.make_dual, tensors, directions))).tangent
    # Differences are right to the square of their step times the third derivative.
    torch.testing.assert_close(tangent, slope(run, tensors, directions), rtol=1e-6, atol=1e-6)


@every_operation
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_input_alone_may_carry_a_tangent(backend, name):
    run, tensors = on(backend, name)
    for place, x in enumerate(tensors):
        direction = draw(*x.shape)
        others = [torch.zeros_like(y) for y in tensors]
        with forward_ad.dual_level():
            given = [forward_ad.make_dual(x, direction) if i == place else y for i, y in enumerate(tensors)]
            tangent = forward_ad.unpack_dual(run(*given)).tangent
        expected = slope(run, tensors, [direction if i == place else y for i, y in enumerate(others)])
        torch.testing.assert_close(tangent, expected, rtol=1e-6, atol=1e-6)


@every_operation
@pytest.mark.parametrize("backend", BACKENDS)
def test_forward_over_reverse_is_reverse_over_reverse(backend, name):
    run, tensors = on(backend, name)
    leaves = [x.clone().requires_grad_() for x in tensors]
    directions = [draw(*x.shape) for x in tensors]

    def gradient(inputs, create_graph):
        return torch.autograd.grad(run(*inputs).sin().sum(), inputs, create_graph=create_graph, materialize_grads=True)

    twice = gradient(leaves, True)
    along = sum((g * v).sum() for g, v in zip(twice, directions, strict=True))
    expected = torch.autograd.grad(along, leaves, materialize_grads=True)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x, v) for x, v in zip(leaves, directions, strict=True)]
        found = [forward_ad.unpack_dual(g).tangent for g in gradient(duals, True)]
    for a, b in zip(found, expected, strict=True):
        # Both are exact up to rounding; an input of which nothing is read has no tangent.
        torch.testing.assert_close(torch.zeros_like(b) if a is None else a, b, rtol=1e-9, atol=1e-9)


@every_operation
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_that_is_given_a_tangent_passes_it_on(backend, name):
    run, tensors = on(backend, name)
    leaves = [x.clone().requires_grad_() for x in tensors]
    out = run(*leaves)
    # PyTorch's own derivative of silu has no forward mode, unless it is to be differentiated again.
    again = "conv" in name or name == "selective"
    weight, direction = draw(*out.shape), draw(*out.shape)
    # The gradient is linear in what it is given.
    expected = torch.autograd.grad(out, leaves, direction, retain_graph=True, materialize_grads=True)
    with forward_ad.dual_level():
        given = forward_ad.make_dual(weight, direction)
        grads = torch.autograd.grad(out, leaves, given, create_graph=again, materialize_grads=True)
        found = [forward_ad.unpack_dual(g).tangent for g in grads]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.zeros_like(b) if a is None else a, b, rtol=1e-9, atol=1e-9)


@every_operation
@pytest.mark.parametrize("backend", TRANSFORMABLE)
def test_transforms_of_torch_func(backend, name):
    run, tensors = on(backend, name)
    directions = tuple(draw(*x.shape) for x in tensors)
    _, tangent = jvp(run, tuple(tensors), directions)
    torch.testing.assert_close(tangent, slope(run, tensors, directions), rtol=1e-6, atol=1e-6)

    places = tuple(range(len(tensors)))
    for forward, reverse in zip(
        jacfwd(run, argnums=places)(*tensors), jacrev(run, argnums=places)(*tensors), strict=True
    ):
        torch.testing.assert_close(forward, reverse, rtol=1e-9, atol=1e-9)

    several = [torch.stack([x, x + 0.1 * v, x - 0.2 * v]) for x, v in zip(tensors, directions, strict=True)]
    mapped = vmap(run)(*several)
    torch.testing.assert_close(mapped, torch.stack([run(*x) for x in zip(*several, strict=True)]), rtol=1e-9, atol=1e-9)
    # One input is mapped over, the others are shared.
    for place in places:
        in_dims = tuple(0 if i == place else None for i in places)
        given = [several[i] if i == place else x for i, x in enumerate(tensors)]
        expected = torch.stack([run(*tensors[:place], x, *tensors[place + 1 :]) for x in several[place]])
        torch.testing.assert_close(vmap(run, in_dims)(*given), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "linear on a graph", "selective", "delta", "gated on a grid"])
def test_gradients_of_single_examples(name):
    """The gradient of each member of a batch by itself, as in differential privacy."""
    run, tensors = on("torch", name)
    several = [torch.stack([x, 0.5 * x]) for x in tensors]

    def loss(*given):
        return run(*given).sin().sum()

    places = tuple(range(len(tensors)))
    found = vmap(grad(loss, argnums=places))(*several)
    for number in range(2):
        expected = grad(loss, argnums=places)(*(x[number] for x in several))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a[number], b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "linear on a graph", "selective", "delta", "gated on a graph"])
def test_hessian_is_symmetric_and_right(name):
    run, tensors = on("torch", name)
    first = tensors[0]

    def loss(x):
        return run(x, *tensors[1:]).sin().sum()

    found = hessian(loss)(first).reshape(first.numel(), first.numel())
    torch.testing.assert_close(found, found.T, rtol=1e-9, atol=1e-9)
    direction = draw(*first.shape)
    expected = (grad(loss)(first + 1e-6 * direction) - grad(loss)(first - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close(found @ direction.flatten(), expected.flatten(), rtol=1e-5, atol=1e-5)


def test_hessian_of_a_small_model():
    from graphseq.graph_mamba import GraphMamba

    model = GraphMamba(2, 1, channels=4, layers=1, norm="layer_norm").double().eval()
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])

    def loss(x):
        return functional_call(model, dict(model.named_parameters()), (x, edge_index)).square().sum()

    x = torch.randn(3, 2, dtype=torch.float64)
    found = hessian(loss)(x).reshape(6, 6)
    expected = torch.autograd.functional.hessian(loss, x).reshape(6, 6)
    # Exact both ways, up to rounding.
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_a_backend_that_transforms_cannot_enter_says_so():
    if "native" not in BACKENDS:
        pytest.skip("the C++ kernels are not built in this installation")
    run, tensors = on("native", "linear")
    with pytest.raises(NotImplementedError, match=r"'native' does not run linear_scan inside torch\.func's transforms"):
        vmap(run)(*(x[None] for x in tensors))
