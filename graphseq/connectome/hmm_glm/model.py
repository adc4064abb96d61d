"""A network of neurons whose wiring switches with a hidden state (the one-hot HMM-GLM, 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from graphseq.connectome.hmm import Path, Posterior, forward_backward, log_evidence, viterbi
from graphseq.connectome.hmm_glm.activation import Activation, inverse
from graphseq.connectome.hmm_glm.emission import Emission, Poisson
from graphseq.connectome.hmm_glm.history import ExponentialFilter
from graphseq.connectome.hmm_glm.prior import NoPrior, Prior
from graphseq.scan import Ragged


class HMMGLM(nn.Module):
    r"""Spikes of a network whose connections depend on a hidden state.

    .. math::
        z_t \mid z_{t-1} &\sim P_{z_{t-1}}, \qquad H_t = \sum_k \varphi_k\, y_{t-k} \\
        y_{t,n} \mid z_t = s &\sim p\bigl(\cdot \mid \mu = f(b_{s,n} + \textstyle\sum_m W_{s,nm} H_{t,m})\bigr)

    The start of a sequence is uniform over states and not learnt.

    Args:
        num_states: :math:`S`.
        num_neurons: :math:`N`.
        prior: of the weights: :class:`GaussianPrior`, :class:`OneHotPrior`, or none.
        activation: :math:`f`, increasing: ``softplus``, ``torch.sigmoid``, ``torch.exp``, ….
        emission: :math:`p`: :class:`Poisson`, :class:`Bernoulli` or :class:`Gaussian`.
        filter: makes :math:`H` from the activity: :class:`ExponentialFilter` or :class:`FiniteFilter`, or any module
            ``(activity, topology) -> history`` that reads strictly earlier rows.
        shared_bias: one bias for all states.
        stay: probability of staying in a state, before training.

    Shapes:
        ``counts`` are packed, ``[T, N]``, with the sequences' bounds in ``ptr``.

    Example:
        >>> model = HMMGLM(2, 3, prior=GaussianPrior())
        >>> counts, ptr = torch.poisson(torch.ones(40, 3)), torch.tensor([0, 30, 40])
        >>> history = model.fit(counts, ptr, GeneralisedEM(epochs=2))
        >>> model.posterior(counts, ptr).gamma.shape
        torch.Size([40, 2])

    Source: the one-hot HMM-GLM, 2024, and its released code. As there the transition starts at 0.98 on the diagonal.
    All states start equal, and what tells them apart is how training starts (:class:`SmoothedClusters`).
    """

    start: Tensor

    def __init__(
        self,
        num_states: int,
        num_neurons: int,
        *,
        prior: Prior | None = None,
        activation: Activation = softplus,
        emission: Emission | None = None,
        filter: nn.Module | None = None,
        shared_bias: bool = False,
        stay: float = 0.98,
    ) -> None:
        super().__init__()
        for name, size in (("num_states", num_states), ("num_neurons", num_neurons)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if not 0 < stay < 1:
            raise ValueError(f"stay must be between 0 and 1, got {stay}")
        self.num_states, self.num_neurons, self.stay = num_states, num_neurons, stay
        self.activation = activation
        self.emission = Poisson() if emission is None else emission
        self.filter = ExponentialFilter() if filter is None else filter
        self.connections = (NoPrior() if prior is None else prior).connections(num_states, num_neurons)
        self.bias = nn.Parameter(torch.empty(1 if shared_bias else num_states, num_neurons))
        self.transition_logits = nn.Parameter(torch.empty(num_states, num_states))
        self.register_buffer("start", torch.full((num_states,), 1 / num_states))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)
        self.connections.reset_parameters()
        S = self.num_states
        leave = (1 - self.stay) / max(S - 1, 1)
        self.set_transition(torch.full((S, S), leave).fill_diagonal_(self.stay if S > 1 else 1.0))

    @property
    def transition(self) -> Float[Tensor, "S S"]:
        """:math:`P_{ab} = p(z_t = b \\mid z_{t-1} = a)`."""
        return self.transition_logits.softmax(1)

    @torch.no_grad()
    def set_transition(self, counts: Float[Tensor, "S S"], least: float = math.exp(-8)) -> None:
        """From expected numbers of transitions, the maximum-likelihood ones; none under ``least``.

        A state that was never left keeps what it had.
        """
        total = counts.sum(1, keepdim=True)
        probability = torch.where(total > 0, counts / total.clamp(min=1e-300), self.transition.to(counts.dtype))
        self.transition_logits.copy_(probability.clamp(min=least).log())

    @torch.no_grad()
    def set_rates(self, counts: Float[Tensor, "T N"]) -> None:
        """Bias of each neuron such that without input it fires at its mean rate."""
        self.bias.copy_(inverse(self.activation, counts.to(self.bias).mean(0)).expand_as(self.bias))

    def forward(
        self, counts: Float[Tensor, "T N"], history: Float[Tensor, "T N"], weights: Tensor | None = None
    ) -> Float[Tensor, "T S"]:
        """Log emission of each state at each time, given the history and, if not the model's own, the weights."""
        return self.emission.log_density(counts[:, None], self.rates(history, weights)).sum(2)

    def rates(self, history: Float[Tensor, "T N"], weights: Tensor | None = None) -> Float[Tensor, "T S N"]:
        """Rate of each neuron in each state."""
        weights = self.connections() if weights is None else weights
        bias = self.bias.expand(self.num_states, -1)
        drive = linear(history, weights.flatten(0, 1), bias.flatten())
        return self.activation(drive.unflatten(1, (self.num_states, self.num_neurons)))

    def observed(
        self, counts: Float[Tensor, "T N"] | Int[Tensor, "T N"], ptr: Int[Tensor, " bounds"] | Ragged
    ) -> tuple[Tensor, Tensor, Ragged]:
        """Counts in the model's dtype, their history, and the topology."""
        topology = ptr if isinstance(ptr, Ragged) else Ragged(ptr)
        if counts.dim() != 2 or tuple(counts.shape) != (topology.num_states, self.num_neurons):
            raise ValueError(
                f"counts must have shape [T, N] = {[topology.num_states, self.num_neurons]}, got {list(counts.shape)}"
            )
        counts = counts.to(self.bias)
        if not bool((finite := counts.isfinite()).all()):
            row, neuron = (~finite).nonzero()[0].tolist()
            raise ValueError(
                f"counts must be finite, got {counts[row, neuron].item()} at time {row} of neuron {neuron}: cut the "
                "recording there, and give the parts' bounds in ptr"
            )
        low, high = getattr(self.emission, "bounds", (-math.inf, math.inf))
        if bool((outside := (counts < low) | (counts > high)).any()):
            row, neuron = outside.nonzero()[0].tolist()
            raise ValueError(
                f"counts must lie in [{low:g}, {high:g}] for {type(self.emission).__name__}, "
                f"got {counts[row, neuron].item():g} at time {row} of neuron {neuron}"
            )
        return counts, self.filter(counts, topology), topology

    @torch.no_grad()
    def posterior(
        self, counts: Float[Tensor, "T N"] | Int[Tensor, "T N"], ptr: Int[Tensor, " bounds"] | Ragged
    ) -> Posterior:
        """What the counts tell of the hidden states."""
        return self._inferred(forward_backward, counts, ptr)

    def viterbi(self, counts: Float[Tensor, "T N"] | Int[Tensor, "T N"], ptr: Int[Tensor, " bounds"] | Ragged) -> Path:
        """The most probable path of states."""
        return self._inferred(viterbi, counts, ptr)

    def log_evidence(
        self, counts: Float[Tensor, "T N"] | Int[Tensor, "T N"], ptr: Int[Tensor, " bounds"] | Ragged
    ) -> Float[Tensor, " sequences"]:
        """Log likelihood of each sequence, differentiable in all parameters, at the expected weights."""
        return self._inferred(log_evidence, counts, ptr)

    @torch.no_grad()
    def score(self, counts: Float[Tensor, "T N"] | Int[Tensor, "T N"], ptr: Int[Tensor, " bounds"] | Ragged) -> float:
        """Log likelihood per bin and neuron, for data that the model has not seen."""
        return float(self.log_evidence(counts, ptr).sum()) / counts.numel()

    def fit(
        self,
        counts: Float[Tensor, "T N"] | Int[Tensor, "T N"],
        ptr: Int[Tensor, " bounds"] | Ragged,
        method: Callable[[HMMGLM, Tensor, Ragged], list[float]] | None = None,
    ) -> list[float]:
        """Fit to counts.

        Args:
            counts: the activity.
            ptr: bounds of the sequences.
            method: :class:`GeneralisedEM` (the default) or :class:`EvidenceAscent`.

        Returns:
            Log evidence plus log prior of the parameters, per bin and neuron, at the end of each epoch.
        """
        from graphseq.connectome.hmm_glm.training import GeneralisedEM

        topology = ptr if isinstance(ptr, Ragged) else Ragged(ptr)
        return (GeneralisedEM() if method is None else method)(self, counts, topology)

    @torch.no_grad()
    def adopt(self, other: HMMGLM) -> None:
        """Start where another model ended, of the same sizes and perhaps under another prior."""
        if (other.num_states, other.num_neurons) != (self.num_states, self.num_neurons):
            raise ValueError(
                f"other must have {self.num_states} states and {self.num_neurons} neurons, "
                f"got {other.num_states} and {other.num_neurons}"
            )
        bias = other.bias if other.bias.shape[0] == self.bias.shape[0] else other.bias.mean(0, keepdim=True)
        self.bias.copy_(bias.expand_as(self.bias))
        self.transition_logits.copy_(other.transition_logits)
        self.connections.adopt(other.connections.expected())

    def _inferred(self, infer: Callable, counts: Tensor, ptr: Tensor | Ragged) -> Any:
        counts, history, topology = self.observed(counts, ptr)
        emission = self(counts, history, self.connections.expected())
        return infer(emission, self.transition, self.start, topology)

    def extra_repr(self) -> str:
        return f"num_states={self.num_states}, num_neurons={self.num_neurons}"
