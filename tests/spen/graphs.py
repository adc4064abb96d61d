"""Small graphs for the tests of this folder."""

import networkx as nx
import torch
from torch_geometric.data import Batch, Data


def graph_of(network, channels=3, seed=0):
    """A networkx graph with random real features."""
    edge_index = torch.tensor(list(network.to_directed().edges), dtype=torch.long).reshape(-1, 2).T.contiguous()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(network.number_of_nodes(), channels, dtype=torch.float64, generator=generator)
    return Data(x=x, edge_index=edge_index, num_nodes=network.number_of_nodes())


def assorted():
    """Random graphs and the shapes that break things: isolated nodes, components, a hub, a clique, nothing at all."""
    random = [nx.gnp_random_graph(n, 0.25, seed=n) for n in (7, 9, 12, 15)]
    shapes = [
        nx.star_graph(8),
        nx.complete_graph(5),
        nx.empty_graph(1),
        nx.empty_graph(4),
        nx.disjoint_union(nx.cycle_graph(5), nx.disjoint_union(nx.path_graph(3), nx.empty_graph(2))),
        nx.path_graph(2),
    ]
    return [graph_of(network, seed=place) for place, network in enumerate([*random, *shapes])]


def relabelled(data, permutation):
    """Node ``v`` becomes node ``permutation[v]``."""
    other = data.clone()
    other.x = data.x[permutation.argsort()]
    other.edge_index = permutation[data.edge_index]
    return other


def run(model, graphs, **inputs):
    batch = Batch.from_data_list(graphs)
    stored = {key: batch[key] for key in model.needs if key in batch}
    return model(batch.x, batch.edge_index, batch.batch, batch_size=len(graphs), **stored, **inputs)
