"""SPEN does not depend on how nodes are numbered, graphs are batched or networks are cut into parts."""

import networkx as nx
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.utils import to_undirected

from graphseq.spen import (
    SPEN,
    AddEgoNetworks,
    EgoNetworks,
    MarkedRoot,
    MeanInjection,
    PairFeatures,
    RootStabiliser,
    SPENLayer,
    SumInjection,
    Symmetric,
    ego_networks,
    published_spen,
)
from tests.spen.graphs import assorted, graph_of, relabelled, run

EXACT = {"rtol": 1e-10, "atol": 1e-10}
SIZES = {"channels": 4, "layers": 3, "buckets": (1, 2, 4)}
VARIANTS = [
    {},
    {"root": "none", "inject": "sum", "aggr": "sum", "norm": False},
    {"root": "full", "inner": 2, "combine": "sum", "hops": 2},
    {"root": "mark", "inject": "sum", "inner": 2, "max_size": 4, "max_pairs": 30},
]


def _filled(model):
    """Biases away from zero, as after training."""
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def _model(**changes):
    torch.manual_seed(1)
    return _filled(SPEN(3, 2, **{**SIZES, **changes}))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("level", ["node", "graph"])
def test_relabelling_nodes_relabels_the_result(level, variant):
    model = _model(level=level, **variant)
    for data in assorted():
        permutation = torch.randperm(data.num_nodes)
        out, moved = run(model, [data]), run(model, [relabelled(data, permutation)])
        torch.testing.assert_close(moved[permutation] if level == "node" else moved, out, **EXACT)


@pytest.mark.parametrize("group", [Symmetric(), MarkedRoot(), RootStabiliser()])
@pytest.mark.parametrize("injection", [MeanInjection(), SumInjection()])
def test_relabelling_nodes_relabels_pairs(group, injection):
    """On state that is not symmetric, of no width that is also a size; gradients move along."""
    layer = _filled(SPENLayer((7, 6), 4, buckets=3, group=group, injection=injection, inner=2))
    for data in assorted():
        n = data.num_nodes
        dense, node = torch.randn(n, n, 7).double().requires_grad_(), torch.randn(n, 6).double().requires_grad_()
        towards = torch.randn(n, n, 8).double()
        permutation = torch.randperm(n)
        results = []
        for p in (torch.arange(n), permutation):
            nets = EgoNetworks(*ego_networks(p[data.edge_index], n), (1, 2, 4))
            row, col = p.argsort()[nets.pair_index]
            pair, new_node = layer(dense[row, col], node[p.argsort()], nets)
            gradients = torch.autograd.grad((pair * towards[row, col]).sum() + new_node.square().sum(), [dense, node])
            whole = torch.zeros(n, n, 8).double().index_put((row, col), pair)
            results.append((whole, new_node[p], *gradients))
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, **EXACT)


def test_weights_by_node_number_would_be_seen():
    """What guards the tests above against being empty."""
    layer = _filled(SPENLayer((3, 0), 2, buckets=2))
    data = assorted()[2]
    n = data.num_nodes
    outs = []
    permutation = torch.randperm(n)
    for p in (torch.arange(n), permutation):
        nets = EgoNetworks(*ego_networks(p[data.edge_index], n), (1, 4))
        row, col = p.argsort()[nets.pair_index]
        state = data.x[row] * data.x[col] * (1 + nets.pair_index[0])[:, None]
        outs.append(layer(state, None, nets)[1][p])
    assert not torch.allclose(*outs, atol=1e-3)


@pytest.mark.parametrize(
    "graph",
    [nx.cycle_graph(7), nx.star_graph(5), nx.petersen_graph(), nx.complete_graph(5), nx.hypercube_graph(3)],
)
@pytest.mark.parametrize("variant", [{"inject": "sum"}, {"root": "full", "inject": "sum", "hops": 2}])
def test_nodes_that_a_symmetry_exchanges_have_the_same_result(graph, variant):
    """All of these but the star have one orbit of nodes; the star has its centre and its leaves."""
    data = graph_of(nx.convert_node_labels_to_integers(graph))
    data.x = torch.ones_like(data.x)
    out = run(_model(level="node", norm=False, **variant), [data])
    orbits = [out[:1], out[1:]] if graph.number_of_nodes() == 6 else [out]
    for orbit in orbits:
        torch.testing.assert_close(orbit, orbit[:1].expand_as(orbit), **EXACT)
    if len(orbits) == 2:
        assert not torch.allclose(orbits[0][0], orbits[1][0], atol=1e-3)


