import pytest
import torch
from torch_geometric.data import Data

from graphseq.data import Benchmark, Task

GRAPHS = Task("graph", "multiclass", 3, "accuracy", maximize=True)
EDGES = torch.tensor([[0, 1], [1, 0]])


def graph(**changes):
    content = {"x": torch.ones(2, 4), "edge_index": EDGES, "y": torch.tensor([1])} | changes
    return Data(**{key: value for key, value in content.items() if value is not None})


def bench(*graphs, task=GRAPHS, **options):
    return Benchmark.from_datasets(list(graphs), [graphs[0]], [graphs[0]], task, **options)


def test_real_features_give_their_width():
    made = bench(graph(edge_attr=torch.ones(2, 3)))
    assert (made.in_channels, made.edge_channels) == (4, 3)


def test_integer_features_give_their_categories_over_all_parts():
    first, second = graph(x=torch.tensor([[0, 5], [1, 0]])), graph(x=torch.tensor([[7, 0], [0, 0]]))
    assert bench(first, second).in_channels == (8, 6)
    assert bench(first, second, in_channels=(9, 9)).in_channels == (9, 9)


def test_graphs_without_edges_do_not_stop_the_count():
    bare = graph(edge_index=torch.empty(2, 0).long(), edge_attr=torch.empty(0, 3).long())
    full = graph(edge_attr=torch.tensor([[1, 0, 2], [0, 0, 0]]))
    assert bench(bare, full).edge_channels == (2, 1, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "train must have node features x, got none"),
        ({"y": None}, "train must have labels y"),
        ({"y": torch.tensor([3])}, r"train must have labels y in 0\.\.2, got \[3\]"),
        ({"y": torch.tensor([1.0])}, r"train must have int64 labels y of shape \[1\].*got torch.float32"),
        ({"x": torch.ones(2)}, r"x must have shape \[rows, channels\], got \[2\]"),
        ({"x": torch.tensor([[-1], [0]])}, "x must hold categories from 0.*got -1"),
    ],
)
def test_data_that_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        bench(graph(**changes))


def test_parts_that_differ_are_named():
    with pytest.raises(ValueError, match="val must have x like train"):
        Benchmark.from_datasets([graph()], [graph(x=torch.ones(2, 5))], [graph()], GRAPHS)
    with pytest.raises(ValueError, match="test must hold at least one graph"):
        Benchmark.from_datasets([graph()], [graph()], [], GRAPHS)


def test_labels_outside_the_mask_are_free():
    task = Task("node", "multiclass", 2, "accuracy", maximize=True)
    masked = graph(y=torch.tensor([1, -1]), label_mask=torch.tensor([True, False]))
    assert bench(masked, task=task).task.level == "node"
    with pytest.raises(ValueError, match=r"labels y in 0\.\.1"):
        bench(graph(y=torch.tensor([1, -1])), task=task)


@pytest.mark.parametrize(("kind", "outputs"), [("binary", 1), ("multilabel", 3), ("regression", 2)])
def test_real_labels_have_one_column_an_output(kind, outputs):
    task = Task("graph", kind, outputs, "rocauc", maximize=True)
    assert bench(graph(y=torch.rand(1, outputs)), task=task).task.num_outputs == outputs
    with pytest.raises(ValueError, match=rf"float labels y of shape \[1, {outputs}\]"):
        bench(graph(y=torch.rand(outputs + 1)), task=task)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "hyperedge"},
        {"kind": "ordinal"},
        {"metric": "f1"},
        {"num_outputs": 0},
        {"kind": "binary", "num_outputs": 2},
    ],
)
def test_a_task_that_makes_no_sense_is_refused(wrong):
    right = {"level": "graph", "kind": "multiclass", "num_outputs": 2, "metric": "accuracy", "maximize": True}
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        Task(**(right | wrong))
