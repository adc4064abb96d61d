"""How an :class:`~graphseq.connectome.HMMGLM` is fitted: by expectation maximisation, or by the evidence's gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from graphseq.connectome.hmm import forward_backward, log_evidence
from graphseq.connectome.hmm_glm.start import SmoothedClusters, Start
from graphseq.scan import Ragged

if TYPE_CHECKING:
    from graphseq.connectome.hmm_glm.model import HMMGLM


class Recording(NamedTuple):
    """Sequences to learn from, and what depends on them alone."""

    counts: Tensor
    history: Tensor
    topology: Ragged
    gamma: Tensor | None = None

    def some(self, sequences: list[int]) -> Recording:
        """A few of the sequences."""
        spans = [slice(*self.topology.bounds[k : k + 2]) for k in sequences]
        lengths = torch.tensor([0, *(span.stop - span.start for span in spans)])
        counts, history = (torch.cat([rows[span] for span in spans]) for rows in (self.counts, self.history))
        gamma = None if self.gamma is None else torch.cat([self.gamma[span] for span in spans])
        return Recording(counts, history, Ragged(lengths.cumsum(0).to(counts.device)), gamma)


Loss = Callable[[Recording], Tensor]


@runtime_checkable
class Maximiser(Protocol):
    """Takes steps down a loss that sequences are summed in, plus one of the parameters alone."""

    def __call__(self, model: HMMGLM, recording: Recording, likelihood: Loss) -> None:
        """Improve ``likelihood`` (a sum over the sequences) plus the model's log prior, in place."""
        ...


@dataclasses.dataclass
class AdamSteps:
    """Adam on a few sequences at a time, in random order; connections may be sampled.

    Args:
        steps: each on one batch.
        lr: learning rate.
        sequences: how many to a batch; none for all.
        seed: of the order.
    """

    steps: int = 50
    lr: float = 0.01
    sequences: int | None = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "sequences"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    def __call__(self, model: HMMGLM, recording: Recording, likelihood: Loss) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        optimiser = torch.optim.Adam(_trained(model), lr=self.lr)
        lengths = recording.topology.lengths.tolist()
        filled = [k for k, length in enumerate(lengths) if length > 0]
        total, size = len(recording.counts), self.sequences or len(filled)
        order: list[int] = []
        model.train()
        for _ in range(self.steps):
            while len(order) < size:
                order += [filled[k] for k in torch.randperm(len(filled), generator=generator).tolist()]
            chosen, order = order[:size], order[size:]
            part = recording if self.sequences is None else recording.some(chosen)
            # A batch stands for everything, so that the prior keeps its weight.
            share = total / len(part.counts)
            loss = -(share * likelihood(part) + model.connections.log_prior()) / total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()


@dataclasses.dataclass
class LBFGSSteps:
    """L-BFGS with a line search on all sequences, at the expected connections: each call improves the objective.

    Args:
        steps: iterations.
    """

    steps: int = 10

    def __call__(self, model: HMMGLM, recording: Recording, likelihood: Loss) -> None:
        model.eval()
        total = len(recording.counts)
        optimiser = torch.optim.LBFGS(_trained(model), max_iter=self.steps, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = -(likelihood(recording) + model.connections.log_prior()) / total
            loss.backward()
            return loss

        optimiser.step(closure)


@dataclasses.dataclass
class GeneralisedEM:
    r"""Expectation maximisation whose M-step is closed for the transitions and improves, not maximises, the rest.

    Args:
        epochs: each an E-step over all sequences and an M-step.
        maximiser: of :math:`\sum_t \gamma_t \cdot \log B_t` plus log prior: :class:`AdamSteps`, or :class:`LBFGSSteps`,
            with which log evidence plus log prior never falls.
        start: responsibilities of the first M-step; none to begin with those of the model as it is.
    """

    epochs: int = 10
    maximiser: Maximiser = dataclasses.field(default_factory=AdamSteps)
    start: Start | None = dataclasses.field(default_factory=SmoothedClusters)

    def __call__(self, model: HMMGLM, counts: Tensor, topology: Ragged) -> list[float]:
        recording = _begun(model, counts, topology, self.start)
        objective = []
        for epoch in range(self.epochs):
            model.connections.anneal(epoch / max(self.epochs - 1, 1))
            gamma = recording.gamma
            if epoch > 0 or gamma is None:
                gamma = _expected(model, recording)
            self.maximiser(model, recording._replace(gamma=gamma), lambda part: _q(model, part))
            objective.append(_objective(model, recording))
        return objective


@dataclasses.dataclass
class EvidenceAscent:
    """The gradient of the log evidence itself, through the scan, in all parameters at once.

    Args:
        epochs: each one call of the maximiser.
        maximiser: :class:`AdamSteps` or :class:`LBFGSSteps`.
        start: responsibilities that the weights are fitted to first; none to begin with the model as it is.
    """

    epochs: int = 10
    maximiser: Maximiser = dataclasses.field(default_factory=AdamSteps)
    start: Start | None = dataclasses.field(default_factory=SmoothedClusters)

    def __call__(self, model: HMMGLM, counts: Tensor, topology: Ragged) -> list[float]:
        recording = _begun(model, counts, topology, self.start)
        model.connections.anneal(0.0)
        if recording.gamma is not None:
            self.maximiser(model, recording, lambda part: _q(model, part))
        objective = []
        for epoch in range(self.epochs):
            model.connections.anneal(epoch / max(self.epochs - 1, 1))
            self.maximiser(model, recording, lambda part: _evidence(model, part))
            objective.append(_objective(model, recording))
        return objective


def _trained(model: HMMGLM) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _begun(model: HMMGLM, counts: Tensor, topology: Ragged, start: Start | None) -> Recording:
    counts, history, topology = model.observed(counts, topology)
    if len(counts) == 0:
        raise ValueError("counts must have at least one row to learn from, got none")
    gamma = None
    if start is not None:
        gamma = start(counts, topology, model.num_states)
        model.set_rates(counts)
    return Recording(counts, history, topology, gamma)


@torch.no_grad()
def _expected(model: HMMGLM, recording: Recording) -> Tensor:
    """The E-step, and the closed half of the M-step."""
    emission = model(recording.counts, recording.history, model.connections.expected())
    posterior = forward_backward(emission, model.transition, model.start, recording.topology)
    model.set_transition(posterior.transitions)
    return posterior.gamma


def _q(model: HMMGLM, part: Recording) -> Tensor:
    """Expected log emission; the terms of the chain do not depend on what is left to improve."""
    return (part.gamma * model(part.counts, part.history)).sum()


def _evidence(model: HMMGLM, part: Recording) -> Tensor:
    emission = model(part.counts, part.history)
    return log_evidence(emission, model.transition, model.start, part.topology).sum().to(emission.dtype)


@torch.no_grad()
def _objective(model: HMMGLM, recording: Recording) -> float:
    emission = model(recording.counts, recording.history, model.connections.expected())
    evidence = log_evidence(emission, model.transition, model.start, recording.topology).sum()
    return float(evidence + model.connections.log_prior()) / recording.counts.numel()
