"""Which wiring was on, and what is in it? Three priors on spikes of a known network.

python examples/connectome/hmm_glm.py                        # one network, a minute
python examples/connectome/hmm_glm.py --seeds '[1, 2, 3]'    # also writes the record under docs/results
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor

from graphseq.connectome import (
    HMMGLM,
    AdamSteps,
    CategoricalDensity,
    ConcreteDensity,
    GaussianPrior,
    GeneralisedEM,
    NoPrior,
    OneHotPrior,
    match_states,
    plot_occupancy,
    sign_recall,
)
from graphseq.data import SwitchingNetwork

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "hmm_glm"
PRIORS = {
    "none": NoPrior(),
    "Gaussian": GaussianPrior(),
    "one-hot": OneHotPrior(density=CategoricalDensity(0.0), start_temperature=1.0),
    "one-hot, Concrete density": OneHotPrior(density=ConcreteDensity(), start_temperature=1.0),
}


def main(seeds: list[int] | None = None, train: int = 10, test: int = 8, epochs: int = 15) -> None:
    """Fit every prior to networks with these seeds.

    Args:
        seeds: of the networks. With some given, the record is written.
        train: sequences to learn from.
        test: sequences held out.
        epochs: of expectation maximisation.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in seeds or [0]:
        network = SwitchingNetwork(num_graphs=train + test, seed=seed)
        spikes, held_out = packed(network, range(train)), packed(network, range(train, train + test))
        truth = true_model(network)
        for name, model in {
            "true model": truth,
            **{name: HMMGLM(5, 20, prior=prior, activation=torch.sigmoid) for name, prior in PRIORS.items()},
        }.items():
            torch.manual_seed(seed)
            began = time.perf_counter()
            if model is not truth:
                model.fit(spikes[0], spikes[2], GeneralisedEM(epochs, AdamSteps(40, lr=0.03)))
            row = scores(model, network, spikes, held_out) | {"seconds": time.perf_counter() - began}
            rows.setdefault(name, []).append(row)
            print(f"seed {seed}  {name:<26}", "  ".join(f"{key} {value:.4f}" for key, value in row.items()), flush=True)
    if seeds:
        command = f"python examples/connectome/hmm_glm.py --seeds '{seeds}'"
        record = {"command": command, "seeds": seeds, "train": train, "test": test, "epochs": epochs}
        record["models"] = {name: summary(runs) for name, runs in rows.items()}
        RESULTS.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
        gamma = model.posterior(held_out[0][:2000], torch.tensor([0, 2000])).gamma
        match = matched(model, spikes)
        plot_occupancy(gamma[:, match.argsort()], held_out[1][:2000], bin_width=1).savefig(RESULTS.with_suffix(".png"))


def packed(network: SwitchingNetwork, which: range) -> tuple[Tensor, Tensor, Tensor]:
    """Counts, states and bounds of some of the sequences."""
    parts = [network[k] for k in which]
    ptr = torch.tensor([0, *(len(part.y) for part in parts)]).cumsum(0)
    return torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]), ptr


def true_model(network: SwitchingNetwork) -> HMMGLM:
    """The network itself: no model can be expected to do better."""
    model = HMMGLM(*network.bias.shape, activation=torch.sigmoid)
    model.connections.adopt(network.weights)
    model.bias.data.copy_(network.bias)
    model.set_transition(network.transition.float())
    return model


def matched(model: HMMGLM, spikes: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """True state of each of the model's, from the training sequences."""
    counts, states, ptr = spikes
    return match_states(model.posterior(counts, ptr).gamma.argmax(1), states, model.num_states)


def scores(
    model: HMMGLM, network: SwitchingNetwork, spikes: tuple[Tensor, ...], held_out: tuple[Tensor, ...]
) -> dict[str, float]:
    """On held-out sequences; connections beside the true ones."""
    match, (counts, states, ptr) = matched(model, spikes), held_out
    found = match[model.posterior(counts, ptr).gamma.argmax(1)]
    recall = sign_recall(model.connections.signs()[match.argsort()], network.signs)
    return {
        "state_accuracy": float((found == states).double().mean()),
        "log_likelihood": model.score(counts, ptr),
        "balanced_connection_accuracy": statistics.fmean(recall.values()),
        "recall_inhibitory": recall[-1],
        "recall_absent": recall[0],
        "recall_excitatory": recall[1],
    }


def summary(runs: list[dict[str, float]]) -> dict[str, dict[str, object]]:
    """Mean, deviation and single values of each score."""
    return {
        key: {
            "mean": statistics.fmean(run[key] for run in runs),
            "std": statistics.stdev(run[key] for run in runs) if len(runs) > 1 else None,
            "values": [run[key] for run in runs],
        }
        for key in runs[0]
    }


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
