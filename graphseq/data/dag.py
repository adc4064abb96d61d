"""Directed acyclic graphs and line graphs on ``Data``, ordered once per graph and batched without a search."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graphseq.data.structure import StructureData, carrying, num_nodes, register_key
from graphseq.scan import Dag, DagOrder, LineGraph


class DagData(StructureData):
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

    def dag(self) -> Dag:
        """The topology of ``edge_index``: states are nodes.

        Make it once per forward pass and hand it to all layers: what a backend derives from it stays with it.

        Raises:
            ValueError: if :class:`AddDag` has not been applied, or nodes or edges have changed since.
        """
        return Dag(_edges(self), num_nodes(self), order=_order(self, "dag", AddDag))

    def line_graph(self) -> LineGraph:
        """The topology whose states are the edges, in the order of ``edge_index``; see :meth:`dag`.

        Raises:
            ValueError: if :class:`AddLineGraph` has not been applied, or nodes or edges have changed since.
        """
        order = _order(self, "line_graph", AddLineGraph)
        return LineGraph(_edges(self), num_nodes(self), link_index=self.line_graph_index, order=order)


def _edge_count(data: Data) -> int:
    return _edges(data).shape[1]


def _link_count(data: Data) -> int:
    return data.line_graph_index.shape[1]


def _nothing(data: Data) -> int:
    return 0


register_key("line_graph_index", _edge_count, cat_dim=-1)
for _prefix, _states, _links in (("dag", num_nodes, _edge_count), ("line_graph", _edge_count, _link_count)):
    for _name, _increment in (("state", _states), ("link", _links), ("component", _nothing), ("level", _nothing)):
        register_key(f"{_prefix}_{_name}", _increment)


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
        data = carrying(data, DagData)
        _store(data, "dag", Dag(_edges(data), num_nodes(data)).order)
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
        data = carrying(data, DagData)
        lines = LineGraph(_edges(data), num_nodes(data))
        data.line_graph_index = lines.link_index
        _store(data, "line_graph", lines.order)
        return data


def _edges(data: Data) -> Tensor:
    if (edge_index := data.edge_index) is None:
        raise ValueError(f"data must have an edge_index, got the keys {data.keys()}")
    return edge_index


def _store(data: DagData, prefix: str, order: DagOrder) -> None:
    for name, value in order._asdict().items():
        data[f"{prefix}_{name}"] = value


def _order(data: DagData, prefix: str, made_by: type[BaseTransform]) -> DagOrder:
    if f"{prefix}_state" not in data:
        raise ValueError(f"data must have passed through {made_by.__name__}(), got the keys {data.keys()}")
    return DagOrder(*(data[f"{prefix}_{name}"] for name in DagOrder._fields))
