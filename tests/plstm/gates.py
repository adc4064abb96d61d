"""Random gates, sequences, grids and graphs."""

import torch

from graphseq.scan import Grid, LineGraph, Ragged, line_graph


def random_dag(num_nodes, num_edges, seed=0):
    """Edges of a graph whose nodes are not in topological order."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    pairs = pairs[:, pairs[0] != pairs[1]].sort(0).values.unique(dim=1)
    return torch.randperm(num_nodes, generator=generator)[pairs]


def random_lines(num_nodes=9, num_edges=20, seed=0):
    return line_graph(random_dag(num_nodes, num_edges, seed), num_nodes)


def random_inputs(topology, heads=2, dk=3, dv=4, seed=0):
    """By the names of the arguments of ``plstm_scan``; float64, gates of any sign."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, heads, dtype=torch.float64, generator=generator)

    nodes, edges, links = sizes(topology)
    return {
        "query": draw(*nodes, dk).transpose(-1, -2),
        "key": draw(*nodes, dk).transpose(-1, -2),
        "value": draw(*nodes, dv).transpose(-1, -2),
        "source": draw(*edges),
        "transition": 0.5 * draw(*links),
        "mark": draw(*edges),
        "direct": draw(*nodes),
    }


def sizes(topology):
    if isinstance(topology, Ragged):
        return [(topology.num_states,)] * 3
    if isinstance(topology, Grid):
        cells = (topology.batch, topology.height, topology.width)
        return cells, (2, *cells), (2, 2, *cells)
    assert isinstance(topology, LineGraph)
    return (topology.num_nodes,), (topology.num_states,), (topology.num_links,)
