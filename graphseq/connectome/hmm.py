"""Inference in hidden Markov models on packed sequences, as products of matrices (Rabiner 1989; Särkkä &
García-Fernández 2021)."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphseq.scan import MaxPlus, Ragged, matrix_scan, two_way_matrix_scan
from graphseq.scan.product_tree import ProductTree, scaled


@dataclasses.dataclass(frozen=True)
class Posterior:
    r"""What is known of the hidden states once all observations of a sequence have been seen.

    In a sequence that no path of states can produce, evidence is zero and everything else is zero too.

    Attributes:
        gamma: :math:`p(z_t = a \mid y)`, ``[T, S]``.
        log_evidence: :math:`\log p(y)` of each sequence, ``[num_sequences]``, in float64; 0 for an empty one.
    """

    gamma: Tensor
    log_evidence: Tensor
    _alpha: Tensor
    _log_alpha_scale: Tensor
    _beta: Tensor
    _log_beta_scale: Tensor
    _emission: Tensor
    _transition: Tensor
    _topology: Ragged

    @property
    def log_alpha(self) -> Tensor:
        r""":math:`\log p(y_1, \dots, y_t, z_t)`, ``[T, S]``, in float64."""
        return self._alpha.double().log() + self._log_alpha_scale[:, None]

    @property
    def log_beta(self) -> Tensor:
        r""":math:`\log p(y_{t+1}, \dots \mid z_t)`, ``[T, S]``, in float64."""
        return self._beta.double().log() + self._log_beta_scale[:, None]

    @cached_property
    def transitions(self) -> Tensor:
        r"""Expected number of steps from each state to each, over all sequences, ``[S, S]``:
        :math:`\sum_t p(z_{t-1} = a, z_t = b \mid y)`, without writing out the terms if the model is stationary."""
        before, after = self._sides
        if self._transition.dim() == 2:
            return self._transition * (before.mT @ after)
        return torch.einsum("ta,tab,tb->ab", before, self._transition, after)

    @cached_property
    def xi(self) -> Tensor:
        r""":math:`p(z_{t-1} = a, z_t = b \mid y)`, ``[T, S, S]``; zero where a sequence begins."""
        before, after = self._sides
        return before[:, :, None] * self._transition * after[:, None, :]

    @cached_property
    def _sides(self) -> tuple[Tensor, Tensor]:
        """What stands left and right of the transition in each step's probability, divided by their product."""
        before = self._alpha.roll(1, 0).index_fill(0, self._topology.first, 0)
        after = self._emission * self._beta
        moved = before @ self._transition if self._transition.dim() == 2 else (before[:, None] @ self._transition)[:, 0]
        return _divided(before, (moved * after).sum(1)), after


def forward_backward(
    log_emission: Float[Tensor, "T S"],
    transition: Float[Tensor, "S S"] | Float[Tensor, "T S S"],
    start: Float[Tensor, " S"] | Float[Tensor, "sequences S"],
    ptr: Int[Tensor, " bounds"] | Ragged,
) -> Posterior:
    r"""Posterior of the hidden states of a Markov chain that is seen through emissions.

    .. math::
        p(y, z) = \prod_{\text{sequences}} \pi_{z_1} B_{1, z_1} \prod_{t > 1} P_{z_{t-1} z_t} B_{t, z_t}

    With :math:`E_t = P \operatorname{diag}(B_t)` the forward messages are
    :math:`\pi \operatorname{diag}(B_1) E_2 \cdots E_t`, and the backward ones
    :math:`E_{t+1} \cdots E_T \mathbf 1`: both sides of one tree of products
    (:func:`~graphseq.scan.two_way_matrix_scan`), in linear space with the scale apart.

    Args:
        log_emission: :math:`\log B_{t, a} = \log p(y_t \mid z_t = a)`, any scale; minus infinity where impossible.
        transition: :math:`P_{ab} = p(z_t = b \mid z_{t-1} = a)`, 0 where forbidden; with a first axis it changes with
            the time at which it arrives, and is not read where a sequence begins.
        start: :math:`\pi_a = p(z_1 = a)`, of all sequences or of each.
        ptr: bounds of the sequences, or the topology that holds them.

    Returns:
        The :class:`Posterior`. Evidence is differentiable; its gradient in ``log_emission`` is ``gamma``.

    Raises:
        ValueError: if sizes do not fit one another, a log emission is NaN or plus infinity, or a probability is
            negative or not finite.
        TypeError: if dtypes are not the same floating one.

    Example:
        >>> likely = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]).log()
        >>> stay = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
        >>> forward_backward(likely, stay, torch.tensor([0.5, 0.5]), torch.tensor([0, 3])).gamma[1]
        tensor([0.5000, 0.5000])

    Cost: :math:`T S^3` in about :math:`3 \log_2 T` batched steps, for few states; memory :math:`O(T S^2)`.
    Source: Rabiner 1989, section III; the scan after Särkkä & García-Fernández 2021. States whose message is
    smaller than the greatest by the dtype's range count as impossible, as in the usual scaled recursion.
    """
    topology, start = _checked(log_emission, transition, start, ptr)
    steps, scale, emission = _steps(log_emission, transition, topology)
    ones = torch.ones_like(start)[:, :, None]
    behind, ahead = two_way_matrix_scan(steps, topology, log_scale=scale, initial=start[:, None], final=ones)
    alpha = behind.values[:, 0]
    last = topology.last
    beta = ahead.values[:, :, 0].roll(-1, 0).index_fill(0, last, 1)
    joint = alpha * beta
    return Posterior(
        _divided(joint, joint.sum(1)),
        _evidence(alpha, behind.log_scale, topology),
        alpha,
        behind.log_scale,
        beta,
        ahead.log_scale.roll(-1, 0).index_fill(0, last, 0),
        emission,
        transition if transition.dim() == 2 else transition.index_fill(0, topology.first, 0),
        topology,
    )


