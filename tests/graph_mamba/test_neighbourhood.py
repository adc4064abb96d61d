"""Stage 1: the last row of a node's tokens sees all of them; numbering, batches and blocks change nothing."""

from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from graphseq.graph_mamba import (
    AddNeighbourhoodTokens,
    AddTokenWalks,
    GraphMamba,
    NeighbourhoodEncoder,
    TokenBatch,
    TokenEncoder,
    WalkEncoder,
    gmn,
    gmn_minus,
    gps_mamba,
    graph_mamba_wang,
    neighbourhood_tokens,
    stored_tokens,
)
from graphseq.nn import RandomWalkEncoder
from graphseq.scan import Ragged
from graphseq.sequence import DeltaNet, Mamba, Mamba2
from tests.graph_mamba.graphs import edgeless_graph, random_graph, relabelled, run

SIZES = {"channels": 8, "layers": 1, "state_size": 4, "edge_channels": 2, "norm": "layer_norm"}
ADD = AddNeighbourhoodTokens(m=2, M=3, s=2, seed=0)


def _model(make=gmn, **changes):
    torch.manual_seed(1)
    return make(3, 2, **{"m": 2, "s": 2, "level": "node", **SIZES, **changes}).double().eval()


def _run(model, graphs, **inputs):
    batch = Batch.from_data_list(graphs)
    return run(model, graphs, **{key: batch[key] for key in model.needs if key in batch}, **inputs)


class _Probe(TokenEncoder):
    """Stands for the token encoder: its output is a leaf."""

    needs = ()

    def read(self, stored, edge_index, num_nodes):
        raise NotImplementedError

    def forward(self, x, edge_attr, tokens):
        self.rows = torch.randn(tokens.num_roots, tokens.per_root, x.shape[1], dtype=x.dtype).requires_grad_()
        return self.rows


def _tokens(graph, m=2, M=3, s=2, **options):
    generator = torch.Generator().manual_seed(0)
    return neighbourhood_tokens(graph.edge_index, graph.num_nodes, m, M, s, generator=generator, **options)


def test_a_node_hears_every_token_of_its_own_and_no_other():
    graph, probe = random_graph(5), _Probe()
    stage = NeighbourhoodEncoder(8, 2, encoder=lambda _: probe, state_size=4).double().eval()
    x, e = torch.randn(5, 8, dtype=torch.float64), torch.randn(graph.num_edges, 8, dtype=torch.float64)
    out, same = stage(x, graph.edge_index, Ragged.equal(1, 5), e, tokens=_tokens(graph))
    out[3].sum().backward()
    assert (probe.rows.grad.abs().sum(2) > 0).tolist() == [[row == 3] * 5 for row in range(5)]
    assert same is e


def test_the_nearest_token_is_the_row_that_is_read():
    """With a scan that lets nothing through, what is left is the residual of the root's row."""
    graph, probe = random_graph(5), _Probe()
    stage = NeighbourhoodEncoder(8, 2, encoder=lambda _: probe, state_size=4).double().eval()
    for parameter in stage.layers.parameters():
        nn.init.zeros_(parameter)
    x, e = torch.randn(5, 8, dtype=torch.float64), torch.randn(graph.num_edges, 8, dtype=torch.float64)
    out, _ = stage(x, graph.edge_index, Ragged.equal(1, 5), e, tokens=_tokens(graph))
    assert torch.equal(out, probe.rows[:, -1])
    # and that row is the root, alone.
    tokens = _tokens(graph)
    assert tokens.member[tokens.ptr[1:] - 1][4::5].tolist() == list(range(5))
    assert tokens.size[4::5].tolist() == [1] * 5


def test_training_shuffles_tokens_of_one_length_only():
    stage = NeighbourhoodEncoder(1, 3)
    h = torch.arange(7.0).expand(500, 7)[..., None]
    rows = stage._shuffled(h)[..., 0]
    assert torch.equal(rows.view(500, 7)[:, :3].sort(1).values, h[:, :3, 0])
    assert torch.equal(rows[:, 3:6].sort(1).values, h[:, 3:6, 0])
    assert (rows[:, 6] == 6).all()
    assert len({tuple(row) for row in rows.tolist()}) == 36


