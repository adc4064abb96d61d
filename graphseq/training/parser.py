"""The command line's parser, whose errors name the nearest known option."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from graphseq.data.manifest import nearest

_UNKNOWN_OPTION = re.compile(
    r"Option '(?P<a>[^']+)' is not accepted|does not accept option '(?P<b>[^']+)'"
    r"|unrecognized arguments: --(?P<c>[\w.]+)"
)
_UNKNOWN_NAME = re.compile(r"module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'")
_CLASS = re.compile(r"class_path='([\w.]+)'")


class SuggestingParser(LightningArgumentParser):
    """Adds to an error about an unknown option or class what may have been meant. Options are never abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        super().error(message + self._suggestion(message), ex)

    def _suggestion(self, message: str) -> str:
        if "did you mean" in message:
            return ""
        if unknown := _UNKNOWN_NAME.search(message):
            return nearest(unknown["name"], _members(unknown["module"]))
        if unknown := _UNKNOWN_OPTION.search(message):
            option = unknown["a"] or unknown["b"] or unknown["c"]
            known = [*self._options(), *_parameters(message)]
            # A key may be misspelt as a whole or in its last part, of which the message may name only that.
            return nearest(option, {*known, *(name.rpartition(".")[2] for name in known)})
        return ""

    def _options(self) -> list[str]:
        keys = [key for key, _ in self.get_defaults(skip_validation=True).items()]
        groups = {key.partition(".")[0] for key in keys}
        return [*keys, *groups, "class_path", "init_args"]


def _parameters(message: str) -> Iterator[str]:
    """Parameters of the classes that the message speaks of."""
    for path in _CLASS.findall(message):
        module, _, name = path.rpartition(".")
        found: Any = getattr(importlib.import_module(module), name, None)
        if found is not None:
            yield from inspect.signature(found).parameters


def _members(module: str) -> list[str]:
    found = importlib.import_module(module)
    submodules = [info.name for info in pkgutil.iter_modules(getattr(found, "__path__", []))]
    return [name for name in {*vars(found), *submodules} if not name.startswith("_")]
