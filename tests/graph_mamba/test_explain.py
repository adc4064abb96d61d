"""Influence, reach and step sizes are what their formulas say; pictures show what they are given."""

from __future__ import annotations

from functools import partial

import networkx as nx
import pytest
import torch
from torch import nn
from torch.nn.functional import linear, silu, softplus
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN as PlainGCN
from torch_geometric.utils import to_networkx, to_undirected

from graphseq.graph_mamba import AddNeighbourhoodTokens, AveragedTies, GraphMamba, gmn, stored_tokens
from graphseq.graph_mamba.explain import (
    effective_reach,
    hop_distance,
    influence,
    influence_by_distance,
    plot_reach,
    plot_step_sizes,
    plot_tokens,
    step_sizes,
)
from graphseq.sequence import Mamba2
from graphseq.training.baselines import GCN, GPS
from tests.graph_mamba.graphs import random_graph

TARGETS = torch.tensor([0, 4])


def _path(nodes: int = 9) -> Data:
    torch.manual_seed(0)
    edge_index = to_undirected(torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)]))
    graph = Data(x=torch.randn(nodes, 3), edge_index=edge_index, num_nodes=nodes)
    return AddNeighbourhoodTokens(m=2, M=2, s=2, seed=0)(graph)


@pytest.mark.parametrize("make", [partial(PlainGCN, 3, 8, 2, 4), partial(GCN, 3, 4, channels=8, level="node")])
def test_influence_is_the_norm_of_the_jacobian(make):
    graph = _path()
    network = make().eval()
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, graph.edge_index), graph.x)
    expected = torch.linalg.matrix_norm(jacobian.permute(0, 2, 1, 3))[TARGETS]
    torch.testing.assert_close(influence(network, graph, TARGETS), expected)


@pytest.mark.parametrize(("make", "reaches"), [(GCN, 2), (GPS, 8), (gmn, 8)])
def test_messages_reach_as_far_as_there_are_layers_and_scans_and_attention_everywhere(make, reaches):
    graph, sizes = _path(), {"m": 2, "s": 2} if make is gmn else {}
    network = make(3, 2, channels=8, layers=2, level="node", **sizes).eval()
    size = influence(network, graph, torch.tensor([0]))[0]
    assert (size > 0).tolist() == [True] * (reaches + 1) + [False] * (8 - reaches)


def test_a_graphs_nodes_are_read_before_they_are_pooled():
    graph = _path()
    network = GCN(3, 2, channels=8, layers=1, level="graph").eval()
    size = influence(network, graph, TARGETS)
    assert (size > 0).tolist() == [[hop in (0, 1) for hop in row] for row in hop_distance(graph.edge_index, 9, TARGETS)]


def test_categories_have_the_influence_of_their_vectors():
    graph = _path()
    codes = torch.arange(9)[:, None] % 3
    network = GCN((3,), 2, channels=8, layers=2, level="node").eval()
    # The same network on one-hot features, whose first layer is the table: derivatives with respect to its result.
    vectors = network.node_encoder(codes).detach()
    network.node_encoder, table = nn.Identity(), network.node_encoder
    expected = influence(network, Data(x=vectors, edge_index=graph.edge_index), TARGETS)
    network.node_encoder = table
    graph.x = codes
    torch.testing.assert_close(influence(network, graph, TARGETS), expected)
    with pytest.raises(ValueError, match="data must have real features x for a GCN"):
        influence(PlainGCN(1, 8, num_layers=1), graph, TARGETS)


def test_networks_without_a_row_a_node_are_refused():
    with pytest.raises(ValueError, match=r"network must return a row for each of 9 nodes, got \[1, 8\]"):

        class Pooled(PlainGCN):
            def forward(self, x, edge_index):
                return super().forward(x, edge_index).sum(0, keepdim=True)

        influence(Pooled(3, 8, num_layers=1), _path(), TARGETS)


