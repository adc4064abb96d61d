"""How much a forecast depends on the order of the variates: docs/results/series/variate_order.json.

python examples/series/variate_order.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor

from graphseq.chimera import ChimeraForecaster

VARIATES, LOOKBACK, HORIZON = 7, 96, 24


def measure(out: Path = Path("docs/results/series/variate_order.json"), seeds: int = 5, orders: int = 20) -> None:
    """Change of the forecasts of untrained models, relative to their size, under random orders and the reverse.

    There is no linear path, which reads each variate by itself whatever the order.

    Args:
        out: where the record goes.
        seeds: models, each with windows and orders of its own.
        orders: random orders for each model, of which the given one is left out.
    """
    changes: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        past = torch.randn(8, VARIATES, LOOKBACK, dtype=torch.float64)
        drawn = [torch.randperm(VARIATES) for _ in range(orders)]
        shuffles = [order for order in drawn if bool(order.diff().ne(1).any())]
        for name, model in _models().items():
            found = changes.setdefault(name, {"shuffled": [], "reversed": []})
            found["shuffled"] += [_change(model, past, order) for order in shuffles]
            found["reversed"].append(_change(model, past, torch.arange(VARIATES - 1, -1, -1)))
    record = {
        "what": "root mean square change of a forecast over its root mean square, untrained models",
        "variates": VARIATES,
        "command": "python examples/series/variate_order.py",
        "models": {
            name: {f"{kind}_{stat}": getattr(torch.tensor(values), stat)().item() for kind, values in found.items()
                   for stat in ("mean", "min", "max")}
            for name, found in changes.items()
        },
    }  # fmt: skip
    out.write_text(json.dumps(record, indent=2) + "\n")
    print(out.read_text())


def _models() -> dict[str, ChimeraForecaster]:
    sizes = {"channels": 16, "layers": 2, "patch": 8, "state_size": 4, "linear": False}
    ahead = ChimeraForecaster(LOOKBACK, HORIZON, **sizes)
    for block in ahead.trunk.blocks:
        block.trend, block.season = block.trend.ahead, block.season.ahead
    models = {
        "one direction": ahead,
        "both directions": ChimeraForecaster(LOOKBACK, HORIZON, **sizes),
        "both directions, tied": ChimeraForecaster(LOOKBACK, HORIZON, **sizes, tie=True),
        "each variate by itself": ChimeraForecaster(LOOKBACK, HORIZON, **sizes, mix=False),
    }
    return {name: model.double().eval() for name, model in models.items()}


@torch.no_grad()
def _change(model: ChimeraForecaster, past: Tensor, order: Tensor) -> float:
    whole = model(past)
    return float((model(past[:, order])[:, order.argsort()] - whole).norm() / whole.norm())


if __name__ == "__main__":
    auto_cli(measure)
