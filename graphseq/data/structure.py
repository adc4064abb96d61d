"""What transforms add to a graph, batched as each key of it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from torch_geometric.data import Data


class _Rule(NamedTuple):
    increment: Callable[[Data], int]
    cat_dim: int


_RULES: dict[str, _Rule] = {}


class StructureData(Data):
    """A graph that carries structure under keys that :func:`register_key` knows, made by any number of transforms.

    Of these, numbers in a batch grow from graph to graph by what was registered; other keys follow PyG's rules.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if (rule := _RULES.get(key)) is not None:
            return rule.increment(self)
        return super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if (rule := _RULES.get(key)) is not None:
            return rule.cat_dim
        return super().__cat_dim__(key, value, *args, **kwargs)


def register_key(key: str, increment: Callable[[Data], int], cat_dim: int = 0) -> None:
    """Say how a key of :class:`StructureData` is batched.

    Call it where a module is imported whenever graphs with that key are, since worker processes that start afresh must
    know it too.

    Args:
        key: the key.
        increment: what a graph adds to the numbers of those after it, such as its number of nodes for node indices.
        cat_dim: axis along which tensors are joined.

    Raises:
        ValueError: if the key is registered already.

    Example:
        >>> from torch_geometric.data import Batch
        >>> register_key("landmark", lambda data: data.num_nodes)
        >>> path = StructureData(num_nodes=3, landmark=torch.tensor([0, 2]))
        >>> Batch.from_data_list([path, path]).landmark
        tensor([0, 2, 3, 5])
    """
    if key in _RULES:
        raise ValueError(f"key must not be registered twice, got {key!r}")
    _RULES[key] = _Rule(increment, cat_dim)


def is_registered(key: str) -> bool:
    """Whether :func:`register_key` says how a key is batched."""
    return key in _RULES


Carrier = TypeVar("Carrier", bound=StructureData)


def carrying(data: Data, kind: type[Carrier]) -> Carrier:
    """The graph as a ``kind``, with all that it carries.

    Raises:
        TypeError: if it is of a class with its own way to batch, which would be lost.
    """
    if isinstance(data, kind):
        return data
    if type(data) not in (Data, StructureData):
        raise TypeError(f"data must be a Data, got a {type(data).__name__}, which has its own way to batch")
    return kind.from_dict(data.to_dict())


def num_nodes(data: Data) -> int:
    """0 where nothing tells."""
    return int(data.num_nodes or 0)


def _members(data: Data) -> int:
    return data.token_member.numel()


def _edges(data: Data) -> int:
    return data.num_edges


# The keys of neighbourhood tokens stand here, not with their transforms, so that every process that has the class has
# them.
for _key in ("token_member", "token_walk"):
    register_key(_key, num_nodes)
register_key("token_link_index", _members, cat_dim=-1)
register_key("token_link_id", _edges)