def test_distances_follow_the_direction_of_edges():
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(12, (2, 20), generator=generator)
    graph = to_networkx(Data(edge_index=edge_index, num_nodes=13))
    distance = hop_distance(edge_index, 13, torch.arange(13))
    for target in range(13):
        known = nx.single_target_shortest_path_length(graph, target)
        assert distance[target].tolist() == [dict(known).get(node, -1) for node in range(13)]


def test_shares_are_means_over_pairs_at_a_distance():
    size = torch.tensor([[2.0, 1.0, 1.0, 4.0], [0.0, 3.0, 1.0, 0.0]])
    distance = torch.tensor([[0, 1, 2, -1], [1, 0, 1, -1]])
    # Shares of the first target 1/4, 1/8, 1/8, 1/2, of the second 0, 3/4, 1/4, 0.
    expected = torch.tensor([(0.25 + 0.75) / 2, (0.125 + 0.0 + 0.25) / 3, 0.125])
    torch.testing.assert_close(influence_by_distance(size, distance), expected)
    assert effective_reach(size, distance) == pytest.approx(((1 + 2) / 4 + 1 / 4) / 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shares_of_any_number_of_pairs_are_right_in_half_precision(dtype):
    """4096 pairs at one distance, which ones in half precision do not add up to; each target hears of one node."""
    size, distance = torch.zeros(4, 1025, dtype=dtype), torch.ones(4, 1025, dtype=torch.long)
    size[:, :2], distance[:, 0] = 1, 0
    assert influence_by_distance(size, distance).tolist() == [1 / 2, 4 / 2 / 4096]


def test_each_target_counts_the_same_in_the_reach():
    size, distance = torch.tensor([[2.0, 1.0, 1.0], [0.0, 3.0, 1.0]]), torch.tensor([[0, 1, 2], [1, 0, 1]])
    louder = size * torch.tensor([[1.0], [10.0]])
    assert effective_reach(louder, distance) == pytest.approx(effective_reach(size, distance))


def test_influence_on_a_pooled_node_is_on_its_mean_over_samplings():
    """That of the same network, read node by node."""
    graph = AddNeighbourhoodTokens(m=2, M=2, s=2, samples=3, seed=0)(_path())
    sizes = {"m": 2, "s": 2, "channels": 8, "layers": 1}
    pooled, by_node = gmn(3, 2, level="graph", **sizes).eval(), gmn(3, 2, level="node", **sizes).eval()
    by_node.load_state_dict(pooled.state_dict())
    by_node.head.forward = lambda h, *rest: h
    torch.testing.assert_close(influence(pooled, graph, TARGETS), influence(by_node, graph, TARGETS))


def test_step_sizes_of_several_orders_follow_each_other():
    graph = _path()
    rule = AveragedTies(2)
    network = GraphMamba(3, 2, channels=8, layers=1, level="node", local=False, evaluation_ties=rule).eval()
    steps = step_sizes(network, graph)["blocks.0.encoder.mamba.ahead"]
    network.blocks[0].evaluation_ties = AveragedTies(1)
    assert steps.shape[0] == 18
    torch.testing.assert_close(steps[:9], step_sizes(network, graph)["blocks.0.encoder.mamba.ahead"])


def test_step_sizes_are_those_that_the_scan_is_given():
    graph = _path()
    network = GraphMamba(3, 2, channels=8, layers=1, level="node", local=False).eval()
    encoder, mamba = network.blocks[0].encoder, network.blocks[0].encoder.mamba.ahead
    # A convolution that passes on what it gets leaves the equation of the step size easy to write.
    for each in (encoder.mamba.ahead, encoder.mamba.back):
        with torch.no_grad():
            each.conv1d.weight.zero_()[..., -1] = 1
            each.conv1d.bias.zero_()
    graph.order_key = torch.arange(9).flip(0)
    steps = step_sizes(network, graph)
    assert list(steps) == ["blocks.0.encoder.mamba.ahead", "blocks.0.encoder.mamba.back"]
    inner = encoder.norm(network.node_encoder(graph.x).flip(0)) @ mamba.in_proj.weight.t()
    low_rank = linear(silu(inner[:, :8]), mamba.x_proj.weight)[:, : mamba.dt_rank]
    expected = softplus(low_rank @ mamba.dt_proj.weight.t() + mamba.dt_proj.bias)
    torch.testing.assert_close(steps["blocks.0.encoder.mamba.ahead"], expected)
    assert not any(module._forward_hooks for module in network.modules())


def test_step_sizes_of_heads():
    graph = _path()
    block = partial(Mamba2, head_size=4)
    network = GraphMamba(3, 2, channels=8, layers=1, level="node", bidirectional=False, block=block).eval()
    graph.order_key = torch.arange(9)
    encoder, mamba = network.blocks[0].encoder, network.blocks[0].encoder.mamba
    expected = softplus(
        (encoder.norm(network.node_encoder(graph.x)) @ mamba.in_proj.weight.t())[:, -2:] + mamba.dt_bias
    )
    torch.testing.assert_close(step_sizes(network, graph), {"blocks.0.encoder.mamba": expected})


def test_tokens_have_as_many_rows_of_step_sizes_as_nodes_have_tokens():
    steps = step_sizes(gmn(3, 2, m=2, s=2, channels=8, layers=1, level="node").eval(), _path())
    assert {name: len(step) for name, step in steps.items()} == {
        "blocks.0.layers.0.mamba.ahead": 9 * 5,
        "blocks.0.layers.0.mamba.back": 9 * 5,
        "blocks.1.encoder.mamba.ahead": 9,
        "blocks.1.encoder.mamba.back": 9,
    }


def test_the_picture_of_tokens_has_one_graph_a_token():
    graph = AddNeighbourhoodTokens(m=2, M=2, s=2, seed=0)(random_graph(12))
    tokens = stored_tokens(graph, 12)
    figure = plot_tokens(graph, tokens, 3, 2, columns=3)
    drawn = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in drawn] == [
        "1: walks of 2",
        "2: walks of 2",
        "3: walks of 1",
        "4: walks of 1",
        "5: the node",
    ]
    own = tokens.block(3, 4)
    for place, axes in enumerate(drawn):
        nodes, root = axes.collections[-2:]
        assert len(root.get_offsets()) == 1
        colours = nodes.get_facecolors()
        inside = (colours[:, 2] > colours[:, 0]).nonzero()[0].tolist()
        assert inside == own.member[own.ptr[place] : own.ptr[place + 1]].tolist()
    with pytest.raises(ValueError, match=r"root must be a node in 0..11, got 12"):
        plot_tokens(graph, tokens, 12, 2)


def test_the_picture_of_reach_has_one_line_a_network():
    figure = plot_reach(
        {"near": torch.tensor([0.9, 0.1, 0.0]), "far": torch.full((3,), 0.3)}, reach={"near": 0.1, "far": 1}
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "near (effective reach 0.1)",
        "far (effective reach 1.0)",
    ]
    near, far = (torch.from_numpy(line.get_ydata()) for line in axes.lines)
    assert near.isnan().tolist() == [False, False, True]
    assert far.tolist() == pytest.approx([0.3] * 3)
    assert axes.get_yscale() == "log"


def test_the_picture_of_step_sizes_shows_medians_over_their_mean():
    step = torch.tensor([[1.0], [3.0], [2.0], [6.0]])
    figure = plot_step_sizes({"ahead": step}, length=2, labels=["1", "0"])
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_ydata().tolist() == [0.5, 1.5]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "0"]
    with pytest.raises(ValueError, match=r"length must divide the number of entries \(4\), got 3"):
        plot_step_sizes({"ahead": step}, length=3)
    with pytest.raises(ValueError, match="labels must be 2, got 1"):
        plot_step_sizes({"ahead": step}, length=2, labels=["1"])
