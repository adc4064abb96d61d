"""Memory across the episodes of a rollout, as in-context reinforcement learning needs it (Lu et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.generated.dataset import UNLABELLED, GeneratedDataset, at_least, size_range
from graphseq.data.generated.parity import path_edges


class ResettableMemory(GeneratedDataset):
    r"""Episodes one after another; the last step of each asks for the cue of its first, if there was one.

    It is the memory chain of bsuite (Osband et al. 2020) in the rollouts of Lu et al. (2023), with one thing added: an
    episode has no cue with chance 1/4, and the right answer is then "none". Whoever keeps the cue of the episode
    before answers with it. Between first and last step there are distractors.

    Nodes are steps, joined in a path. ``x`` has three integer columns: cue + 1, or 0; a distractor; and 1 at the first
    step of an episode, 2 at the last, 0 in between. The label of a last step is its episode's cue + 1, or 0.
    ``label_mask`` is true at the last steps and ``starts`` at the first ones, where
    :func:`graphseq.sequence.episodes` cuts (``PathModel(..., resets=True)``).

    Args:
        num_cues: how many cues there are; chance is 1/4 for "none", otherwise 3/4 over this.
        episode_length: steps of an episode, at least 2, or the (shortest, longest) to draw from.
        num_nodes: steps of each rollout, or the (shortest, longest) to draw from; its last episode may be cut off.
        num_graphs: how many rollouts.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Example:
        >>> data = ResettableMemory(4, episode_length=3, num_nodes=6, num_graphs=1)[0]
        >>> data.starts.tolist(), data.y.tolist()
        ([True, False, False, True, False, False], [-1, -1, 0, -1, -1, 3])
    """

    def __init__(
        self,
        num_cues: int = 4,
        episode_length: int | tuple[int, int] = (2, 20),
        num_nodes: int | tuple[int, int] = 64,
        num_graphs: int = 500,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_cues", num_cues, 1)
        at_least("num_graphs", num_graphs, 1)
        shortest, longest = size_range("episode_length", episode_length, 2)
        # Room for one whole episode, without which there would be no question.
        low, high = size_range("num_nodes", num_nodes, longest)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                size = int(rng.integers(low, high + 1))
                x, y = np.zeros((size, 3), dtype=np.int64), np.full(size, UNLABELLED)
                x[:, 1] = rng.integers(0, num_cues, size)
                begin = 0
                while begin < size:
                    last = begin + int(rng.integers(shortest, longest + 1)) - 1
                    x[begin, 0] = 0 if rng.random() < 0.25 else rng.integers(1, num_cues + 1)
                    x[begin, 2] = 1
                    if last < size:
                        x[last, 2], y[last] = 2, x[begin, 0]
                    begin = last + 1
                yield Data(
                    x=torch.from_numpy(x),
                    edge_index=path_edges(size),
                    y=torch.from_numpy(y),
                    label_mask=torch.from_numpy(x[:, 2] == 2),
                    starts=torch.from_numpy(x[:, 2] == 1),
                )

        super().__init__(graphs(), transform, pre_transform)
