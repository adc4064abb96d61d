"""Directed acyclic graphs and line graphs on ``Data``, ordered once per graph and batched without a search."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graphseq.scan import Dag, DagOrder, LineGraph


class DagData(Data):
    """A graph that carries its topology for scans, alone or in a batch; see :class:`AddDag` and :class:`AddLineGraph`.

    =========================  =================  =============================  =====================
    key                        made by            shape                          grows in a batch by
    =========================  =================  =============================  =====================
    ``dag_state``              ``AddDag``         ``[num_nodes]``                ``num_nodes``
    ``dag_link``               ``AddDag``         ``[num_edges]``                ``num_edges``
    ``dag_component``          ``AddDag``         ``[num_components]``           0
    ``dag_level``              ``AddDag``         ``[num_nodes]``                0
    ``line_graph_index``       ``AddLineGraph``   ``[2, num_links]``             ``num_edges``
    ``line_graph_state``       ``AddLineGraph``   ``[num_edges]``                ``num_edges``
    ``line_graph_link``        ``AddLineGraph``   ``[num_links]``                ``num_links``
    ``line_graph_component``   ``AddLineGraph``   ``[num_line_components]``      0
    ``line_graph_level``       ``AddLineGraph``   ``[num_edges]``                0
    =========================  =================  =============================  =====================

    Whatever changes nodes or edges must come before the transform; a topology whose edges changed later is refused.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "dag_state":
            return self.num_nodes
        if key in ("dag_link", "line_graph_index", "line_graph_state"):
            return _edges(self).shape[1]
        if key == "line_graph_link":
            return self.line_graph_index.shape[1]
        if key in _UNSHIFTED:
            return 0
        return super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key in _FLAT:
            return 0
        return super().__cat_dim__(key, value, *args, **kwargs)

    def dag(self) -> Dag:
        """The topology of ``edge_index``: states are nodes.

        Make it once per forward pass and hand it to all layers: what a backend derives from it stays with it.

        Raises:
            ValueError: if :class:`AddDag` has not been applied, or nodes or edges have changed since.
        """
        return Dag(_edges(self), _num_nodes(self), order=_order(self, "dag", AddDag))

    def line_graph(self) -> LineGraph:
        """The topology whose states are the edges, in the order of ``edge_index``; see :meth:`dag`.

        Raises:
            ValueError: if :class:`AddLineGraph` has not been applied, or nodes or edges have changed since.
        """
        order = _order(self, "line_graph", AddLineGraph)
        return LineGraph(_edges(self), _num_nodes(self), link_index=self.line_graph_index, order=order)


_FLAT = {f"{prefix}_{name}" for prefix in ("dag", "line_graph") for name in DagOrder._fields}
_UNSHIFTED = {f"{prefix}_{name}" for prefix in ("dag", "line_graph") for name in ("component", "level")}


@functional_transform("add_dag")
class AddDag(BaseTransform):
    """Order the nodes of a directed acyclic graph, for :meth:`DagData.dag`.

    Raises:
        TypeError: if the graph is another kind of data than ``Data``.
        ValueError: if it has no ``edge_index``, or a cycle.

    Example:
        >>> from torch_geometric.data import Batch
        >>> path = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> Batch.from_data_list([AddDag()(path), AddDag()(path)]).dag()
        Dag(num_states=6, num_links=4, depth=3)
    """

    def forward(self, data: Data) -> DagData:
        """``data`` with the keys ``dag_…``."""
        data = _carrying(data)
        _store(data, "dag", Dag(_edges(data), _num_nodes(data)).order)
        return data


@functional_transform("add_line_graph")
class AddLineGraph(BaseTransform):
    """Make the line graph of a directed acyclic graph and order its states, for :meth:`DagData.line_graph`.

    Raises:
        TypeError: if the graph is another kind of data than ``Data``.
        ValueError: if it has no ``edge_index``, or a cycle.

    Example:
        >>> from torch_geometric.data import Batch
        >>> path = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> Batch.from_data_list([AddLineGraph()(path), AddLineGraph()(path)]).line_graph().link_index
        tensor([[0, 2],
                [1, 3]])
    """

    def forward(self, data: Data) -> DagData:
        """``data`` with the keys ``line_graph_…``."""
        data = _carrying(data)
        lines = LineGraph(_edges(data), _num_nodes(data))
        data.line_graph_index = lines.link_index
        _store(data, "line_graph", lines.order)
        return data


def _carrying(data: Data) -> DagData:
    if isinstance(data, DagData):
        return data
    # Another subclass has rules of its own for its keys, which would be lost.
    if type(data) is not Data:
        raise TypeError(f"data must be a Data, got a {type(data).__name__}")
    return DagData.from_dict(data.to_dict())


def _edges(data: Data) -> Tensor:
    if (edge_index := data.edge_index) is None:
        raise ValueError(f"data must have an edge_index, got the keys {data.keys()}")
    return edge_index


def _num_nodes(data: Data) -> int:
    return int(data.num_nodes or 0)


def _store(data: DagData, prefix: str, order: DagOrder) -> None:
    for name, value in order._asdict().items():
        data[f"{prefix}_{name}"] = value


def _order(data: DagData, prefix: str, made_by: type[BaseTransform]) -> DagOrder:
    if f"{prefix}_state" not in data:
        raise ValueError(f"data must have passed through {made_by.__name__}(), got the keys {data.keys()}")
    return DagOrder(*(data[f"{prefix}_{name}"] for name in DagOrder._fields))
