"""Layers and models: what may not change the result, what must, and what is refused."""

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose
from torch_geometric.utils import erdos_renyi_graph

from graphseq.data import GivenOrder, OrientEdges
from graphseq.plstm import (
    AddMultitree,
    GraphPropagation,
    PLSTM2d,
    PLSTMConv,
    PLSTMGraph,
    PLSTMImage,
    PLSTMSequence,
)
from graphseq.plstm.block import PLSTMBlock, make_gates, plan
from graphseq.plstm.graph_model import DegreeEncoding
from graphseq.plstm.layer import Heads
from graphseq.scan import Ragged, line_graph

EDGES = torch.empty(2, 0, dtype=torch.long)
PREPARE = Compose([OrientEdges(GivenOrder("rank")), AddMultitree()])


def _scattered(model, scale=0.3):
    """Away from the initial values, at which gates are constant and heads nearly zero."""
    model = model.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scale * torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
    return model


def _graph(num_nodes, seed, edge_channels=2):
    torch.manual_seed(seed)
    edge_index = erdos_renyi_graph(num_nodes, 0.4) if num_nodes > 1 else EDGES
    return Data(
        x=torch.randn(num_nodes, 3, dtype=torch.float64),
        edge_index=edge_index,
        edge_attr=torch.randn(edge_index.shape[1], edge_channels, dtype=torch.float64),
        rank=torch.randperm(num_nodes),
        num_nodes=num_nodes,
    )


def _symmetric(data):
    """The same attributes on both directions of an edge."""
    low, high = data.edge_index.sort(0).values
    data.edge_attr = torch.stack([(low + 1.0) * (high + 2.0), (low - high).double()], 1).double()
    return data


def _graph_model(**options):
    sizes = {"channels": 8, "heads": 2, "layers": 2, "edge_channels": 2, "level": "node"}
    return _scattered(PLSTMGraph(3, 2, **{**sizes, **options}))


def _run(model, data, **more):
    structure = {key: data[key] for key in model.needs if key in data}
    return model(data.x, data.edge_index, data.batch, data.edge_attr, **structure, **more)


@pytest.mark.parametrize("modes", [("P", "D"), ("P+D",), ("P-in",), ("P-released", "D-released")])
@pytest.mark.parametrize("level", ["node", "graph"])
def test_batching_graphs_changes_nothing(backend, modes, level):
    if backend == "reference":
        pytest.skip("loops over the states of every layer")
    model = _graph_model(modes=modes, level=level)
    graphs = [PREPARE(_graph(size, size)) for size in (7, 1, 4, 9)]
    alone = torch.cat([_run(model, graph) for graph in graphs])
    # Batches are scanned in the attention form, single graphs perhaps in the other.
    torch.testing.assert_close(_run(model, Batch.from_data_list(graphs)), alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("heads", "size"), [(4, 3), (8, 1), (16, 1)])
def test_heads_of_a_graph_are_as_wide_as_their_share_rounded(heads, size):
    model = _graph_model(channels=11, heads=heads, degrees=False)
    assert {block.block.layer.heads.size for block in model.blocks} == {size}
    data = PREPARE(_graph(7, 1))
    data.x.requires_grad_()
    (heard,) = torch.autograd.grad(_run(model, data)[data.rank.argmax()].sum(), data.x)
    assert int((heard.abs().sum(1) > 0).sum()) > 1


@pytest.mark.parametrize("edge_channels", [2, None])
def test_renumbering_nodes_changes_nothing_where_the_order_goes_with_them(edge_channels):
    # Without features, an edge that is there twice is the same whichever way it is read.
    data = _symmetric(_graph(9, 3))
    permutation = torch.randperm(9)
    x, rank = torch.empty_like(data.x), torch.empty_like(data.rank)
    x[permutation], rank[permutation] = data.x, data.rank
    other = Data(x=x, edge_index=permutation[data.edge_index], edge_attr=data.edge_attr, rank=rank)
    model = _graph_model(modes=("P",), edge_channels=edge_channels)
    before, after = (_run(model, PREPARE(each)) for each in (data.clone(), other))
    torch.testing.assert_close(after[permutation], before, rtol=1e-9, atol=1e-9)


def test_no_graph_hears_of_another_and_every_node_of_a_component_of_each_other():
    model = _graph_model(modes=("P",), level="node", degrees=False)
    batch = Batch.from_data_list([PREPARE(_graph(6, 1)), PREPARE(_graph(6, 2))])
    batch.x.requires_grad_()
    heard = torch.stack([torch.autograd.grad(row.sum(), batch.x, retain_graph=True)[0] for row in _run(model, batch)])
    heard = heard.abs().sum(-1) > 0
    assert not heard[:6, 6:].any() and not heard[6:, :6].any()
    lines, nodes = batch.line_graph().node_edge_index, torch.arange(12)
    one_way = torch.zeros(12, 12, dtype=torch.bool)
    one_way[lines[1], lines[0]] = True
    one_way[nodes, nodes] = True
    for _ in range(4):
        one_way = (one_way.double() @ one_way.double()) > 0
    # Forward then backward: what meets at some node on the way.
    assert torch.equal(heard, (one_way.t().double() @ one_way.double()) > 0)