def log_evidence(
    log_emission: Float[Tensor, "T S"],
    transition: Float[Tensor, "S S"] | Float[Tensor, "T S S"],
    start: Float[Tensor, " S"] | Float[Tensor, "sequences S"],
    ptr: Int[Tensor, " bounds"] | Ragged,
) -> Float[Tensor, " sequences"]:
    r""":math:`\log p(y)` of each sequence, in float64 and differentiable: the forward half of
    :func:`forward_backward`, whose arguments it takes.

    Example:
        >>> log_evidence(torch.zeros(3, 2), torch.full((2, 2), 0.5), torch.tensor([0.5, 0.5]), torch.tensor([0, 3]))
        tensor([0.], dtype=torch.float64)
    """
    topology, start = _checked(log_emission, transition, start, ptr)
    steps, scale, _ = _steps(log_emission, transition, topology)
    alpha = matrix_scan(steps, topology, log_scale=scale, initial=start[:, None])
    return _evidence(alpha.values[:, 0], alpha.log_scale, topology)


class Path(NamedTuple):
    """The most probable path.

    Attributes:
        states: state at each position, ``[T]``.
        log_probability: of path and observations together, for each sequence, in float64. Minus infinity says that no
            path is possible; the states are then arbitrary.
    """

    states: Tensor
    log_probability: Tensor


@torch.no_grad()
def viterbi(
    log_emission: Float[Tensor, "T S"],
    transition: Float[Tensor, "S S"] | Float[Tensor, "T S S"],
    start: Float[Tensor, " S"] | Float[Tensor, "sequences S"],
    ptr: Int[Tensor, " bounds"] | Ragged,
) -> Path:
    r"""The path :math:`\arg\max_z p(y, z)` of each sequence; of equally good ones, one.

    Best scores are a scan over the semiring (max, +). Each position then has a map from its state to the best one
    before it, and following these maps from the end is a second scan, over the composition of maps.

    Args:
        log_emission, transition, start, ptr: as in :func:`forward_backward`.

    Returns:
        The :class:`Path`.

    Raises:
        ValueError: if sizes do not fit one another.

    Example:
        >>> likely = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]]).log()
        >>> stay = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
        >>> viterbi(likely, stay, torch.tensor([0.5, 0.5]), torch.tensor([0, 3])).states
        tensor([0, 0, 1])
    """
    topology, start = _checked(log_emission, transition, start, ptr)
    first, last = topology.first, topology.last
    moves = transition.log().expand(topology.num_states, *transition.shape[-2:])
    alone = torch.full_like(moves[first], -torch.inf)
    alone.diagonal(dim1=1, dim2=2).zero_()
    steps = moves.index_copy(0, first, alone) + log_emission[:, None, :]
    best = matrix_scan(steps, topology, initial=start.log()[:, None], semiring=MaxPlus())
    score = best.values[:, 0]
    arrived = (score.roll(1, 0)[:, :, None] + moves).argmax(1)
    ends = score[last].argmax(1, keepdim=True)
    final = arrived.new_zeros(topology.num_segments, 1).index_copy(0, topology.occupied, ends)
    maps = ProductTree(scaled(arrived, _Maps()), topology, _Maps())
    states = maps.suffixes(scaled(final, _Maps())).values.roll(-1, 0).index_copy(0, last, ends).squeeze(1)
    total = score[last].amax(1).double() + best.log_scale[last]
    return Path(states, total.new_zeros(topology.num_segments).index_copy(0, topology.occupied, total))


