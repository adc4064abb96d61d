"""The command ``graphseq``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from graphseq.extras import MissingExtraError, needed_by

_COMMANDS: dict[str, str] = {
    "fit": "train a network, then test the best epoch",
    "validate": "evaluate a checkpoint on the validation set",
    "test": "evaluate a checkpoint on the test set",
    "predict": "write the predictions of a checkpoint for the test set",
    "repeat": "fit and test over seeds and splits, and record mean and deviation",
    "folds": "fit on every fold of a TU data set, and record both protocols of that collection",
    "results": "write the tables of results from their records",
    "data": "list, get and verify data sets",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; ``graphseq COMMAND --help`` explains it.

    Args:
        argv: the words after ``graphseq``; those of the process if not given.

    Raises:
        SystemExit: with code 2 if the words make no command, with code 1 if an extra is missing that the command needs.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_help())
    elif words[0] in _COMMANDS:
        try:
            with needed_by(f"graphseq {words[0]}"):
                _runner(words[0])(words)
        except MissingExtraError as error:
            _fail(str(error), 1)
    else:
        from graphseq.data.manifest import nearest

        _fail(f"no command {words[0]!r}{nearest(words[0], _COMMANDS)}")


def _fail(message: str, code: int = 2) -> NoReturn:
    print(f"graphseq: error: {message}", file=sys.stderr)
    raise SystemExit(code)


def _help() -> str:
    lines = [f"  {name:<10}{purpose}" for name, purpose in _COMMANDS.items()]
    return "\n".join(["usage: graphseq COMMAND [options]", "", *lines, "", "graphseq COMMAND --help tells more."])


def _runner(command: str) -> Callable[[list[str]], object]:
    # Each command imports what it needs: Lightning takes seconds, and most of these do without.
    if command == "data":
        return _data
    if command == "results":
        return _results
    if command == "repeat":
        from graphseq.training.repeat import repeat

        return lambda words: repeat(words[1:])
    if command == "folds":
        from graphseq.training.folds import folds

        return lambda words: folds(words[1:])
    from graphseq.training.lightning_cli import GraphCLI

    return GraphCLI


def _data(words: list[str]) -> None:
    from graphseq.data.cli import COMMANDS

    _call(dict(COMMANDS), words)


def _results(words: list[str]) -> None:
    from graphseq.training.results import update_tables

    _call(update_tables, words)


def _call(functions: dict[str, Any] | Callable[..., None], words: list[str]) -> None:
    """Run a function whose errors about what it was given are answers, not accidents."""
    from jsonargparse import auto_cli

    try:
        auto_cli(functions, args=words[1:], prog=f"graphseq {words[0]}")
    except (ValueError, FileNotFoundError) as error:
        _fail(str(error))


if __name__ == "__main__":
    main()