def test_one_way_only_later_nodes_hear():
    model = _graph_model(both_ways=False, modes=("P",))
    data = PREPARE(_graph(8, 5))
    data.x.requires_grad_()
    y = _run(model, data)
    for node in range(8):
        heard = torch.autograd.grad(y[node].sum(), data.x, retain_graph=True)[0].abs().sum(-1) > 0
        assert (data.rank[heard] <= data.rank[node]).all()


def test_edges_enter_the_gates():
    model = _graph_model(modes=("P",))
    data = PREPARE(_graph(8, 5))
    before = _run(model, data)
    data.edge_attr = data.edge_attr + 1
    assert float((_run(model, data) - before).abs().max().detach()) > 1e-4


def test_graphs_must_have_passed_through_the_transforms(unchecked):
    model = _graph_model()
    data = _graph(5, 0)
    with pytest.raises(ValueError, match=r"data must have passed through AddMultitree\(\) or AddLineGraph\(\)"):
        _run(model, data)
    with pytest.raises(ValueError, match=r"edge_index must be acyclic, got the cycle \d+ → .*\d+"):
        AddMultitree()(data)
    with pytest.raises(ValueError, match=r"link_index must belong to edge_index"):
        prepared = PREPARE(_graph(9, 3))
        prepared.edge_index = prepared.edge_index.flip(1)
        _run(model, prepared)
    with pytest.raises(TypeError, match="lines must be a LineGraph, got a Tensor"):
        _run(model, data, lines=data.edge_index)
    with pytest.raises(ValueError, match="x must hold at least one node, got none"):
        model(torch.empty(0, 3).double(), EDGES, lines=line_graph(EDGES, 0), edge_attr=torch.empty(0, 2).double())


def test_edge_vectors_of_another_width_are_refused(unchecked):
    layer = PLSTMConv(8, 2, GraphPropagation(8, 2))
    lines = line_graph(torch.tensor([[0, 1], [1, 2]]), 3)
    with pytest.raises(ValueError, match=r"edge_attr must have shape \[2, 8\], a vector of each edge, got \[2, 4\]"):
        layer(torch.randn(3, 8), torch.randn(2, 4), lines)
    with pytest.raises(ValueError, match="edge_attr must be given, since the model was made with edge_channels"):
        PLSTMGraph(3, 2, edge_channels=2, channels=8, heads=2)(torch.randn(3, 3), torch.tensor([[0, 1], [1, 2]]))


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r"channels must be a multiple of heads \(4\), got 10"):
        PLSTMImage(1, 2, channels=10, heads=4)
    with pytest.raises(ValueError, match="heads must be at least 1, got 0"):
        PLSTMConv(8, 0, GraphPropagation(8, 1))
    with pytest.raises(ValueError, match="modes must be made of P, D, P-released, joined by"):
        PLSTMImage(1, 2, modes=("Q",))
    with pytest.raises(ValueError, match=r"modes must not outnumber the heads \(1\), got 'P\+D'"):
        PLSTMImage(1, 2, heads=1, modes=("P+D",))
    with pytest.raises(ValueError, match=r"image must be a multiple of patch \(8\), got 20"):
        PLSTMImage(1, 2, image=20)


def test_later_tokens_never_change_earlier_ones():
    model = _scattered(PLSTMSequence(3, 2, channels=8, heads=2, layers=2, level="node"))
    x, batch = torch.randn(9, 3, dtype=torch.float64), torch.tensor([0] * 4 + [1] * 5)
    changed = x.clone()
    changed[6] += 1
    difference = (model(changed, EDGES, batch) - model(x, EDGES, batch)).abs().sum(1) > 0
    assert difference.tolist() == [False] * 6 + [True] * 3
    both = _scattered(PLSTMSequence(3, 2, channels=8, heads=2, layers=2, level="node", bidirectional=True))
    difference = (both(changed, EDGES, batch) - both(x, EDGES, batch)).abs().sum(1) > 0
    assert difference.tolist() == [False] * 4 + [True] * 5


