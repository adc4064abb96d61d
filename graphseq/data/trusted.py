"""Unpickling limited to tensors and PyG's own containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch_geometric.data.data import Data, DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage


@contextmanager
def trusted_pyg_classes() -> Iterator[None]:
    """Within it, ``torch.load(weights_only=True)`` also accepts PyG's ``Data`` and what that is made of.

    The allowance ends with the block. ogb 1.3.6 needs it: its files hold whole ``Data`` objects, which torch since 2.6
    refuses by default.

    Example:
        >>> with trusted_pyg_classes():
        ...     bool(torch.serialization.get_safe_globals())
        True
    """
    wanted = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]
    # On leaving, torch withdraws all it was given, and some of these PyG has allowed for good.
    missing = [cls for cls in wanted if cls not in torch.serialization.get_safe_globals()]
    with torch.serialization.safe_globals(missing):
        yield
