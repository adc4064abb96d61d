"""Holds the API pages to the packages: every name in ``__all__`` must be on one of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import graphseq

logger = logging.getLogger(__name__)


def missing(environment: BuildEnvironment) -> Iterator[str]:
    """Public names that no page documents."""
    documented = environment.get_domain("py").data["objects"]
    for package in pkgutil.iter_modules(graphseq.__path__, "graphseq."):
        for name in importlib.import_module(package.name).__all__:
            if f"{package.name}.{name}" not in documented:
                yield f"{package.name}.{name}"


def check(app: Sphinx, environment: BuildEnvironment) -> None:
    for name in missing(environment):
        logger.warning("%s is public and on no page under docs/api", name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
