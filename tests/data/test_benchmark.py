import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.transforms import BaseTransform

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


class Stored(InMemoryDataset):
    def __init__(self, graphs, transform=None):
        super().__init__(None, transform)
        self.data, self.slices = self.collate(graphs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"edge_weight": torch.ones(2)},
            "train must hold graphs with the same keys, .*: 'edge_weight' is in graph 1, but",
        ),
        ({"edge_attr": torch.ones(2, 1)}, "'edge_attr' is in graph 1, but not in graph the first"),
        ({"edge_index": None}, "'edge_index' is in graph the first, but not in graph 1"),
        ({"label_mask": torch.tensor([True])}, "'label_mask' is in graph 1"),
        (
            {"x": torch.ones(2, 4).long()},
            r"train must have x like its first graph \(torch.float32, rowsx4\), got torch.int64",
        ),
        ({"x": torch.ones(2, 5)}, "train must have x like its first graph .* in graph 1"),
        ({"x": torch.ones(2, 4).double()}, "got torch.float64, rowsx4 in graph 1"),
        ({"y": torch.tensor([3])}, r"graph 1 of train must have labels y in 0\.\.2, got \[3\]"),
        ({"y": torch.tensor([-1])}, "graph 1 of train must have labels y in"),
        ({"y": torch.tensor([0, 1])}, r"graph 1 of train must have int64 labels y of shape \[1\]"),
        ({"y": torch.tensor([1.0])}, "graph 1 of train must have int64 labels"),
        ({"y": torch.tensor(1)}, r"of shape \[1\] .* got torch.int64 of shape \[\]"),
    ],
)
def test_every_graph_of_a_list_is_looked_at(changes, message):
    with pytest.raises(ValueError, match=message):
        bench(graph(), graph(**changes), graph())


def test_labels_of_a_set_in_memory_are_looked_at():
    graphs = [graph(y=torch.tensor([label])) for label in (0, 1, 5, 2)]
    stored = Stored(graphs)
    with pytest.raises(ValueError, match=r"train must have labels y in 0\.\.2, got \[0, 1, 5\]"):
        Benchmark.from_datasets(stored[:3], stored[:1], stored[:1], GRAPHS)
    # Only those of the part count.
    assert len(Benchmark.from_datasets(stored[[0, 1, 3]], stored[:1], stored[:1], GRAPHS).train) == 3


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        (
            "binary",
            -1.0,
            r"train must have labels y of 0 and 1 for a binary task, or NaN where one is missing, got \[-1.0",
        ),
        ("binary", 2.0, "labels y of 0 and 1 for a binary task"),
        ("multilabel", -1.0, "labels y of 0 and 1 for a multilabel task"),
        ("multilabel", torch.inf, "labels y of 0 and 1"),
        ("regression", torch.inf, "must have finite labels y, or NaN where one is missing, got infinity"),
    ],
)
def test_real_labels_are_what_the_loss_takes_them_for(kind, label, message):
    task = Task("graph", kind, 1, "rmse", maximize=False)
    with pytest.raises(ValueError, match=message):
        bench(graph(y=torch.tensor([[label]])), task=task)
    right = [graph(y=torch.tensor([[value]])) for value in (0.0, 1.0, torch.nan)]
    assert len(bench(*right, task=task).train) == 3
    spoilt = Stored([*right, graph(y=torch.tensor([[label]]))])
    with pytest.raises(ValueError, match="train must have"):
        Benchmark.from_datasets(spoilt, right, right, task)


def test_declared_categories_hold_or_are_refused():
    data = graph(x=torch.tensor([[3], [0]]), edge_attr=torch.tensor([[0, 1], [2, 0]]))
    assert bench(data, in_channels=7).in_channels == (7,)
    assert bench(data, edge_channels=(3, 2)).edge_channels == (3, 2)
    with pytest.raises(ValueError, match=r"in_channels must cover the categories that occur in x, \(4,\), got 3"):
        bench(data, in_channels=3)
    with pytest.raises(
        ValueError, match=r"edge_channels must be the number .* of the 2 columns of edge_attr, got \(9,\)"
    ):
        bench(data, edge_channels=(9,))
    with pytest.raises(ValueError, match=r"edge_channels must be the number .* got 9"):
        bench(data, edge_channels=9)
    later = graph(x=torch.tensor([[0], [8]]))
    for graphs in ([graph(x=torch.tensor([[0], [1]])), later], Stored([graph(x=torch.tensor([[0], [1]])), later])):
        with pytest.raises(ValueError, match=r"in_channels must cover .* \(9,\), got \(5,\)"):
            Benchmark.from_datasets(graphs, graphs, graphs, GRAPHS, in_channels=(5,))


def test_categories_of_narrow_integers_are_counted_right():
    for kind, largest in ((torch.uint8, 255), (torch.int8, 127), (torch.int16, 32767)):
        data = graph(x=torch.tensor([[0], [largest]], dtype=kind))
        assert bench(data).in_channels == (largest + 1,)
    assert bench(graph(x=torch.tensor([[True], [False]]))).in_channels == (2,)


class Shifted(BaseTransform):
    def forward(self, data):
        data.x = data.x + 1
        return data


def test_a_set_in_memory_counts_what_its_part_holds_on_access():
    graphs = [graph(x=torch.tensor([[0], [category]])) for category in (1, 2, 9)]
    stored = Stored(graphs)
    assert Benchmark.from_datasets(stored[:2], stored[:1], stored[:1], GRAPHS).in_channels == (3,)
    shifted = Stored(graphs, Shifted())
    assert Benchmark.from_datasets(shifted[:2], shifted[:1], shifted[:1], GRAPHS).in_channels == (4,)


def test_a_split_that_does_not_exist_is_refused():
    assert bench(graph(), num_splits=3, split=2).split == 2
    with pytest.raises(ValueError, match=r"split must be in 0\.\.2, got 3"):
        bench(graph(), num_splits=3, split=3)


def test_weights_are_in_all_parts_or_in_none():
    weighted = graph(edge_weight=torch.ones(2))
    assert Benchmark.from_datasets([weighted], [weighted], [weighted], GRAPHS).train[0].edge_weight is not None
    with pytest.raises(ValueError, match="test must have edge_weight like train, got none"):
        Benchmark.from_datasets([weighted], [weighted], [graph()], GRAPHS)
