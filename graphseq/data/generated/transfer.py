"""Transfer of a label across a graph (Bodnar et al. 2021; Di Giovanni et al. 2023)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphseq.data.generated.dataset import GeneratedDataset, at_least, labelled_node, one_of, size_range

READER = 0


class Transfer(GeneratedDataset):
    r"""One node holds a class, another one far away must name it.

    The holder's features are the one-hot class, the reader's (node 0) are zero, all others are ones. Classes are
    balanced. For given sizes there are only ``num_classes`` different graphs, so training and test data coincide and
    what is measured is whether the label arrives at all; ``random_features``, ``random_holder`` and a range of sizes
    make it a task of generalisation.

    Each graph stores ``reader_index`` and ``holder_index``, which batching shifts like ``edge_index``.

    Args:
        num_nodes: nodes of each graph, or the (smallest, largest) number to draw from.
        num_graphs: how many graphs.
        num_classes: how many classes, which is also the number of features.
        level: ``"node"`` puts the label at the reader (``label_mask`` is true there alone), ``"graph"`` on the graph.
        random_features: the other nodes' features are drawn from :math:`U(0, 1)` instead of being ones.
        random_holder: the holder is drawn from all nodes but the reader, and not the farthest.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.
    """

    def __init__(
        self,
        num_nodes: int | tuple[int, int] = 20,
        num_graphs: int = 500,
        num_classes: int = 5,
        *,
        level: str = "node",
        random_features: bool = False,
        random_holder: bool = False,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_graphs", num_graphs, 1)
        at_least("num_classes", num_classes, 2)
        one_of("level", level, ("node", "graph"))
        sizes = self.sizes(num_nodes)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            edges = {size: self.edges(size) for size in sizes}
            for label in rng.permutation(np.arange(num_graphs) % num_classes):
                size = int(rng.choice(sizes))
                holder = int(rng.integers(1, size)) if random_holder else self.farthest(size)
                x = torch.from_numpy(rng.random((size, num_classes), np.float32)) if random_features else None
                yield _graph(edges[size], size, num_classes, holder, int(label), level, x)

        super().__init__(graphs(), transform, pre_transform)

    @staticmethod
    def sizes(num_nodes: int | tuple[int, int]) -> list[int]:
        """The numbers of nodes that may occur."""
        low, high = size_range("num_nodes", num_nodes, 4)
        if not (even := [size for size in range(low, high + 1) if size % 2 == 0]):
            raise ValueError(f"num_nodes must be even, or a range that holds an even number, got {num_nodes}")
        return even

    @staticmethod
    @abstractmethod
    def edges(num_nodes: int) -> Tensor:
        """``edge_index`` of the graph, both directions, without duplicates."""

    @staticmethod
    def farthest(num_nodes: int) -> int:
        """The node that holds the class."""
        return num_nodes - 1


class RingTransfer(Transfer):
    """Transfer halfway round a cycle: distance n/2, by two disjoint ways.

    Arguments are those of :class:`Transfer`; ``num_nodes`` is even.

    Example:
        >>> data = RingTransfer(num_nodes=10, num_graphs=5)[0]
        >>> int(data.reader_index), int(data.holder_index), int(data.label_mask.sum())
        (0, 5, 1)
    """

    @staticmethod
    def edges(num_nodes: int) -> Tensor:
        nodes = torch.arange(num_nodes)
        return _undirected(nodes, (nodes + 1) % num_nodes)

    @staticmethod
    def farthest(num_nodes: int) -> int:
        return num_nodes // 2


class CrossedRingTransfer(RingTransfer):
    """The ring with crossing edges between neighbouring distance levels: the same distance, a shorter commute time.

    Node i < n/2 is also joined to n-1-i and, from i = 2 on, to n+1-i. Arguments are those of :class:`Transfer`.
    """

    @staticmethod
    def edges(num_nodes: int) -> Tensor:
        ring, half = torch.arange(num_nodes), torch.arange(num_nodes // 2)
        # Some crossings repeat edges of the ring; making the graph undirected removes them.
        tails = torch.cat([ring, half, half[2:]])
        heads = torch.cat([(ring + 1) % num_nodes, num_nodes - 1 - half, num_nodes + 1 - half[2:]])
        return _undirected(tails, heads)


class CliquePathTransfer(Transfer):
    """A clique of n/2 nodes with a path of n/2 more (a lollipop): distance n/2 + 1 and the longest commute time.

    The reader is in the clique, the holder at the end of the path. Arguments are those of :class:`Transfer`.
    """

    @staticmethod
    def edges(num_nodes: int) -> Tensor:
        half = num_nodes // 2
        clique = torch.combinations(torch.arange(half)).t()
        path = torch.arange(half - 1, num_nodes - 1)
        return _undirected(torch.cat([clique[0], path]), torch.cat([clique[1], path + 1]))


class TreeTransfer(Transfer):
    """Transfer from the last leaf of a full tree to its root.

    Args:
        arity: children of each inner node.
        depth: distance from root to leaves.
        num_graphs, num_classes, level, random_features, random_holder, seed, transform, pre_transform:
            as for :class:`Transfer`.
    """

    def __init__(self, arity: int = 2, depth: int = 5, num_graphs: int = 500, num_classes: int = 5, **options) -> None:
        at_least("arity", arity, 1)
        at_least("depth", depth, 1)
        self.arity = arity
        super().__init__(sum(arity**level for level in range(depth + 1)), num_graphs, num_classes, **options)

    @staticmethod
    def sizes(num_nodes: int | tuple[int, int]) -> list[int]:
        return list(size_range("num_nodes", num_nodes, 2))[:1]

    def edges(self, num_nodes: int) -> Tensor:  # type: ignore[override]
        children = torch.arange(1, num_nodes)
        return _undirected((children - 1) // self.arity, children)


def _graph(
    edge_index: Tensor, size: int, num_classes: int, holder: int, label: int, level: str, others: Tensor | None
) -> Data:
    x = torch.ones(size, num_classes) if others is None else others
    x[[READER, holder]] = 0
    x[holder, label] = 1
    target = labelled_node(size, READER, label) if level == "node" else {"y": torch.tensor([label])}
    return Data(
        x=x, edge_index=edge_index, reader_index=torch.tensor([READER]), holder_index=torch.tensor([holder]), **target
    )


def _undirected(tails: Tensor, heads: Tensor) -> Tensor:
    return to_undirected(torch.stack([tails, heads]))