def test_tokens_are_shuffled_in_training_alone():
    """Of one walk each, so that tokens of one length differ at almost every node."""
    graph, tokens = random_graph(12), _tokens(random_graph(12), M=1)
    stage = NeighbourhoodEncoder(8, 2, state_size=4).double()
    x, e = torch.randn(12, 8, dtype=torch.float64), torch.randn(graph.num_edges, 8, dtype=torch.float64)
    for training in (True, False):
        stage.train(training)
        twice = [stage(x, graph.edge_index, Ragged.equal(1, 12), e, tokens=tokens)[0] for _ in range(2)]
        assert torch.equal(*twice) != training


def test_length_zero_is_the_model_on_node_tokens():
    """On the same weights, and without tokens in the data."""
    zero, plain = _model(m=0), _model(lambda *c, m, s, **sizes: gps_mamba(*c, **sizes))
    zero.load_state_dict(plain.state_dict())
    graphs = [random_graph(9, 0), random_graph(4, 1)]
    assert torch.equal(run(zero, graphs), run(plain, graphs))


def test_tokens_of_length_zero_leave_each_node_to_itself():
    graph = random_graph(6)
    stage = NeighbourhoodEncoder(8, 2, state_size=4).double().eval()
    x = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    e = torch.randn(graph.num_edges, 8, dtype=torch.float64)
    stage(x, graph.edge_index, Ragged.equal(1, 6), e, tokens=_tokens(graph, m=0))[0][2].sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == [False, False, True, False, False, False]


def _relabelled_tokens(tokens, permutation):
    """The same tokens after node ``v`` has become ``permutation[v]``: roots in their new order, members renamed."""
    per_root, place = tokens.per_root, permutation.argsort()
    member, sizes, ends, ids, shift = [], [], [], [], 0
    for root in place.tolist():
        own = tokens.block(root, root + 1)
        named = permutation[own.member]
        order = torch.argsort(own.token * permutation.numel() + named)
        rank = order.argsort()
        edges = rank[own.edge_index]
        by_source = edges[0].argsort(stable=True)
        member.append(named[order])
        sizes.append(own.size)
        ends.append(edges[:, by_source] + shift)
        ids.append(own.edge_id[by_source])
        shift += named.numel()
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(sizes).cumsum(0)])
    assert ptr.numel() == per_root * permutation.numel() + 1
    return TokenBatch(torch.cat(member), ptr, torch.cat(ends, 1), torch.cat(ids), torch.arange(permutation.numel()))


@pytest.mark.parametrize("make", [gmn, gmn_minus])
def test_relabelling_nodes_and_their_tokens_relabels_the_result(make, backend):
    data = random_graph(13)
    data.order_key = torch.randn(13, dtype=torch.float64)
    permutation = torch.randperm(13)
    model, tokens, other = _model(make), _tokens(data), relabelled(data, permutation)
    out = run(model, [data], order_key=data.order_key, tokens=tokens)
    moved = run(model, [other], order_key=other.order_key, tokens=_relabelled_tokens(tokens, permutation))
    torch.testing.assert_close(moved[permutation], out, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [gmn, gmn_minus])
def test_batching_changes_nothing(make, backend):
    graphs = [random_graph(9, 0), random_graph(1, 1), edgeless_graph(4), edgeless_graph(0), random_graph(12, 2)]
    graphs = [ADD(graph) for graph in graphs]
    model = _model(make)
    together = _run(model, graphs)
    torch.testing.assert_close(together, torch.cat([_run(model, [graph]) for graph in graphs]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("graph", [random_graph(1), edgeless_graph(5), edgeless_graph(0)])
def test_small_graphs_train(graph, training):
    model = _model().train(training)
    _run(model, [ADD(graph)]).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_every_weight_is_reached():
    """But the last edges', which nothing reads, and the decay before the row that the backward scan begins with."""
    model = _model()
    _run(model, [ADD(random_graph(12))]).square().sum().backward()
    unread = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in unread if "edge_norm" not in name} == {"blocks.0.layers.0.mamba.back.A_log"}


def test_a_second_scan_reads_what_the_first_one_gave_to_every_token():
    """Only the last backward scan then begins with the row that is read."""
    model = _model(token_layers=2)
    _run(model, [ADD(random_graph(12))]).square().sum().backward()
    unread = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in unread if "edge_norm" not in name} == {"blocks.0.layers.1.mamba.back.A_log"}


