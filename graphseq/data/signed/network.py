"""A generated trust network with planted camps that drift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from graphseq.data.generated.dataset import at_least
from graphseq.data.signed.events import SignedStream, signed_events


class SignedNetwork:
    r"""Nodes in two camps; friends inside a camp, foes across.

    Node :math:`n` is in camp :math:`\sigma_n(t) \in \{-1, +1\}`, and an event from :math:`i` to :math:`j` at time
    :math:`t` has the sign :math:`\sigma_i(t) \sigma_j(t)`, turned over with probability ``noise``. Without noise and
    drift the network is perfectly balanced (Harary 1953). With drift each node changes camp ``drift`` times on
    average over the whole time, so that old events mislead. Some nodes act more than others: activity falls off as a
    power law.

    Args:
        num_nodes: how many nodes.
        num_events: how many events, at whole seconds; several may share one.
        noise: probability that a sign is turned over.
        drift: changes of camp of a node, on average.
        duration: seconds from the first to the last possible event.
        seed: the same seed gives the same network.

    Attributes:
        events: see :func:`graphseq.data.signed_events`; strengths are 1.
        camp: ``[E, 2]``, the camps of source and destination at each event.

    Example:
        >>> from graphseq.data import SignedNetwork
        >>> network = SignedNetwork(num_nodes=50, num_events=500, noise=0.0, drift=0.0)
        >>> bool((network.events.y == network.camp.prod(1)).all())
        True
    """

    def __init__(
        self,
        num_nodes: int = 200,
        num_events: int = 4000,
        *,
        noise: float = 0.05,
        drift: float = 0.5,
        duration: int = 10_000_000,
        seed: int = 0,
    ) -> None:
        at_least("num_nodes", num_nodes, 3)
        at_least("num_events", num_events, 1)
        at_least("duration", duration, 1)
        if num_nodes * duration >= 2**63:
            raise ValueError(
                f"num_nodes times duration must be below 2**63, got {num_nodes} and {duration}: take a coarser unit"
            )
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must be a probability, got {noise}")
        if drift < 0:
            raise ValueError(f"drift must be at least 0, got {drift}")
        rng = np.random.default_rng(seed)
        t = np.sort(rng.integers(0, duration, num_events))
        activity = rng.permutation((np.arange(num_nodes) + 1.0) ** -0.7)
        cumulative = np.cumsum(activity) / activity.sum()
        src = np.minimum(np.searchsorted(cumulative, rng.random(num_events)), num_nodes - 1)
        dst = np.minimum(np.searchsorted(cumulative, rng.random(num_events)), num_nodes - 1)
        dst = np.where(dst == src, (dst + rng.integers(1, num_nodes, num_events)) % num_nodes, dst)
        camps = _camps(rng, num_nodes, drift, duration)
        sign = camps(src, t) * camps(dst, t) * np.where(rng.random(num_events) < noise, -1, 1)
        self.camp = torch.from_numpy(np.stack([camps(src, t), camps(dst, t)], axis=1))
        columns = (torch.from_numpy(column) for column in (src, dst, t, sign))
        self.events = signed_events(*columns, num_nodes=num_nodes)
        self.num_nodes = num_nodes

    @property
    def stream(self) -> SignedStream:
        """The events with the nodes' numbers as their names."""
        return SignedStream(self.events, np.arange(self.num_nodes))


def _camps(
    rng: np.random.Generator, num_nodes: int, drift: float, duration: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The camp of nodes at times, as a function; changes of camp are a Poisson process."""
    start = rng.choice([-1, 1], num_nodes)
    changes = rng.poisson(drift, num_nodes)
    node = np.repeat(np.arange(num_nodes), changes)
    keys = np.sort(node * duration + rng.integers(0, duration, changes.sum()))
    first = np.concatenate([[0], np.cumsum(changes)])

    def camp(nodes: np.ndarray, times: np.ndarray) -> np.ndarray:
        changed = np.searchsorted(keys, nodes * duration + times, side="right") - first[nodes]
        return start[nodes] * np.where(changed % 2, -1, 1)

    return camp
