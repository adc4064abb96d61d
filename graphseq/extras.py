"""What the extras of the package bring, and the sentence that says how to get one that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MissingExtraError", "needed_by"]

_BROUGHT_BY = {
    "igraph": "leiden",
    "jsonargparse": "train",
    "leidenalg": "leiden",
    "lightning": "train",
    "matplotlib": "train",
    "ogb": "train",
    "pandas": "train",
    "rdkit": "chem",
    "sklearn": "train",
    "tensorboard": "train",
    "torchmetrics": "train",
    "transformers": "series",
    "yaml": "train",
}


class MissingExtraError(ModuleNotFoundError):
    """A package that comes with an extra is not installed; the message says how to install it."""


@contextmanager
def needed_by(user: str) -> Iterator[None]:
    """Import within what an extra brings, so that its absence is one sentence with the command that ends it.

    Args:
        user: what needs it, as the sentence begins.

    Raises:
        MissingExtraError: if a package of an extra is missing. Other missing modules stay Python's own matter.

    Example:
        >>> with needed_by("a picture"):
        ...     raise ModuleNotFoundError(name="matplotlib")
        Traceback (most recent call last):
        graphseq.extras.MissingExtraError: a picture needs matplotlib: pip install 'graphseq[train]'
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _BROUGHT_BY:
            raise
        sentence = f"{user} needs {package}: pip install 'graphseq[{_BROUGHT_BY[package]}]'"
        raise MissingExtraError(sentence, name=error.name) from error
