"""The weights of each hidden state, as parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphseq.connectome.hmm_glm.concrete import relaxed_sample


class Connections(nn.Module):
    """Weights ``[S, N, N]``, entry ``[s, n, m]`` from neuron ``m`` onto neuron ``n`` in state ``s``."""

    def forward(self) -> Tensor:
        """The weights; while training, maybe a sample of them."""
        raise NotImplementedError

    def log_prior(self) -> Tensor:
        """Log density of the parameters, a scalar."""
        raise NotImplementedError

    def adopt(self, weights: Tensor) -> None:
        """Take the weights of another model as a start."""
        raise NotImplementedError

    def signs(self, least: float = 0.1) -> Tensor:
        """-1, 0 or 1 for each connection: 0 if its weight is at most ``least``."""
        with torch.no_grad():
            weights = self.expected()
            return (weights.sign() * (weights.abs() > least)).long()

    def expected(self) -> Tensor:
        """The weights, never sampled."""
        raise NotImplementedError

    def anneal(self, progress: float) -> None:
        """Told how much of the training is done, from 0 to 1."""

    def reset_parameters(self) -> None:
        raise NotImplementedError


class FreeConnections(Connections):
    """A parameter for each weight, under no prior or a normal one about the mean of all states."""

    def __init__(self, num_states: int, num_neurons: int, sd: float | None) -> None:
        super().__init__()
        self.sd = sd
        self.weight = nn.Parameter(torch.empty(num_states, num_neurons, num_neurons))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def forward(self) -> Tensor:
        return self.weight

    def expected(self) -> Tensor:
        return self.weight

    def log_prior(self) -> Tensor:
        if self.sd is None:
            return self.weight.new_zeros(())
        mean = self.weight.mean(0, keepdim=True)
        return torch.distributions.Normal(mean, self.sd).log_prob(self.weight).sum()

    @torch.no_grad()
    def adopt(self, weights: Tensor) -> None:
        self.weight.copy_(weights)

    def extra_repr(self) -> str:
        return f"shape={list(self.weight.shape)}, sd={self.sd}"


class OneHotConnections(Connections):
    """Soft signs and strengths, see :class:`~graphseq.connectome.OneHotPrior`."""

    _connectome: Tensor

    def __init__(
        self,
        num_states: int,
        num_neurons: int,
        connectome: Tensor,
        log_density: Callable[[Tensor, Tensor], Tensor],
        temperatures: tuple[float, float],
        learn_connectome: bool,
    ) -> None:
        super().__init__()
        shape = (num_states, num_neurons, num_neurons)
        self.log_density = log_density
        self.temperatures = temperatures
        self.temperature = temperatures[0]
        self.register_buffer("_connectome", connectome.log(), persistent=False)
        self.adjacency_logits = nn.Parameter(torch.empty(*shape, 3))
        self.strength_raw = nn.Parameter(torch.empty(shape))
        self.connectome_logits = nn.Parameter(torch.empty(connectome.shape), requires_grad=learn_connectome)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.adjacency_logits)
        nn.init.zeros_(self.strength_raw)
        self.connectome_logits.copy_(self._connectome)

    @property
    def adjacency(self) -> Tensor:
        """Probability of each category, ``[S, N, N, 3]``."""
        return self.adjacency_logits.softmax(-1)

    @property
    def connectome(self) -> Tensor:
        """What all states share, ``[N, N, 3]``."""
        return self.connectome_logits.softmax(-1)

    @property
    def strength(self) -> Tensor:
        """Size of each connection if it is there, ``[S, N, N]``."""
        return softplus(self.strength_raw)

    def forward(self) -> Tensor:
        if not self.training:
            return self.expected()
        return self._signed(relaxed_sample(self.adjacency_logits.log_softmax(-1), self.temperature))

    def expected(self) -> Tensor:
        return self._signed(self.adjacency)

    def hard(self) -> Tensor:
        """Weights with each connection in its most probable category."""
        return (self.adjacency_logits.argmax(-1) - 1) * self.strength

    def signs(self, least: float = 0.1) -> Tensor:
        """-1, 0 or 1 for each connection: its most probable category, or 0 if its strength is at most ``least``."""
        return (self.adjacency_logits.argmax(-1) - 1) * (self.strength > least)

    def log_prior(self) -> Tensor:
        return self.log_density(self.adjacency_logits.log_softmax(-1), self.connectome_logits.log_softmax(-1))

    def anneal(self, progress: float) -> None:
        first, last = self.temperatures
        self.temperature = first * (last / first) ** progress

    @torch.no_grad()
    def adopt(self, weights: Tensor) -> None:
        """Signs as sure as a weight is large beside the others (its root mean square), and the strength to match."""
        scale = weights.square().mean().sqrt().clamp(min=torch.finfo(weights.dtype).eps)
        lean = (2 * weights / scale).clamp(-3, 3)
        self.adjacency_logits.copy_(torch.stack([-lean, torch.ones_like(lean), lean], -1))
        adjacency = self.adjacency
        share = (adjacency[..., 2] - adjacency[..., 0]).abs()
        strength = (weights.abs() / share.clamp(min=1e-3)).clamp(min=1e-2)
        self.strength_raw.copy_(strength.expm1().log())

    def _signed(self, adjacency: Tensor) -> Tensor:
        return (adjacency[..., 2] - adjacency[..., 0]) * self.strength

    def extra_repr(self) -> str:
        return f"shape={list(self.strength_raw.shape)}, temperature={self.temperature:.3g}"
