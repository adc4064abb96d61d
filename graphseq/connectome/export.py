"""A dynamic connectome as PyG's data: one graph a window, a stream of events, or anatomy beside function."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data, HeteroData, TemporalData

from graphseq.connectome.dynamic import DynamicCommunities
from graphseq.data import signed_events


def window_graphs(
    found: DynamicCommunities, animal: int, x: Float[Tensor, "neurons features"] | None = None
) -> list[Data]:
    """One graph for each window of an animal.

    ``edge_index`` holds both directions of all pairs that were observed in the animal, the same tensor in all graphs;
    ``edge_weight`` the affinities in the window; ``y`` the community of each neuron, see
    :meth:`DynamicCommunities.labels_at`; ``membership`` the soft ones; ``time`` the window's start in seconds.

    Args:
        found: what :meth:`DynamicConnectome.fit` returned.
        animal: its number.
        x: features of the neurons.
    """
    seen = found.mask[:, animal]
    pairs = found.pairs[:, seen]
    edge_index = torch.cat([pairs, pairs.flip(0)], dim=1)
    labels, soft = found.labels_at(animal=animal), found.memberships(animal)
    return [
        Data(
            x=x,
            edge_index=edge_index,
            edge_weight=found.values[seen, window, animal].repeat(2),
            y=labels[window],
            membership=soft[window],
            time=start,
            animal=animal,
            num_nodes=found.num_neurons,
        )
        for window, start in enumerate(found.starts)
    ]


def affinity_events(found: DynamicCommunities, animal: int, above: float) -> TemporalData:
    """Each pair whose affinity in a window exceeds a threshold, as an event at the window's start.

    In the form that :mod:`graphseq.semba` takes: ``msg`` is the affinity, and all signs ``y`` are +1.

    Args:
        found: what :meth:`DynamicConnectome.fit` returned.
        animal: its number.
        above: the threshold.
    """
    seen = found.mask[:, animal]
    values = found.values[seen, :, animal].t()
    window, pair = (values > above).nonzero().unbind(1)
    src, dst = found.pairs[:, seen][:, pair]
    return signed_events(
        src, dst, found.starts[window], torch.ones_like(src), values[window, pair], num_nodes=found.num_neurons
    )


def functional_and_anatomical(
    found: DynamicCommunities, anatomy: Mapping[str, Float[Tensor, "neurons neurons"]], above: float = 0.0
) -> HeteroData:
    """Neurons with an edge type for each matrix of the anatomy and one for each motif.

    Edge types are ``("neuron", name, "neuron")``, with ``motif_0``, ``motif_1``, … for function, both directions of a
    pair; ``edge_weight`` is the number of contacts, or the pair's weight in the motif. ``y`` is the community of each
    neuron in each motif, ``[N, R]``.

    Args:
        found: what :meth:`DynamicConnectome.fit` returned.
        anatomy: counts by name, such as ``{"chemical": …, "gap": …}``, from row to column.
        above: pair weights of a motif that are not above this share of its largest have no edge.

    Raises:
        ValueError: if a matrix of the anatomy has not one row and column for each neuron.
    """
    data = HeteroData()
    data["neuron"].num_nodes = found.num_neurons
    data["neuron"].y = found.labels.t()
    matrices = dict(anatomy)
    for name, counts in matrices.items():
        if counts.shape != (found.num_neurons, found.num_neurons):
            raise ValueError(
                f"anatomy[{name!r}] must have shape [{found.num_neurons}, {found.num_neurons}], "
                f"got {list(counts.shape)}"
            )
    for motif in range(found.motifs.rank):
        graph = found.motif_graph(motif)
        matrices[f"motif_{motif}"] = torch.where(graph > above * graph.max(), graph, 0)
    for name, matrix in matrices.items():
        edge_index = (matrix != 0).nonzero().t().contiguous()
        data["neuron", name, "neuron"].edge_index = edge_index
        data["neuron", name, "neuron"].edge_weight = matrix[edge_index[0], edge_index[1]]
    return data
