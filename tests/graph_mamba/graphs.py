"""Small graphs for the tests of this folder."""

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.utils import erdos_renyi_graph, to_undirected


def random_graph(num_nodes, seed=0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        edge_index = erdos_renyi_graph(num_nodes, 0.3) if num_nodes > 1 else torch.zeros(2, 0, dtype=torch.long)
    x = torch.randn(num_nodes, channels, dtype=torch.float64, generator=generator)
    edge_index = to_undirected(edge_index, num_nodes=num_nodes)
    edge_attr = (x[edge_index[0]] + x[edge_index[1]])[:, :2]
    return Data(x=x, edge_index=edge_index, edge_attr=edge_attr)


def edgeless_graph(num_nodes, channels=3):
    return Data(
        x=torch.randn(num_nodes, channels, dtype=torch.float64),
        edge_index=torch.zeros(2, 0, dtype=torch.long),
        edge_attr=torch.zeros(0, 2, dtype=torch.float64),
    )


def relabelled(data, permutation):
    """Node ``v`` becomes node ``permutation[v]``."""
    place = permutation.argsort()
    other = Data(x=data.x[place], edge_index=permutation[data.edge_index], edge_attr=data.edge_attr)
    if "order_key" in data:
        other.order_key = data.order_key[place]
    return other


def run(model, graphs, **inputs):
    batch = Batch.from_data_list(graphs)
    return model(batch.x, batch.edge_index, batch.batch, batch.edge_attr, batch_size=len(graphs), **inputs)