def test_blocks_change_neither_result_nor_gradients():
    graph = random_graph(11)
    results = []
    for block_size in (100, 4):
        torch.manual_seed(2)
        stage = NeighbourhoodEncoder(8, 2, state_size=4, block_size=block_size).double()
        stage.eval()
        x = torch.linspace(-1, 1, 88, dtype=torch.float64).view(11, 8).requires_grad_()
        e = torch.linspace(-1, 1, 8 * graph.num_edges, dtype=torch.float64).view(-1, 8)
        out, _ = stage(x, graph.edge_index, Ragged.equal(1, 11), e, tokens=_tokens(graph))
        out.square().sum().backward()
        results.append([out, x.grad, *(p.grad for p in stage.parameters() if p.grad is not None)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_blocks_are_computed_again_with_the_same_chance(monkeypatch):
    """Shuffled and with dropout, gradients are those of activations that were kept."""
    graph, gradients = random_graph(11), []
    for keep in (False, True):
        if keep:
            monkeypatch.setattr(
                "graphseq.graph_mamba.neighbourhood.recomputed", lambda last_row, *inputs, **options: last_row(*inputs)
            )
        torch.manual_seed(2)
        stage = NeighbourhoodEncoder(8, 2, state_size=4, block_size=4, dropout=0.5).double().train()
        x = torch.linspace(-1, 1, 88, dtype=torch.float64).view(11, 8).requires_grad_()
        e = torch.linspace(-1, 1, 8 * graph.num_edges, dtype=torch.float64).view(-1, 8)
        stage(x, graph.edge_index, Ragged.equal(1, 11), e, tokens=_tokens(graph))[0].square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in stage.parameters() if p.grad is not None)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_blocks_keep_less_for_the_gradient():
    graph = random_graph(60, 4)
    kept = []
    for block_size in (60, 10):
        stage = NeighbourhoodEncoder(8, 2, state_size=4, block_size=block_size).double().eval()
        x = torch.randn(60, 8, dtype=torch.float64, requires_grad=True)
        e = torch.randn(graph.num_edges, 8, dtype=torch.float64)
        size = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, size=size: size.update({t.data_ptr(): t.numel()}) or t, lambda t: t
        ):
            out = stage(x, graph.edge_index, Ragged.equal(1, 60), e, tokens=_tokens(graph))
        kept.append(sum(size.values()))
        del out
    assert kept[1] < kept[0] / 10


def test_walk_features_can_take_the_place_of_subgraphs():
    graphs = [AddTokenWalks(2, 3, 2, seed=0)(graph) for graph in (random_graph(7), edgeless_graph(3))]
    tokens = partial(NeighbourhoodEncoder, s=2, encoder=partial(WalkEncoder, m=2, M=3, s=2))
    model = _model(lambda *c, m, s, **sizes: GraphMamba(*c, tokens=tokens, **sizes))
    assert "token_walk" in model.needs
    together = _run(model, graphs)
    torch.testing.assert_close(together, torch.cat([_run(model, [graph]) for graph in graphs]), rtol=1e-10, atol=1e-10)


def _walks(samples):
    tokens = partial(NeighbourhoodEncoder, s=2, encoder=partial(WalkEncoder, m=2, M=3, s=2))
    model = _model(lambda *c, m, s, **sizes: GraphMamba(*c, tokens=tokens, **sizes))
    return model, AddTokenWalks(2, 3, 2, samples=samples, seed=0)