def test_pairs_that_a_symmetry_exchanges_have_the_same_state():
    """On a cycle: pairs at one distance are one orbit, up to their direction."""
    data = graph_of(nx.cycle_graph(7))
    nets = EgoNetworks(*ego_networks(data.edge_index, 7))
    layer = _filled(SPENLayer((1, 0), 3, injection=SumInjection(), norm=False))
    place, _ = nets.find(*data.edge_index)
    pair = torch.zeros(nets.num_pairs, 1).double().index_fill(0, place, 1.0)
    out, _ = layer(pair, None, nets)
    apart = (nets.pair_index[0] - nets.pair_index[1]) % 7
    apart = torch.minimum(apart, 7 - apart)
    means = [out[apart == distance].mean(0) for distance in range(3)]
    for distance, mean in enumerate(means):
        torch.testing.assert_close(out[apart == distance], mean.expand(7 * min(distance + 1, 2), -1), **EXACT)
    assert not torch.allclose(means[1], means[2], atol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("training", [True, False])
def test_batching_changes_nothing(level, variant, training):
    model = _model(level=level, dropout=0.0, **variant).train(training)
    graphs = [*assorted(), graph_of(nx.empty_graph(0)), graph_of(nx.barabasi_albert_graph(40, 2, seed=0))]
    alone = torch.cat([run(model, [graph]) for graph in graphs])
    torch.testing.assert_close(run(model, graphs), alone, **EXACT)
    if level == "graph":
        torch.testing.assert_close(run(model, graphs[::-1]).flip(0), alone, **EXACT)


@pytest.mark.parametrize("variant", VARIANTS[:3])
def test_stored_networks_and_parts_change_nothing(variant):
    graphs = assorted()
    stored = [AddEgoNetworks(hops=variant.get("hops", 1))(data.clone()) for data in graphs]
    plain, cut = _model(**variant), _model(max_pairs=25, **variant)
    results = []
    for model, given in ((plain, graphs), (plain, stored), (cut, stored)):
        out = run(model, given)
        results.append((out, *torch.autograd.grad(out.square().sum(), list(model.parameters()))))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, **EXACT)


def test_a_layer_sees_no_further_than_twice_its_hops():
    """Two nodes share a network up to that distance, and no layer looks beyond."""
    data = graph_of(nx.path_graph(9))
    nets = EgoNetworks(*ego_networks(data.edge_index, 9), (1, 3))
    layer = _filled(SPENLayer((3, 3), 2, buckets=2, norm=False))
    x = data.x.clone().requires_grad_()
    pair = x[nets.pair_index[0]] + x[nets.pair_index[1]].square()
    _, node = layer(pair, x, nets)
    node[2].sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == [True] * 5 + [False] * 4


def test_hops_beyond_the_diameter_make_one_network_of_a_component():
    """All networks are then the same tensor, and their mean is what one of them gives."""
    data = graph_of(nx.gnp_random_graph(6, 0.6, seed=1))
    nets = EgoNetworks(*ego_networks(data.edge_index, 6, 6))
    layer = _filled(SPENLayer((3, 3), 2, norm=False))
    pair = torch.randn(36, 3).double()
    whole = EgoNetworks(torch.arange(6).repeat(6), torch.full((6,), 6))
    assert torch.equal(nets.pair_index, whole.pair_index)
    first = whole.parts[0].blocks
    alone = layer.maps[0](pair, data.x, type(first)(torch.tensor([0, 6])))
    for got, want in zip(layer(pair, data.x, nets), alone, strict=True):
        torch.testing.assert_close(got, torch.nn.functional.elu(want), **EXACT)


def test_networks_of_one_size_need_one_bucket():
    data = graph_of(nx.cycle_graph(8))
    many, one = _model(buckets=(1, 2, 3, 4)), _model(buckets=(1,))
    state = {name: value[2:3] if value.dim() > 2 else value for name, value in many.state_dict().items()}
    one.load_state_dict(state)
    torch.testing.assert_close(run(many, [data]), run(one, [data]), **EXACT)


