"""Graph Mamba does not depend on how nodes are numbered or graphs are batched."""

import re
from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import BatchNorm, SAGEConv

from graphseq.graph_mamba import (
    AveragedTies,
    CanonicalTies,
    GraphMamba,
    GraphMambaLayer,
    RandomTies,
    gps_mamba,
    graph_mamba_wang,
)
from graphseq.nn import ResidualConv
from graphseq.scan import Ragged
from tests.graph_mamba.graphs import edgeless_graph, random_graph, relabelled, run

SIZES = {"channels": 8, "layers": 2, "state_size": 4, "edge_channels": 2}


def _model(make=GraphMamba, **changes):
    torch.manual_seed(1)
    model = make(3, 2, **{**SIZES, **changes}).double()
    # Running statistics away from their start, as after training.
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return model.eval()


def test_another_convolution_may_pass_the_messages():
    """With weights of zero in the scan and the feed-forward block, what is left is that convolution."""
    data = random_graph(17)
    model = _model(local=partial(ResidualConv, conv=SAGEConv), layers=1, level="node")
    layer = model.blocks[0]
    for silenced in (layer.encoder.mamba.out_proj, *layer.feed_forward.modules()):
        if isinstance(silenced, nn.Linear):
            nn.init.zeros_(silenced.weight)
            nn.init.zeros_(silenced.bias)
    x = torch.randn(17, 8, dtype=torch.float64)
    conv = layer.local.conv
    expected = x + layer.local.norm(conv.lin_l(_mean_of_neighbours(x, data.edge_index)) + conv.lin_r(x)).relu()
    out, _ = layer(x, data.edge_index, Ragged.equal(1, 17))
    torch.testing.assert_close(out, expected)


def _mean_of_neighbours(x, edge_index):
    adjacency = torch.zeros(len(x), len(x), dtype=x.dtype)
    adjacency.index_put_((edge_index[1], edge_index[0]), torch.ones((), dtype=x.dtype), accumulate=True)
    return adjacency @ x / adjacency.sum(1, keepdim=True).clamp(min=1)


@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("make", [GraphMamba, gps_mamba, graph_mamba_wang])
def test_relabelling_nodes_relabels_the_result(level, make, backend):
    """With a key that is free of ties, exactly."""
    data = random_graph(17)
    data.order_key = torch.randn(17, dtype=torch.float64)
    model = _model(make, level=level)
    permutation = torch.randperm(17)
    out = run(model, [data], order_key=data.order_key)
    other = relabelled(data, permutation)
    moved = run(model, [other], order_key=other.order_key)
    torch.testing.assert_close(moved[permutation] if level == "node" else moved, out, rtol=1e-10, atol=1e-10)


