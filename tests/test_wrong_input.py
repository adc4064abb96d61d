"""Wrong input of graph models is refused by a sentence that names the argument, what was expected and what came."""

import pytest
import torch

from graphseq.graph_mamba import GraphMamba
from graphseq.plstm import PLSTMGraph
from graphseq.spen import SPEN
from graphseq.training.baselines import GCN, GIN

X, EDGES = torch.randn(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]])
BATCH, WEIGHTS = torch.zeros(4, dtype=torch.long), torch.rand(3, 1)
MODELS = {
    "GraphMamba": lambda: GraphMamba(3, 2, channels=8, layers=1, edge_channels=1),
    "GIN": lambda: GIN(3, 2, channels=8, layers=1, edge_channels=1),
    "SPEN": lambda: SPEN(3, 2, channels=8, layers=1, edge_channels=1),
}
WRONG = {
    "x of one axis": ((X[:, 0], EDGES, BATCH, WEIGHTS), r"x must have shape .*, got \[4\]"),
    "x of three axes": ((X[..., None], EDGES, BATCH, WEIGHTS), r"x must have shape .*, got \[4, 3, 1\]"),
    "x of another width": (
        (torch.randn(4, 5), EDGES, BATCH, WEIGHTS),
        r"x must have shape \[\.\.\., 3\], got \[4, 5\]",
    ),
    "x of integers": ((X.long(), EDGES, BATCH, WEIGHTS), "x must have a floating dtype, got torch.int64"),
    "x elsewhere": ((X.to("meta"), EDGES, BATCH, WEIGHTS), r"edge_index must be on the device of x \(meta\), got cpu"),
    "edges of another rank": ((X, EDGES[0], BATCH, WEIGHTS), r"edge_index must have shape \[2, edges\], got \[3\]"),
    "edges in 32 bits": ((X, EDGES.int(), BATCH, WEIGHTS), "edge_index must have dtype torch.int64, got torch.int32"),
    "edges beyond the nodes": ((X, EDGES + 1, BATCH, WEIGHTS), r"edge_index must hold nodes in 0\.\.3 .*from 1 to 4"),
    "a sparse matrix": (
        (X, torch.eye(4).to_sparse(), BATCH, WEIGHTS),
        "edge_index must be a dense tensor, got a tensor in the layout torch.sparse_coo: .*to_edge_index",
    ),
    "no tensor": ((X, EDGES.tolist(), BATCH, WEIGHTS), "edge_index must be a dense tensor, got list"),
    "a batch of another length": (
        (X, EDGES, BATCH[:3], WEIGHTS),
        r"batch must have one entry .* 4 rows of x, got shape",
    ),
    "a batch out of order": (
        (X, EDGES, torch.tensor([0, 1, 0, 1]), WEIGHTS),
        "batch must be in ascending order, got 0",
    ),
    "weights of three axes": (
        (X, EDGES, BATCH, torch.rand(3, 1, 1)),
        r"edge_attr must have shape \[edges, features\] or \[edges\], got \[3, 1, 1\]",
    ),
    "weights of another width": (
        (X, EDGES, BATCH, torch.rand(3, 2)),
        r"edge_attr must have shape \[\.\.\., 1\], got \[3, 2\]",
    ),
    "weights of another length": (
        (X, EDGES, BATCH, torch.rand(2, 1)),
        r"edge_attr must have one row for each of the 3 edges of edge_index, got shape \[2, 1\]",
    ),
    "weights of integers": ((X, EDGES, BATCH, torch.ones(3, 1).long()), "edge_attr must have a floating dtype"),
    "no weights": ((X, EDGES, BATCH), "edge_attr must be given, since the model was made with edge_channels"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("model", MODELS)
def test_wrong_input_is_named(unchecked, model, what):
    arguments, message = WRONG[what]
    with pytest.raises((ValueError, TypeError), match=message):
        MODELS[model]()(*arguments)


@pytest.mark.parametrize("model", ["GraphMamba", "GIN"])
def test_the_precision_of_the_weights_is_asked_for(unchecked, model):
    with pytest.raises(TypeError, match=r"x must have the dtype of the model's weights \(torch\.float32\), got"):
        MODELS[model]()(X.double(), EDGES, BATCH, WEIGHTS)


@pytest.mark.parametrize("model", MODELS)
def test_one_number_an_edge_may_lack_its_axis(model):
    network = MODELS[model]().eval()
    expected = network(X, EDGES, BATCH, WEIGHTS)
    torch.testing.assert_close(network(X, EDGES, BATCH, WEIGHTS[:, 0]), expected, rtol=0, atol=0)


def test_categories_are_integers_in_range(unchecked):
    model = GCN([4, 2], 2, channels=8, layers=1)
    for x, message in (
        (torch.zeros(4, 2), "x must have an integer dtype for categories, got torch.float32"),
        (torch.full((4, 2), 3), r"x must hold categories in \[0, \[4, 2\]\), got"),
        (torch.zeros(4, 3, dtype=torch.long), r"x must have 2 integer columns, got shape \[4, 3\]"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            model(x, EDGES, BATCH)


def test_autocast_takes_any_precision():
    model = MODELS["GraphMamba"]()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(X.bfloat16(), EDGES, BATCH, WEIGHTS).isfinite().all()


def test_a_graph_without_its_lines_is_refused(unchecked):
    with pytest.raises(ValueError, match="the line graph of the edges must be given"):
        PLSTMGraph(3, 2, channels=8, layers=1)(X, EDGES, BATCH)
