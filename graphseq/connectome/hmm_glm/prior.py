"""Priors over the connections of each hidden state: what the states of one network have in common."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.connectome.hmm_glm.concrete import concrete_log_density
from graphseq.connectome.hmm_glm.connections import Connections, FreeConnections, OneHotConnections


@runtime_checkable
class Prior(Protocol):
    """Makes the weights of a model, and knows how probable they are."""

    def connections(self, num_states: int, num_neurons: int) -> Connections:
        """Parameters of the weights."""
        ...


@dataclasses.dataclass(frozen=True)
class NoPrior:
    """Weights of each state on their own."""

    def connections(self, num_states: int, num_neurons: int) -> Connections:
        return FreeConnections(num_states, num_neurons, None)


@dataclasses.dataclass(frozen=True)
class GaussianPrior:
    r"""Weights of all states scatter about their mean, :math:`W_s \sim \mathcal N(\bar W, \sigma^2)`.

    Args:
        sd: :math:`\sigma`.
    """

    sd: float = 1 / 3

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ValueError(f"sd must be positive, got {self.sd}")

    def connections(self, num_states: int, num_neurons: int) -> Connections:
        return FreeConnections(num_states, num_neurons, self.sd)


@runtime_checkable
class AdjacencyDensity(Protocol):
    """How probable a soft adjacency is under a connectome."""

    def log_density(self, log_adjacency: Tensor, log_connectome: Tensor) -> Tensor:
        """Summed over all connections."""
        ...


@dataclasses.dataclass(frozen=True)
class ConcreteDensity:
    r"""The paper's prior: each soft adjacency is a draw from the Concrete distribution about the connectome.

    The density is unbounded at the corners of the simplex, so objectives of different models cannot be compared; the
    logarithms of the adjacency are cut at ``floor`` to keep it finite.

    Args:
        temperature: :math:`\tau`.
        floor: least logarithm of a probability.
    """

    temperature: float = 0.2
    floor: float = -20.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")

    def log_density(self, log_adjacency: Tensor, log_connectome: Tensor) -> Tensor:
        return concrete_log_density(log_adjacency.clamp(min=self.floor), log_connectome, self.temperature).sum()


@dataclasses.dataclass(frozen=True)
class CategoricalDensity:
    r"""Expected log prior of the category, and a multiple of the adjacency's entropy.

    .. math::
        \sum_{s, n, m} \sum_c A_{snm,c} \bigl( \log P^0_{nm,c} - \eta \log A_{snm,c} \bigr)

    With :math:`\eta = 1` this is minus the Kullback-Leibler divergence from the connectome: the objective is the
    usual variational bound, never above zero. A negative :math:`\eta` pushes adjacencies into the corners.

    Args:
        entropy: :math:`\eta`.
    """

    entropy: float = 1.0

    def log_density(self, log_adjacency: Tensor, log_connectome: Tensor) -> Tensor:
        return (log_adjacency.exp() * (log_connectome - self.entropy * log_adjacency)).sum()


@dataclasses.dataclass(frozen=True)
class OneHotPrior:
    r"""Each connection of each state is inhibitory, absent or excitatory, with a strength of its own.

    .. math::
        W_s = (A_s^{\mathrm{exc}} - A_s^{\mathrm{inh}}) \odot \operatorname{softplus}(\rho_s),
        \qquad A_{s,nm} \in \Delta^2 \text{ about } P^0_{nm}

    While the model trains, :math:`A` is sampled by the Gumbel-softmax trick; otherwise its mean is used. The
    connectome :math:`P^0` is shared by all states and learnt along.

    Args:
        connectome: start of :math:`P^0`, ``[N, N, 3]`` in the order inhibitory, none, excitatory, entry ``[n, m]`` for
            the connection from ``m`` to ``n``; as :func:`connectome_prior` makes it. Otherwise (0.1, 0.8, 0.1).
        density: of the adjacency about the connectome. The default is a bound that can be compared between models;
            the paper's is :class:`ConcreteDensity`.
        temperature: of the samples while training.
        start_temperature: from here it falls geometrically to ``temperature`` while the model is fitted.
        learn_connectome: whether :math:`P^0` is learnt.

    Source: Concept and densities after the one-hot HMM-GLM, 2024, and its released code; the categorical default, the
    schedule of the temperature and the start from counts are ours.
    """

    connectome: Tensor | None = None
    density: AdjacencyDensity = dataclasses.field(default_factory=CategoricalDensity)
    temperature: float = 0.2
    start_temperature: float | None = None
    learn_connectome: bool = True

    def __post_init__(self) -> None:
        for name in ("temperature", "start_temperature"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    def connections(self, num_states: int, num_neurons: int) -> Connections:
        expected = [num_neurons, num_neurons, 3]
        connectome = self.connectome
        if connectome is None:
            connectome = torch.tensor(_BASE).expand(expected)
        elif list(connectome.shape) != expected or not bool((connectome > 0).all()):
            raise ValueError(
                f"connectome must hold positive probabilities of shape {expected}, got {list(connectome.shape)}"
            )
        return OneHotConnections(
            num_states,
            num_neurons,
            connectome / connectome.sum(2, keepdim=True),
            self.density.log_density,
            (self.start_temperature or self.temperature, self.temperature),
            self.learn_connectome,
        )


_BASE = (0.1, 0.8, 0.1)


def connectome_prior(
    chemical: Float[Tensor, "N N"] | None = None,
    gap: Float[Tensor, "N N"] | None = None,
    *,
    base: tuple[float, float, float] = _BASE,
    gain: float = 1.0,
) -> Float[Tensor, "N N 3"]:
    r"""Probabilities (inhibitory, none, excitatory) of each connection from counts of synapses.

    Starting from the logarithms of ``base``, a chemical synapse makes "none" less probable, as its sign is not known,
    and a gap junction, in both directions, makes "excitatory" more probable:

    .. math::
        \ell^{\mathrm{none}}_{nm} \mathrel{-}= g \log(1 + c_{nm}), \qquad
        \ell^{\mathrm{exc}}_{nm} \mathrel{+}= g \log(1 + e_{nm} + e_{mn})

    Args:
        chemical: counts :math:`c_{nm}` of synapses from ``m`` onto ``n``.
        gap: counts :math:`e_{nm}` of gap junctions.
        base: probabilities where nothing is known.
        gain: :math:`g`.

    Raises:
        ValueError: if neither is given, sizes differ, a count is negative, or ``base`` is not positive.

    Example:
        >>> connectome_prior(torch.tensor([[0.0, 9.0], [0.0, 0.0]]))[0]
        tensor([[0.1000, 0.8000, 0.1000],
                [0.3571, 0.2857, 0.3571]])

    The formula is ours; the papers only start from what is known.
    """
    known = chemical if chemical is not None else gap
    if known is None:
        raise ValueError("chemical or gap must be given, got None for both")
    if min(base) <= 0:
        raise ValueError(f"base must be positive, got {base}")
    logits = torch.tensor(base, dtype=known.dtype, device=known.device).log().repeat(*known.shape, 1)
    for name, counts in (("chemical", chemical), ("gap", gap)):
        if counts is None:
            continue
        if counts.shape != known.shape or counts.dim() != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError(f"{name} must have shape [N, N], the same for both, got {list(counts.shape)}")
        if bool((counts < 0).any()):
            raise ValueError(f"{name} must not be negative, got {float(counts.min())}")
    if chemical is not None:
        logits[..., 1] -= gain * chemical.log1p()
    if gap is not None:
        logits[..., 2] += gain * (gap + gap.mT).log1p()
    return logits.softmax(2)