def test_canonical_ties_do_not_depend_on_numbering():
    """Degrees tie often; the features tell the nodes apart."""
    data = random_graph(17)
    model = _model(level="node", evaluation_ties=CanonicalTies())
    permutation = torch.randperm(17)
    moved = run(model, [relabelled(data, permutation)])
    torch.testing.assert_close(moved[permutation], run(model, [data]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
@pytest.mark.parametrize("level", ["node", "graph"])
def test_batching_changes_nothing(level, norm, backend):
    graphs = [random_graph(9, 0), random_graph(1, 1), edgeless_graph(4), edgeless_graph(0), random_graph(12, 2)]
    model = _model(level=level, norm=norm)
    together = run(model, graphs)
    alone = [run(model, [graph]) for graph in graphs]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-10)


def test_the_order_of_graphs_changes_nothing():
    graphs = [random_graph(9, 0), random_graph(5, 1), random_graph(12, 2)]
    model = _model()
    torch.testing.assert_close(run(model, graphs[::-1]).flip(0), run(model, graphs), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_graphs_without_nodes_has_a_row_each(training, backend):
    model = _model().train(training)
    out = run(model, [edgeless_graph(0), edgeless_graph(0)])
    assert out.shape == (2, 2)
    assert out.isfinite().all()


@pytest.mark.parametrize("graph", [random_graph(1), edgeless_graph(5), edgeless_graph(0)])
@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
@pytest.mark.parametrize("training", [True, False])
def test_small_graphs_train(graph, norm, training):
    model = _model(norm=norm).train(training)
    run(model, [graph]).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_no_graph_sees_another():
    model = _model(level="node")
    first, second = random_graph(6, 0), random_graph(7, 1)
    changed = second.clone()
    changed.x = changed.x + 1
    torch.testing.assert_close(run(model, [first, changed])[:6], run(model, [first, second])[:6], rtol=0, atol=1e-13)


@pytest.mark.parametrize(("bidirectional", "sees"), [(True, [True] * 6), (False, [True] * 4 + [False] * 2)])
def test_direction_decides_which_nodes_a_node_sees(bidirectional, sees):
    """Without edges all that mixes nodes is the scan, in the order of the key."""
    graph = edgeless_graph(6)
    model = _model(level="node", bidirectional=bidirectional, local=False, layers=1, head_layers=1)
    x = graph.x.clone().requires_grad_()
    out = model(x, graph.edge_index, None, graph.edge_attr, order_key=torch.arange(6))
    out[3].sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == sees


@pytest.mark.parametrize(("silent", "sees"), [(1, [True] * 4 + [False] * 2), (0, [False] * 3 + [True] * 3)])
@pytest.mark.parametrize("scan_every", [1, 2])
def test_alternating_layers_scan_one_way_and_then_the_other(scan_every, silent, sees):
    """Each of two scans alone, the other one without a word of what it read."""
    graph = edgeless_graph(6)
    sizes = {"layers": 2 * scan_every, "scan_every": scan_every, "local": scan_every > 1, "head_layers": 1}
    model = _model(level="node", bidirectional="alternating", **sizes)
    scans = [block.encoder for block in model.blocks if block.encoder is not None]
    assert [block.encoder is not None for block in model.blocks] == 2 * ([False] * (scan_every - 1) + [True])
    nn.init.zeros_(scans[silent].mamba.out_proj.weight)
    x = graph.x.clone().requires_grad_()
    out = model(x, graph.edge_index, None, graph.edge_attr, order_key=torch.arange(6))
    out[3].sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == sees


def test_a_direction_that_does_not_exist_is_named(unchecked):
    with pytest.raises(ValueError, match="bidirectional must be True, False or \"alternating\", got 'both'"):
        _model(bidirectional="both")


def test_a_negative_feed_forward_block_is_named():
    with pytest.raises(ValueError, match="feed_forward must be at least 0, got -1"):
        _model(feed_forward=-1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scan_every": 3, "layers": 2}, r"scan_every must be at most the number of layers \(2\), got 3"),
        ({"scan_every": 0}, "scan_every must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"scan_every": 2, "layers": 2, "local": False}, "scan_every must be 1 without a local branch, got 2"),
    ],
)
def test_a_model_without_scans_and_layers_without_branches_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        _model(**wrong)


def test_a_layer_without_branches_is_named():
    with pytest.raises(ValueError, match="a layer needs an encoder or a local branch, got neither"):
        GraphMambaLayer(8, None)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_layer_without_scan_is_its_equations(norm_first):
    graph, segments = random_graph(9), Ragged.equal(1, 9)
    layer = _model(level="node", layers=2, scan_every=2, norm_first=norm_first).blocks[0]
    x, edges = (torch.randn(size, 8, dtype=torch.float64) for size in (9, graph.num_edges))
    h, expected_edges = layer.local(x, graph.edge_index, edges)
    if norm_first:
        expected = h + layer.feed_forward(layer.output_norm(h))
    else:
        h = layer.local_norm(h)
        expected = layer.output_norm(h + layer.feed_forward(h))
    out, out_edges = layer(x, graph.edge_index, segments, edges)
    assert out.equal(expected)
    assert out_edges.equal(expected_edges)


def test_nodes_are_scanned_from_small_key_to_large():
    graph = edgeless_graph(4)
    model = _model(level="node", bidirectional=False, local=False, layers=1, head_layers=1)
    x = graph.x.clone().requires_grad_()
    key = torch.tensor([3, 0, 2, 1])
    model(x, graph.edge_index, None, graph.edge_attr, order_key=key)[2].sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == [False, True, True, True]


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("feed_forward", [2, 0])
def test_the_layer_is_its_equations(feed_forward, norm_first, bidirectional):
    """Both branches read the input; what they add up to goes around the feed-forward block too."""
    graph, segments = random_graph(9), Ragged.equal(1, 9)
    sizes = {"bidirectional": bidirectional, "norm_first": norm_first, "feed_forward": feed_forward}
    layer = _model(level="node", **sizes).blocks[0]
    x = torch.randn(9, 8, dtype=torch.float64)
    e = torch.randn(graph.num_edges, 8, dtype=torch.float64)
    key = torch.randn(9, dtype=torch.float64)
    out, edges = layer(x, graph.edge_index, segments, e, order_key=key)
    ordered = x[key.argsort()]
    inner = layer.encoder.norm(ordered) if norm_first or bidirectional else ordered
    scanned = layer.encoder.mamba(inner, segments)[key.argsort().argsort()]
    local, expected_edges = layer.local(x, graph.edge_index, e)
    if norm_first:
        h = local + scanned
        expected = h + layer.feed_forward(layer.output_norm(h)) if feed_forward else h
    else:
        h = layer.local_norm(local) + layer.global_norm(x + scanned)
        expected = layer.output_norm(h + layer.feed_forward(h) if feed_forward else h)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(edges, expected_edges)


def test_of_several_orders_training_takes_one_for_all_layers_and_evaluation_the_first():
    graph = random_graph(6)
    keys = torch.stack([torch.arange(6), torch.arange(6).flip(0)], dim=1)
    model = _model(norm="layer_norm")
    single = [run(model, [graph], order_key=key) for key in keys.unbind(1)]
    assert torch.equal(run(model, [graph], order_key=keys), single[0])
    model.train()
    taken = [run(model, [graph], order_key=keys) for _ in range(30)]
    which = [[torch.equal(out, one) for one in single] for out in taken]
    assert all(sum(equal) == 1 for equal in which)
    assert {tuple(equal) for equal in which} == {(True, False), (False, True)}


@pytest.mark.parametrize("shape", [(5,), (6, 2, 1)])
def test_an_order_of_the_wrong_shape_is_named(shape, unchecked):
    with pytest.raises(ValueError, match=re.escape(f"order_key must have shape [6] or [6, orders], got {list(shape)}")):
        run(_model(), [random_graph(6)], order_key=torch.zeros(shape))


def test_widths_inside_a_layer_are_shares_of_its_own():
    layer = _model(level="node", expand=0.4, feed_forward=0.75).blocks[0]
    assert layer.encoder.mamba.ahead.A_log.shape == (3, 4)
    assert layer.feed_forward[0].weight.shape == (6, 8)


def test_ties_are_random_in_training_alone():
    """All keys of a graph without edges are equal."""
    graph = edgeless_graph(6)
    model = _model(level="node", norm="layer_norm")
    for training in (True, False):
        model.train(training)
        assert torch.equal(run(model, [graph]), run(model, [graph])) != training


def test_without_a_key_the_edges_that_leave_a_node_are_counted():
    """From each node to all later ones, so that what arrives ascends where what leaves descends."""
    edges = torch.combinations(torch.arange(4)).t()
    graph = Data(
        x=torch.randn(4, 3, dtype=torch.float64), edge_index=edges, edge_attr=torch.zeros(6, 2, dtype=torch.float64)
    )
    model = _model(level="node", bidirectional=False, local=False)
    key = torch.tensor([3, 2, 1, 0])
    assert torch.equal(run(model, [graph]), run(model, [graph], order_key=key))
    layer, x = model.blocks[0], torch.randn(4, 8, dtype=torch.float64)
    alone, given = (layer(x, edges, Ragged.equal(1, 4), order_key=each)[0] for each in (None, key))
    assert torch.equal(alone, given)


def test_random_ties_differ_between_calls_and_averaged_ones_do_not():
    graph = random_graph(12)
    graph.x = torch.ones_like(graph.x)
    noisy = _model(level="node", evaluation_ties=RandomTies())
    assert not torch.allclose(run(noisy, [graph]), run(noisy, [graph]))
    averaged = _model(level="node", evaluation_ties=AveragedTies(3))
    assert torch.equal(run(averaged, [graph]), run(averaged, [graph]))


def test_averaging_is_over_the_branch_of_each_layer():
    """What enters the norm after the branch is the mean over the orders, not one of them."""
    graph = edgeless_graph(5)
    rule = AveragedTies(3)
    layer = _model(level="node", layers=1, local=False, evaluation_ties=rule).blocks[0]
    segments = Ragged.equal(1, 5)
    x = torch.randn(5, 8, dtype=torch.float64)
    entered = []
    layer.output_norm.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    layer(x, graph.edge_index, segments)
    alone = [layer.encoder(x[order], segments)[order.argsort()] for order in rule.orders(torch.zeros(5), segments)]
    assert not torch.allclose(alone[0], alone[1])
    torch.testing.assert_close(entered[0], torch.stack(alone).mean(0))


def test_wang_preset_is_the_published_layer():
    """One direction, no norm before the scan, widths and counts as published."""
    model = graph_mamba_wang(9, 10)
    assert len(model.blocks) == 4
    layer = model.blocks[0]
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in layer.named_children()}
    # 34.1k in Mamba, 46.9k in GatedGCN (with its two norms), 37.3k in the feed-forward block, at width 96.
    assert counts["encoder"] == 34_080
    assert counts["local"] == 46_944
    assert counts["feed_forward"] == 37_152
    assert sum(counts.values()) == 118_752
    assert isinstance(layer.ties, RandomTies)
    assert isinstance(layer.evaluation_ties, AveragedTies)
    assert layer.evaluation_ties.num_orders == 5
    for norm in (layer.local_norm, layer.global_norm, layer.output_norm, layer.local.node_norm, layer.local.edge_norm):
        assert isinstance(norm, BatchNorm)


def test_edge_level_scores_pairs_the_same_both_ways():
    graph = random_graph(8)
    model = _model(level="edge")
    pairs = torch.tensor([[0, 1, 5], [3, 2, 7]])
    scores = run(model, [graph], edge_label_index=pairs)
    assert scores.shape == (3, 2)
    torch.testing.assert_close(run(model, [graph], edge_label_index=pairs.flip(0)), scores)
    with pytest.raises(ValueError, match="edge_label_index must be given"):
        run(model, [graph])


def test_tokens_run_before_the_layers():
    class Shift(torch.nn.Module):
        def forward(self, x, edge_index, segments, edge_attr, **structure):
            return x + structure["order_key"][:, None], edge_attr

    graph = edgeless_graph(3)
    key = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    plain, shifted = _model(level="node"), _model(level="node", tokens=lambda _: Shift())
    shifted.load_state_dict({name.replace("blocks.1", "blocks.2").replace("blocks.0", "blocks.1"): value
                             for name, value in plain.state_dict().items()})  # fmt: skip
    assert not torch.allclose(run(plain, [graph], order_key=key), run(shifted, [graph], order_key=key))
    assert torch.allclose(run(plain, [graph], order_key=0 * key), run(shifted, [graph], order_key=0 * key))


def test_thread_count_changes_no_more_than_rounding():
    batch = Batch.from_data_list([random_graph(40, seed) for seed in range(4)])
    model = _model()
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(model(batch.x, batch.edge_index, batch.batch, batch.edge_attr))
    torch.set_num_threads(before)
    torch.testing.assert_close(results[0], results[1], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edge_index": torch.tensor([[0], [9]])}, "edge_index must hold nodes in 0..5 (x has 6 rows)"),
        ({"edge_index": torch.tensor([[-1], [0]])}, "edge_index must hold nodes in 0..5 (x has 6 rows)"),
        ({"edge_index": torch.tensor([[0.0], [1.0]])}, "edge_index must have dtype torch.int64, got torch.float32"),
        ({"edge_index": torch.tensor([0, 1])}, "edge_index must have shape [2, edges], got [2]"),
        ({"batch": torch.tensor([0, 0, 1])}, "batch must have one entry for each of the 6 rows of x, got shape [3]"),
        ({"batch": torch.tensor([0, 0, 1, 0, 1, 1])}, "batch must be in ascending order, got 0 after 1 at position 3"),
        ({"x": torch.full((6, 3), float("nan")).double()}, "x must be finite, got NaN or infinity in 6 rows"),
        ({"edge_attr": None}, "edge_attr must be given"),
    ],
)
def test_wrong_input_is_named(change, words, unchecked):
    graph = random_graph(6)
    inputs = {"x": graph.x, "edge_index": graph.edge_index, "batch": None, "edge_attr": graph.edge_attr, **change}
    with pytest.raises(ValueError) as caught:
        _model(validate=True)(**inputs)
    assert words in str(caught.value)


def test_reading_every_feature_is_asked_for():
    graph = random_graph(6)
    graph.x[0, 0] = float("nan")
    assert run(_model(level="node"), [graph]).isnan().any()