@pytest.mark.parametrize("kind", ["subgraphs", "walks"])
def test_the_prediction_is_the_mean_over_all_samplings(kind):
    if kind == "walks":
        model, add = _walks(3)
    else:
        model, add = _model(), AddNeighbourhoodTokens(m=2, M=3, s=2, samples=3, seed=0)
    graphs = [add(random_graph(9, 0)), add(random_graph(4, 1))]
    batch = Batch.from_data_list(graphs)
    tokens = model.blocks[0].encoder.read(
        {key: batch[key] for key in model.needs if key in batch}, batch.edge_index, 13
    )
    each = [run(model, graphs, tokens=tokens.sampling(sample)) for sample in range(3)]
    assert not torch.allclose(each[0], each[1])
    torch.testing.assert_close(_run(model, graphs), torch.stack(each).mean(0), rtol=1e-12, atol=1e-12)


def test_training_takes_one_sampling_in_each_step():
    model = _model().train()
    model.blocks[0]._shuffled = lambda h: h
    graph = AddNeighbourhoodTokens(m=2, M=3, s=2, samples=3, seed=0)(random_graph(9))
    model.blocks[1].ties = model.blocks[1].evaluation_ties
    each = [run(model, [graph], tokens=stored_tokens(graph, 9).sampling(sample)) for sample in range(3)]
    seen = set()
    for _ in range(30):
        out = _run(model, [graph])
        seen.add([torch.allclose(out, one) for one in each].index(True))
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("make", [gmn, gps_mamba, graph_mamba_wang])
@pytest.mark.parametrize(
    ("block", "arguments", "without"),
    [(Mamba2, {"head_size": 4}, ()), (DeltaNet, {"heads": 2, "key_size": 3}, ("state_size", "expand", "conv_size"))],
)
def test_another_sequence_model_takes_mambas_place(make, block, arguments, without):
    """And with sizes of its own, if the three of Mamba are ``None``."""
    sizes = {**SIZES, **({"m": 2, "s": 2} if make is gmn else {}), **dict.fromkeys(without)}
    torch.manual_seed(1)
    model = make(3, 2, level="node", block=partial(block, **arguments), **sizes).double().eval()
    assert not [module for module in model.modules() if isinstance(module, Mamba)]
    # Stage 1, both ways, and the layer; one way in Wang's.
    directions = 1 if make is graph_mamba_wang else 2
    expected = directions * len(model.blocks)
    assert sum(isinstance(module, block) for module in model.modules()) == expected
    graphs = [ADD(random_graph(9, 0)), ADD(edgeless_graph(4)), ADD(random_graph(1, 1))]
    together = _run(model, graphs)
    torch.testing.assert_close(together, torch.cat([_run(model, [graph]) for graph in graphs]), rtol=1e-10, atol=1e-10)


def test_sizes_hold_in_both_stages():
    model = _model(state_size=3, conv_size=2, expand=2, dropout=0.25)
    assert model.blocks[0].encoder.layers[0].dropout == 0.25
    for scan in (model.blocks[0].layers[0], model.blocks[1].encoder):
        assert scan.dropout.p == 0.25
        for mamba in (scan.mamba.ahead, scan.mamba.back):
            assert mamba.sizes() == {"state_size": 3, "conv_size": 2, "expand": 2}


def test_the_small_preset_has_no_message_passing_between_layers():
    assert _model(gmn_minus).blocks[1].local is None
    assert _model(gmn).blocks[1].local is not None
    for wrong in ({"positional": [RandomWalkEncoder]}, {"local": True}):
        with pytest.raises(ValueError, match="must not be set, since gmn_minus has none"):
            _model(gmn_minus, **wrong)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="s must be at least 1, got 0"):
        NeighbourhoodEncoder(4, 0)
    with pytest.raises(ValueError, match="m must be at least 0, got -1"):
        gmn(3, 2, m=-1)
    graph = random_graph(6)
    with pytest.raises(ValueError, match="token_member must be given"):
        run(_model(), [graph])
    with pytest.raises(ValueError, match=r"tokens must be a multiple of s \(4\) for each node, or one more, got 10"):
        run(_model(s=4), [graph], tokens=_tokens(graph, m=5, s=2, include_root=False))
    with pytest.raises(ValueError, match="tokens must be those of 6 nodes, got those of 4"):
        run(_model(), [graph], tokens=_tokens(random_graph(4)))