@pytest.mark.parametrize("in_channels", [3, (4, 2)])
@pytest.mark.parametrize("edge_channels", [None, 2, (3,)])
def test_features_of_every_kind_are_read(in_channels, edge_channels):
    data = assorted()[2]
    model = _filled(SPEN(in_channels, 1, edge_channels=edge_channels, **SIZES))
    x = data.x if isinstance(in_channels, int) else torch.randint(2, (data.num_nodes, 2))
    edges = data.num_edges
    kinds = {None: None, 2: torch.randn(edges, 2).double(), (3,): torch.randint(3, (edges, 1))}
    edge_attr = kinds[edge_channels]
    out = model(x, data.edge_index, None, edge_attr)
    assert not torch.allclose(out, model(1 - x, data.edge_index, None, edge_attr))
    if edge_attr is not None:
        order = torch.randperm(edges)
        torch.testing.assert_close(out, model(x, data.edge_index[:, order], None, edge_attr[order]), **EXACT)
        assert not torch.allclose(out, model(x, data.edge_index, None, 1 - edge_attr.clamp(max=1)))


def test_without_features_the_graph_alone_is_read():
    data = assorted()[2]
    model = _filled(SPEN(3, 2, read_nodes=False, **SIZES))
    assert torch.equal(model(data.x, data.edge_index), model(0 * data.x, data.edge_index))


def test_the_preset_has_the_published_sizes():
    model = published_spen(37, 2)
    widths = [tuple(layer.out_channels) for layer in model.layers]
    assert widths == [(16, 16), (32, 32), (32, 32), (32, 32)]
    assert [tuple(lin.weight.shape) for lin in model.head.lins] == [(256, 32), (128, 256), (2, 128)]
    first = model.layers[1].maps[0].to_pair[0]
    assert tuple(first.weight.shape) == (5, 15, 16, 16)
    deviation = (2 / (16 + 16)) ** 0.5
    assert float(first.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    assert type(first.group) is Symmetric


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level": "edge"}, "level must be 'node' or 'graph', got 'edge'"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"root": "some"}, "root must be 'none', 'mark' or 'full', got 'some'"),
        ({"inject": "max"}, "inject must be 'mean' or 'sum', got 'max'"),
        ({"combine": "max"}, "combine must be 'concat' or 'sum', got 'max'"),
        ({"buckets": (3, 2)}, "buckets must be ascending lower bounds"),
        ({"inner": 0}, "inner must be at least 1, got 0"),
        ({"max_pairs": 0}, "max_pairs must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_named(change, words, unchecked):
    with pytest.raises(ValueError) as caught:
        run(_model(**change), assorted()[:1])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edge_index": torch.tensor([[0], [9]])}, "edge_index must hold nodes in 0..6 (x has 7 rows)"),
        ({"x": torch.full((7, 3), float("nan")).double()}, "x must be finite, got NaN or infinity in 7 rows"),
        ({"ego_index": torch.zeros(3).long(), "ego_size": torch.ones(3).long()}, "ego_size must have one entry for"),
    ],
)
def test_wrong_input_is_named(change, words, unchecked):
    data = assorted()[0]
    with pytest.raises(ValueError) as caught:
        _model(validate=True)(**{"x": data.x, "edge_index": data.edge_index, **change})
    assert words in str(caught.value)


def test_edge_features_that_were_promised_must_come():
    data = assorted()[0]
    with pytest.raises(ValueError, match="edge_attr must be given"):
        _model(edge_channels=2)(data.x, data.edge_index)


def test_a_batch_of_graphs_without_nodes_has_a_row_each():
    out = run(_model(), [graph_of(nx.empty_graph(0)), graph_of(nx.empty_graph(0))])
    assert out.shape == (2, 2)
    assert out.isfinite().all()


def test_thread_count_changes_no_more_than_rounding():
    batch = Batch.from_data_list(assorted())
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(_model()(batch.x, batch.edge_index, batch.batch))
    torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_hubs_are_as_near_in_half_precision_as_in_double(dtype):
    """Two joined nodes of degree 512, whose product no number of half precision holds."""
    hubs, leaves = torch.tensor([0, 1]), torch.arange(2, 513)
    to_leaves = torch.stack([hubs.repeat_interleave(511), leaves.repeat(2)])
    edge_index = to_undirected(torch.cat([hubs[:, None], to_leaves], 1))
    # Networks of both hubs, and of each leaf alone: large ones would cost, and say nothing more.
    nets = EgoNetworks(torch.cat([hubs, hubs, leaves]), torch.tensor([2, 2] + [1] * 511))
    pair = PairFeatures(1, None, channels=8)(torch.ones(513, 1, dtype=dtype), edge_index, None, nets)
    place, _ = nets.find(hubs[:1], hubs[1:])
    assert pair.dtype == dtype
    # 1 / 512 is a number of both types.
    assert pair[place, 0].tolist() == [1 / 512]