class _Maps:
    """Maps between states ``[N, S]``, as lists of images: one entry in each column of a 0/1 matrix."""

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        return x.gather(1, y)

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros(len(x), device=x.device)


def _checked(log_emission: Tensor, transition: Tensor, start: Tensor, ptr: Tensor | Ragged) -> tuple[Ragged, Tensor]:
    topology = ptr if isinstance(ptr, Ragged) else Ragged(ptr)
    if topology.reversed:
        raise ValueError("ptr must hold sequences in their own direction, got a reversed topology")
    if log_emission.dim() != 2 or log_emission.shape[0] != topology.num_states or log_emission.shape[1] == 0:
        raise ValueError(
            f"log_emission must have shape [T, S] with T = {topology.num_states}, where ptr ends, "
            f"got {list(log_emission.shape)}"
        )
    length, states = log_emission.shape
    if tuple(transition.shape) not in ((states, states), (length, states, states)):
        raise ValueError(
            f"transition must have shape {[states, states]} or {[length, states, states]}, got {list(transition.shape)}"
        )
    if tuple(start.shape) not in ((states,), (topology.num_segments, states)):
        raise ValueError(
            f"start must have shape {[states]} or {[topology.num_segments, states]}, got {list(start.shape)}"
        )
    if not log_emission.is_floating_point():
        raise TypeError(f"log_emission must have a floating dtype, got {log_emission.dtype}")
    for name, given in (("transition", transition), ("start", start)):
        if given.dtype is not log_emission.dtype:
            raise TypeError(f"{name} must have the dtype of log_emission ({log_emission.dtype}), got {given.dtype}")
    _check_values("log_emission", log_emission, log_emission < torch.inf, "numbers below infinity")
    # What arrives at a sequence's first step comes from nowhere, and may be anything.
    read = transition if transition.dim() == 2 else transition.detach().index_fill(0, topology.first, 0)
    for name, given in (("transition", read), ("start", start)):
        _check_values(name, given, (given >= 0) & (given < torch.inf), "probabilities, finite and not negative")
    return topology, start.expand(topology.num_segments, states)


def _check_values(name: str, values: Tensor, right: Tensor, expected: str) -> None:
    if not bool(right.all()):
        place = (~right).nonzero()[0].tolist()
        raise ValueError(f"{name} must hold {expected}, got {values[tuple(place)].item()} at {place}")


def _steps(log_emission: Tensor, transition: Tensor, topology: Ragged) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of all steps, with the greatest emission of each taken out; and these emissions."""
    scale = log_emission.detach().amax(1)
    scale = torch.where(scale == -torch.inf, torch.zeros_like(scale), scale)
    emission = (log_emission - scale[:, None]).exp()
    first = topology.first
    # Selected, not multiplied, so that a transition into a sequence's start may be anything.
    moves = transition.expand(topology.num_states, *transition.shape[-2:])
    steps = (moves * emission[:, None, :]).index_copy(0, first, emission[first].diag_embed())
    return steps, scale, emission


def _evidence(alpha: Tensor, log_scale: Tensor, topology: Ragged) -> Tensor:
    total = alpha[topology.last].double().sum(1)
    possible = total > 0
    # The logarithm of zero is put in by selection: its derivative would make NaN of the whole gradient.
    log = torch.where(possible, total, torch.ones_like(total)).log() + log_scale[topology.last]
    log = torch.where(possible, log, torch.full_like(log, -torch.inf))
    return torch.index_copy(log.new_zeros(topology.num_segments), 0, topology.occupied, log)


def _divided(rows: Tensor, total: Tensor) -> Tensor:
    """Rows over their totals; a row without any stays zero."""
    return rows / torch.where(total > 0, total, torch.ones_like(total))[:, None]
