import pytest
import torch

from graphseq.data import validate_graph

X = torch.ones(4, 2)
EDGES = torch.tensor([[0, 1, 3], [1, 2, 0]])


def test_a_graph_and_a_batch_pass():
    validate_graph(X, EDGES)
    validate_graph(X, EDGES, torch.tensor([0, 0, 2, 2]), torch.ones(3, 1))
    validate_graph(X.long(), torch.empty(2, 0, dtype=torch.long))
    validate_graph(X[:0], torch.empty(2, 0, dtype=torch.long), torch.empty(0, dtype=torch.long))


def spoilt(value):
    x = X.clone()
    x[2, 1] = value
    return x


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": spoilt(float("nan"))}, "x must be finite, got NaN or infinity in 1 rows, the first being 2"),
        ({"x": spoilt(float("inf"))}, "x must be finite"),
        ({"edge_index": EDGES + 1}, r"edge_index must hold nodes in 0\.\.3 .*got values from 1 to 4"),
        ({"edge_index": EDGES - 1}, "got values from -1 to 2"),
        ({"edge_index": EDGES.int()}, "edge_index must have dtype torch.int64, got torch.int32"),
        ({"edge_index": EDGES.t()}, r"edge_index must have shape \[2, edges\], got \[3, 2\]"),
        ({"batch": torch.tensor([0, 1, 0, 1])}, "batch must be in ascending order, got 0 after 1 at position 2"),
        ({"batch": torch.tensor([0, 1])}, r"batch must have one entry for each of the 4 rows of x, got shape \[2\]"),
        ({"batch": torch.tensor([0.0, 0, 0, 0])}, "batch must have dtype torch.int64"),
        ({"batch": torch.tensor([-1, 0, 0, 0])}, "batch must start at 0 or above, got -1"),
        ({"edge_attr": torch.ones(2, 1)}, r"edge_attr must have one row for each of the 3 edges.*got shape \[2, 1\]"),
        ({"edge_attr": torch.full((3, 1), float("nan"))}, "edge_attr must be finite"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        validate_graph(**({"x": X, "edge_index": EDGES} | arguments))


def test_features_are_not_read_on_demand():
    validate_graph(spoilt(float("nan")), EDGES, finite=False)
