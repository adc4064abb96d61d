"""Hidden states and signs of connections beside the true ones."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def match_states(found: Int[Tensor, " T"], reference: Int[Tensor, " T"], num_states: int) -> Int[Tensor, " num_states"]:
    """The permutation of states under which two labellings agree best (the Hungarian method).

    Args:
        found: states of a model at each time.
        reference: true states.
        num_states: how many there are, in both.

    Returns:
        For each state of the model the true one that it stands for: ``match_states(…)[found]`` is to be compared with
        ``reference``. Match on the training data, then apply it to the test data.

    Example:
        >>> match_states(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 1]), 2)
        tensor([1, 0])
    """
    from scipy.optimize import linear_sum_assignment

    if found.shape != reference.shape:
        raise ValueError(f"reference must have the shape of found {list(found.shape)}, got {list(reference.shape)}")
    together = torch.bincount(found * num_states + reference, minlength=num_states**2).view(num_states, num_states)
    _, columns = linear_sum_assignment(together.cpu().numpy(), maximize=True)
    return torch.from_numpy(columns).to(found.device)


def sign_recall(found: Int[Tensor, "*shape"], reference: Int[Tensor, "*shape"]) -> dict[int, float]:
    """Share of the inhibitory (-1), absent (0) and excitatory (1) connections that were found as such.

    Most connections are absent, so that saying so of all is right about most of them; the mean of the three shares,
    their *balanced* accuracy, is then a third. A sign that does not occur is left out.

    Example:
        >>> sign_recall(torch.tensor([1, 0, 0, 0]), torch.tensor([1, 1, 0, -1]))
        {-1: 0.0, 0: 1.0, 1: 0.5}
    """
    return {
        sign: float((found[reference == sign] == sign).double().mean())
        for sign in (-1, 0, 1)
        if bool((reference == sign).any())
    }