@pytest.mark.parametrize("modes", [("P",), ("D",), ("P+D",)])
def test_in_one_image_layer_every_cell_hears_of_every_other(modes):
    layer = _scattered(PLSTM2d(8, 2, make_gates(modes[0], _image_kinds(), 8, 2)))
    x = torch.randn(2, 3, 4, 8, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    for row in range(3):
        for column in range(4):
            heard = torch.autograd.grad(y[1, row, column].sum(), x, retain_graph=True)[0].abs().sum(-1) > 0
            assert heard[1].all() and not heard[0].any()


def _image_kinds():
    from graphseq.plstm import ImageDiffusion, ImagePropagation

    return {"P": ImagePropagation, "D": ImageDiffusion}


def test_packed_pixels_are_the_image_and_any_resolution_will_do():
    model = _scattered(PLSTMImage(2, 3, channels=8, heads=2, layers=1, patch=2, image=8))
    for height, width in ((8, 8), (16, 16), (4, 6)):
        images = torch.randn(3, 2, height, width, dtype=torch.float64)
        pixels = images.movedim(1, -1).flatten(0, 2)
        size = torch.tensor([[height, width]] * 3)
        torch.testing.assert_close(model(pixels, image_size=size), model(images))
    with pytest.raises(ValueError, match=r"height and width must be multiples of patch \(2\), got 3 and 4"):
        model(torch.randn(1, 2, 3, 4).double())
    with pytest.raises(ValueError, match=r"image_size must be the same for all images of a batch"):
        model(torch.randn(20, 2).double(), image_size=torch.tensor([[2, 2], [4, 4]]))
    with pytest.raises(ValueError, match=r"x must have a row for each pixel of 2 images of 4 × 4, got 20 rows"):
        model(torch.randn(20, 2).double(), image_size=torch.tensor([[4, 4], [4, 4]]))


def test_a_layer_has_each_mode_once_and_every_second_runs_backwards():
    assert plan(("P", "D"), 3, True) == [
        ("P", False),
        ("D", False),
        ("P", True),
        ("D", True),
        ("P", False),
        ("D", False),
    ]
    assert plan(("P",), 2, False) == [("P", False), ("P", False)]


def test_blocks_start_as_published():
    block = PLSTMBlock(96, torch.nn.Identity())
    assert block.up.out_features == 384
    # 36864 draws: within 3 % of the true deviation but for one time in a million.
    assert float(block.up.weight.detach().std()) == pytest.approx((2 / (5 * 96)) ** 0.5, rel=0.03)


def test_positive_scores_are_elu_plus_one():
    x = torch.randn(5, 8)
    plain, positive = Heads(8, 2), Heads(8, 2, positive_scores=True)
    positive.load_state_dict(plain.state_dict())
    (query, key, value), (query_plus, key_plus, value_plus) = plain.split(x), positive.split(x)
    size = 4
    torch.testing.assert_close(query_plus * size**0.5, torch.nn.functional.elu(query * size**0.5) + 1)
    torch.testing.assert_close(key_plus, torch.nn.functional.elu(key) + 1)
    torch.testing.assert_close(value_plus, value)
    assert bool((torch.einsum("nhd,mhd->nmh", query_plus, key_plus) > 0).all())


@pytest.mark.parametrize(("start", "share"), [(0.0, 0.5), (-5.0, 1 / 149.4)])
def test_how_softly_a_node_hears_the_one_before_it_at_first(start, share):
    data = PREPARE(Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2, rank=torch.tensor([0, 1])))
    model = PLSTMGraph(3, 2, channels=8, heads=2, layers=1, modes=("P",), gate_start=start)
    gates = model.blocks[-1].block.layer.gates(torch.zeros(2, 8), torch.zeros(1, 8), data.line_graph())
    heard = gates.source[0] * gates.mark[0] / gates.direct[1]
    torch.testing.assert_close(heard, torch.full((2,), share), rtol=1e-3, atol=0)


def test_every_parameter_is_trained():
    data = PREPARE(_graph(8, 5))
    for modes in (("P", "D"), ("P+D",)):
        model = _graph_model(modes=modes, level="graph")
        _run(model, data).sum().backward()
        assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_reset_gives_the_initial_values_anew():
    model = PLSTMGraph(3, 2, channels=8, heads=2, layers=1)
    layer = model.blocks[-1].block.layer
    layer.heads.weight.data.fill_(7)
    layer.gates.nodes.weight.data.fill_(7)
    model.blocks[-1].block.reset_parameters()
    assert bool((layer.heads.weight == 1).all()) and not bool(layer.gates.nodes.weight.any())


def test_weights_from_when_a_sequence_encoded_its_edges_still_load():
    model = PLSTMSequence(3, 2, channels=8, heads=2)
    state = model.state_dict()
    assert not any(key.startswith("edge_encoder") for key in state)
    model.load_state_dict({**state, "edge_encoder.weight": torch.ones(8, 1), "edge_encoder.bias": torch.ones(8)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_degrees_are_encoded_in_half_precision_as_in_double(dtype):
    """Degree 2999 is a number of neither type, and the sines of what it rounds to are others."""
    hub = torch.stack([torch.zeros(2999, dtype=torch.long), torch.arange(1, 3000)])
    x = torch.zeros(3000, 6)

    def encoded(dtype):
        return DegreeEncoding(6)(x.to(dtype), hub, Ragged.equal(1, 3000), torch.zeros(2999, 6, dtype=dtype))[0][0]

    # What single precision makes of an angle of 2999, 2999 times 2^-24, and of the frequency, against rounding to half.
    torch.testing.assert_close(encoded(dtype).double(), encoded(torch.float64), rtol=0, atol=torch.finfo(dtype).eps)
