"""The gated convolution against its equations, edge by edge."""

import pytest
import torch
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from graphseq.nn import CategoricalEncoder, GatedGCN
from tests.graph_mamba.graphs import random_graph


def test_gated_gcn_follows_its_equations():
    data = random_graph(7, channels=4)
    layer = GatedGCN(4, norm="layer_norm").double().eval()
    e = torch.randn(data.num_edges, 4, dtype=torch.float64)
    x_out, e_out = layer(data.x, data.edge_index, e)
    A, B, D, E = (part.double() for part in layer.nodes.weight.chunk(4))
    a, b, d, c = layer.nodes.bias.chunk(4)
    total, carried = torch.zeros_like(data.x), torch.zeros_like(data.x)
    updated = torch.empty_like(e)
    for k, (j, i) in enumerate(data.edge_index.t().tolist()):
        updated[k] = D @ data.x[i] + d + E @ data.x[j] + c + layer.edges(e[k])
        gate = torch.sigmoid(updated[k])
        carried[i] += gate * (B @ data.x[j] + b)
        total[i] += gate
    x_new = data.x @ A.t() + a + carried / (total + 1e-6)
    torch.testing.assert_close(x_out, data.x + layer.node_norm(x_new).relu(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(e_out, e + layer.edge_norm(updated).relu(), rtol=1e-12, atol=1e-12)


def test_a_lone_node_trains():
    layer = GatedGCN(4).train()
    x, _ = layer(torch.randn(1, 4), torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 4))
    assert x.isfinite().all()


def test_categorical_encoder_sums_one_embedding_a_column():
    encoder = CategoricalEncoder((3, 5), 4)
    x = torch.tensor([[2, 4], [0, 0]])
    first, second = encoder.table.weight.split([3, 5])
    torch.testing.assert_close(encoder(x), first[x[:, 0]] + second[x[:, 1]])


def test_a_category_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"categories in \[0, \[3, 5\]\), got \[3, 0\] to \[3, 0\]"):
        CategoricalEncoder((3, 5), 4)(torch.tensor([[3, 0]]))


def test_edges_that_nobody_reads_are_not_updated():
    conv, last = GatedGCN(4), GatedGCN(4)
    last.load_state_dict(conv.state_dict())
    last.leave_edges()
    x, edge_index, edge_attr = torch.randn(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.randn(3, 4)
    (nodes, _), (found, same) = conv(x, edge_index, edge_attr), last(x, edge_index, edge_attr)
    assert torch.equal(found, nodes)
    assert same is edge_attr
    assert not [name for name, _ in last.named_parameters() if name.startswith("edge_norm")]
    # What was saved before still fits.
    last.load_state_dict(conv.state_dict())


def test_a_mask_of_edges_multiplies_what_they_carry():
    conv = GatedGCN(4, norm="layer_norm").eval()
    x, edge_index, edge_attr = torch.randn(4, 4), torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]]), torch.randn(4, 4)
    plain, _ = conv(x, edge_index, edge_attr)
    model = torch.nn.ModuleList([conv])
    set_masks(model, torch.ones(4), edge_index, apply_sigmoid=False)
    torch.testing.assert_close(conv(x, edge_index, edge_attr)[0], plain, rtol=0, atol=0)
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0])
    set_masks(model, mask, edge_index, apply_sigmoid=False)
    found, _ = conv(x, edge_index, edge_attr)
    changed = (found != plain).any(1)
    # The one edge that is masked enters node 2.
    assert changed.tolist() == [False, False, True, False]
    clear_masks(model)
    torch.testing.assert_close(conv(x, edge_index, edge_attr)[0], plain, rtol=0, atol=0)
