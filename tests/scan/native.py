"""What the tests of the C++ kernels share."""

import contextlib

import pytest
import torch

from graphseq.scan import native

needs_kernels = pytest.mark.skipif(not native.AVAILABLE, reason="the C++ kernels are not built in this installation")


@contextlib.contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_gradients(function, *inputs):
    """Outputs, then the gradients of a fixed random weighting of them; ``None`` inputs stay what they are."""
    leaves = [None if x is None else x.detach().clone().requires_grad_() for x in inputs]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    generator = torch.Generator().manual_seed(1)
    # Drawn in double precision, so that they do not depend on the outputs' own.
    weights = [
        torch.randn(o.shape, dtype=torch.promote_types(o.dtype, torch.float64), generator=generator).to(o.dtype)
        for o in outputs
    ]
    given = [leaf for leaf in leaves if leaf is not None]
    # An input that reaches no output is part of the sum all the same: its gradient is zero.
    value = sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True))
    grads = torch.autograd.grad((value + sum(0 * leaf.sum() for leaf in given)).real, given)
    return [*(output.detach() for output in outputs), *grads]
