"""Which parameters decay, and how the learning rate moves."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters into those that decay and those that do not.

    Vectors and scalars (biases, the weights of norms) do not, nor does what carries the attribute
    ``_no_weight_decay``, as the transition parameters of state space models do.
    """
    decaying: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            spared = parameter.dim() < 2 or getattr(parameter, "_no_weight_decay", False)
            (free if spared else decaying).append(parameter)
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def warmup_cosine(optimizer: Optimizer, warmup: int, total: int) -> LRScheduler:
    """Linear warm-up, then half a cosine to zero, by epochs (the schedule of GraphGPS, Rampášek et al. 2022).

    Args:
        optimizer: whose learning rate moves.
        warmup: epochs before the full learning rate.
        total: epochs until it is zero.
    """
    cosine = CosineAnnealingLR(optimizer, T_max=max(total - warmup, 1))
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
