"""Decay groups, the schedule, and the width that meets a budget."""

import math

import pytest
import torch
from torch import nn

from graphseq.training.budget import count_parameters, fit_width
from graphseq.training.optimisation import parameter_groups, warmup_cosine


def test_only_unmarked_matrices_decay():
    module = nn.ModuleDict({"linear": nn.Linear(3, 2), "norm": nn.LayerNorm(2), "spared": nn.Linear(2, 2, bias=False)})
    module["spared"].weight._no_weight_decay = True
    decaying, free = parameter_groups(module, 0.1)
    assert decaying["weight_decay"] == 0.1
    assert free["weight_decay"] == 0
    assert [id(p) for p in decaying["params"]] == [id(module["linear"].weight)]
    assert len(free["params"]) == 4


def test_learning_rate_rises_for_the_warm_up_then_falls_along_a_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, warmup=3, total=7)
    rates = []
    for _ in range(7):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    cosine = [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, *cosine])
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-12)


def test_the_width_comes_nearest_to_the_budget():
    def build(width: int) -> nn.Module:
        return nn.Linear(width, width, bias=False)

    width = fit_width(build, 1000)
    assert width == 32
    assert abs(count_parameters(build(width)) - 1000) <= min(abs(other**2 - 1000) for other in range(2, 100, 2))


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 8, 12])
def test_the_width_is_one_that_the_network_can_have(heads):
    def build(width: int) -> nn.Module:
        if width % heads:
            raise ValueError(f"width must be a multiple of {heads}, got {width}")
        return nn.Linear(width, width, bias=False)

    width, step = fit_width(build, 10_000), math.lcm(2, heads)
    assert width % step == 0
    assert abs(width**2 - 10_000) <= min(abs(other**2 - 10_000) for other in range(2 * step, 200, step))


def test_a_network_that_has_no_width_says_why():
    def build(width: int) -> nn.Module:
        raise ValueError("layers must be at least 1, got 0")

    with pytest.raises(ValueError, match="layers must be at least 1, got 0"):
        fit_width(build, 10_000)


def test_a_budget_that_no_width_meets_is_refused():
    with pytest.raises(ValueError, match=r"parameters must be at least 16 .* got 3"):
        fit_width(lambda width: nn.Linear(width, width, bias=False), 3)
