"""Spikes of a network whose wiring switches with a hidden state (the one-hot HMM-GLM, 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.generated.dataset import GeneratedDataset, at_least
from graphseq.data.generated.parity import path_edges


class SwitchingNetwork(GeneratedDataset):
    r"""Which wiring is on? Spike counts of a network that has several, one at a time.

    .. math::
        P(z_t = z_{t-1}) = 0.98, \qquad
        y_{t,n} \sim \operatorname{Poisson} \sigma\Bigl(b_{z_t,n} + \sum_m W_{z_t,nm} H_{t,m}\Bigr), \qquad
        H_t = \sum_{k=1}^{5} \frac{e^{-k}}{\sum_j e^{-j}} y_{t-k}

    Every connection of the network has probabilities of being inhibitory, absent or excitatory, drawn from
    :math:`\mathrm{Dirichlet}(0.2, 1.6, 0.2)` and shared by the states, each of which draws its signs from them. Sizes
    are :math:`\log(1 + 3u)`, biases between -0.05 and 0.05. All sequences are of one network.

    Nodes are bins, joined in a path. ``x`` holds the counts of all neurons, ``y`` the state.

    Attributes:
        signs: -1, 0 or 1, ``[S, N, N]``, entry ``[s, n, m]`` from neuron ``m`` to ``n``.
        weights: signs times sizes.
        bias: ``[S, N]``.
        transition: ``[S, S]``.
        connectome: probabilities of the signs, ``[N, N, 3]``.

    Args:
        num_states: :math:`S`.
        num_neurons: :math:`N`.
        length: bins of a sequence.
        num_graphs: how many sequences.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Example:
        >>> SwitchingNetwork(length=100, num_graphs=2)[0].x.shape
        torch.Size([100, 20])

    Source: the synthetic experiment of the paper. How a sample of the connectome becomes hard is ours: one draw of
    each sign.
    """

    def __init__(
        self,
        num_states: int = 5,
        num_neurons: int = 20,
        length: int = 2000,
        num_graphs: int = 50,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        sizes = {"num_states": num_states, "num_neurons": num_neurons, "length": length, "num_graphs": num_graphs}
        for name, size in sizes.items():
            at_least(name, size, 1)
        rng = np.random.default_rng(seed)
        connectome = rng.dirichlet([0.2, 1.6, 0.2], (num_neurons, num_neurons))
        chance = rng.random((num_states, num_neurons, num_neurons, 1))
        signs = (chance > connectome.cumsum(-1)[..., :2]).sum(-1) - 1
        weights = signs * np.log1p(3 * rng.random(signs.shape))
        bias = rng.uniform(-0.05, 0.05, (num_states, num_neurons))
        stay = 0.98 if num_states > 1 else 1.0
        transition = np.full((num_states, num_states), (1 - stay) / max(num_states - 1, 1))
        np.fill_diagonal(transition, stay)
        states, counts = _simulated(weights, bias, transition, length, num_graphs, rng)

        def graphs() -> Iterator[Data]:
            for x, y in zip(counts, states, strict=True):
                yield Data(x=torch.from_numpy(x), edge_index=path_edges(length), y=torch.from_numpy(y))

        super().__init__(graphs(), transform, pre_transform)
        self.signs = torch.from_numpy(signs)
        self.weights, self.bias, self.transition, self.connectome = (
            torch.from_numpy(array) for array in (weights, bias, transition, connectome)
        )


def _simulated(
    weights: np.ndarray, bias: np.ndarray, transition: np.ndarray, length: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """States ``[count, length]`` and spikes ``[count, length, neurons]``, all sequences a bin at a time."""
    lags = np.exp(-np.arange(1, 6))
    lags /= lags.sum()
    neurons = bias.shape[1]
    spikes = np.zeros((count, length + 5, neurons))
    states = np.zeros((count, length), dtype=np.int64)
    upto = transition.cumsum(1)
    for t in range(length):
        if t == 0:
            states[:, 0] = rng.integers(0, len(transition), count)
        else:
            drawn = (rng.random((count, 1)) > upto[states[:, t - 1]]).sum(1)
            # Rounding may leave the last sum just below one.
            states[:, t] = drawn.clip(max=len(transition) - 1)
        history = np.einsum("k,ckn->cn", lags[::-1], spikes[:, t : t + 5])
        state = states[:, t]
        drive = bias[state] + np.einsum("cnm,cm->cn", weights[state], history)
        spikes[:, t + 5] = rng.poisson(1 / (1 + np.exp(-drive)))
    return states, spikes[:, 5:].astype(np.float32)
