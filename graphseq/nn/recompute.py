"""Activation checkpointing (Chen et al. 2016): less memory for more arithmetic, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(call: Callable[..., Any], *inputs: Any, owner: nn.Module, **keywords: Any) -> Any:
    """``call(*inputs, **keywords)``, whose activations are computed again for the gradient instead of kept.

    Chance is the same the second time, and what the second pass leaves in the buffers of ``owner`` is dropped: running
    statistics move once a step.

    Args:
        call: what is computed.
        inputs: its arguments.
        owner: the module whose buffers it may write to.
        keywords: further ones.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _buffers_stay(owner)

    return checkpoint(call, *inputs, use_reentrant=False, context_fn=contexts, **keywords)


@contextmanager
def _buffers_stay(owner: nn.Module) -> Iterator[None]:
    """Copies in the place of buffers; the backward pass would refuse tensors that were written to and set back."""
    places = [
        (module, name, buffer) for module in owner.modules() for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in places:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in places:
            setattr(module, name, buffer)
