"""How many small faults the tests notice: ``python benchmarks/mutation.py`` changes the code in one place at a time.

The changed function takes the place of the original one in a fork of a process that has already imported the package
and collected the tests, so a verdict costs as much as the tests of that line, and no file is ever written over. Tools
such as mutmut and cosmic-ray start an interpreter for each change, which takes ten seconds here before the first test.
"""

from __future__ import annotations

import ast
import copy
import gc
import importlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("scan", "sequence", "graph_mamba", "spen", "semba", "connectome")
# Triton's interpreter reads its kernels from their files, and nothing states how a picture or a text for people looks.
LEFT_OUT_FILES = ("*_kernel.py", "pictures.py")
LEFT_OUT_FUNCTIONS = ("__repr__", "extra_repr", "__str__")
# A guard against a mistake of ours, and what shows on a machine with a GPU alone.
LEFT_OUT_KEYWORDS = ("strict", "device")
GIBIBYTE = 1 << 30


class Mutant(NamedTuple):
    """One change of one function."""

    file: str
    line: int
    column: int
    number: int  # among the changes of this place
    function: tuple[str, int]  # name and first line of the code that is replaced
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.column}:{self.number}"


def mutation(
    count: int = 300,
    only: tuple[str, ...] = (),
    tests: tuple[str, ...] = (),
    packages: tuple[str, ...] = PACKAGES,
    seconds: float = 40.0,
    seed: int = 0,
    out: str = "runs/mutation",
) -> None:
    """Change the code in ``count`` places, one at a time, and see which changes no test notices.

    Args:
        count: changes to draw.
        only: take the changes whose names start with one of these, such as ``graphseq/scan/dag.py:41``, or all changes
            that a list of an earlier run holds (a file's name), and run every test that ``tests`` collects.
        tests: what to collect; by default the tests and examples of the packages.
        packages: where to draw from.
        seconds: tests to run for each change, quickest first; with ``only`` there is no such limit.
        seed: of the draw.
        out: folder for what is measured once (which test runs which line), the verdicts and the survivors. A run that
            was interrupted goes on where it stopped; begin with an empty folder after a change of the code.
    """
    import pytest

    os.chdir(ROOT)
    _import_from(ROOT)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    known = [mutant for package in packages for mutant in mutants(package)]
    if only:
        known = _named(known, only)
    else:
        random.Random(seed).shuffle(known)
    collected = tests or [name for package in packages for name in (f"tests/{package}", f"graphseq/{package}")]
    judge = Judge(known, None if only else count, seconds, folder)
    options = ["-q", "-s", "-p", "no:cacheprovider", f"--basetemp={folder.resolve() / 'temporary'}"]
    sys.exit(pytest.main([*options, *collected], plugins=[judge]))


def mutants(package: str) -> Iterator[Mutant]:
    """Every change of every function of a package, in the order of the files."""
    for path in sorted((ROOT / "graphseq" / package).rglob("*.py")):
        if any(path.match(pattern) for pattern in LEFT_OUT_FILES):
            continue
        text = path.read_bytes()
        for function in _functions(ast.parse(text)):
            first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
            seen: dict[tuple[int, int], int] = defaultdict(int)
            for old, new in _changes(function):
                place = (old.lineno, old.col_offset)
                seen[place] += 1
                yield Mutant(
                    path.relative_to(ROOT).as_posix(),
                    *place,
                    seen[place],
                    (function.name, first),
                    ast.unparse(old),
                    ast.unparse(new),
                    _replaced(text, old, new),
                )


def _functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """The outermost functions: those inside another one are part of its code."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node)
        elif isinstance(node, ast.FunctionDef) and node.name not in LEFT_OUT_FUNCTIONS:
            yield node


def _changes(function: ast.FunctionDef) -> Iterator[tuple[Any, Any]]:
    """Nodes of the body with what may stand in their place."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.arguments, ast.AnnAssign)):
            # The text of an error, a default or an annotation. A value that is annotated still counts.
            if isinstance(node, ast.AnnAssign) and node.value:
                waiting.append(node.value)
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("warnings.warn", "cast", "TypeVar"):
            continue
        if isinstance(node, ast.keyword) and node.arg in LEFT_OUT_KEYWORDS:
            continue
        for new in _instead(node):
            yield node, new
        waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def _instead(node: Any) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in COMPARISONS.get(type(node.ops[0]), ()):
            yield _with(node, ops=[kind()])
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        if kind := ARITHMETIC.get(type(node.op)):
            yield _with(node, op=kind())
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)
        if node.value > 1:
            yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in LEFT_OUT_KEYWORDS:
                yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])
    elif isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.Expr) and not isinstance(node.value, (ast.Constant, ast.Yield, ast.YieldFrom)):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))


COMPARISONS: dict[type, tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type, type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _replaced(text: bytes, old: Any, new: ast.AST) -> str:
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: old.lineno - 1])) + old.col_offset
    end = sum(map(len, lines[: old.end_lineno - 1])) + old.end_col_offset
    written = ast.unparse(new)
    return (text[:start] + (f"({written})" if isinstance(new, ast.expr) else written).encode() + text[end:]).decode()


def _named(known: Sequence[Mutant], only: Sequence[str]) -> list[Mutant]:
    """The mutants that are meant: by the beginning of their names, or by place and change as an earlier run lists them.

    Lines move when the code is worked on, so a mutant of a list is known again by its function and its change.
    """
    found: list[Mutant] = []
    for name in only:
        if not name.endswith(".json"):
            found += [mutant for mutant in known if f"{mutant.name}:".startswith(f"{name}:")]
            continue
        for entry in json.loads(Path(name).read_text()):
            alike = [
                mutant
                for mutant in known
                if (mutant.file, mutant.function[0], mutant.before, mutant.after)
                == (entry["file"], entry["function"], entry["before"], entry["after"])
            ]
            nearest = min(alike, key=lambda mutant: abs(mutant.line - entry["line"]), default=None)
            if nearest is None:
                print(f"{entry['name']}: the code is no longer there: {entry['before']}")
            else:
                found.append(nearest)
    return list(dict.fromkeys(found))


class Judge:
    """A plugin of pytest that runs the collected tests on one mutant after another instead of once."""

    def __init__(self, known: Sequence[Mutant], count: int | None, seconds: float, folder: Path) -> None:
        self.known, self.count, self.seconds, self.folder = known, count, seconds, folder

    def pytest_configure(self) -> None:
        import hypothesis

        # The same examples every time, so that a verdict repeats.
        hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
        hypothesis.settings.load_profile("mutation")

    def pytest_runtestloop(self, session: Any) -> bool:
        if session.testsfailed:
            raise session.Interrupted("errors while the tests were collected")
        items = {item.nodeid: item for item in session.items}
        covered = None if self.count is None else self._covered(items)
        verdicts = self.folder / "verdicts.jsonl"
        done = _read(verdicts) if covered else {}
        drawn = self.known[: self.count]
        with verdicts.open("a") if covered else open(os.devnull, "w") as file:
            for mutant in drawn:
                if mutant.name not in done:
                    chosen = list(items) if covered is None else self._chosen(covered, mutant, items)
                    verdict = self._verdict(mutant, [items[name] for name in chosen], covered is not None)
                    done[mutant.name] = verdict
                    file.write(json.dumps(verdict) + "\n")
                    file.flush()
                    print("{verdict:10}{name}  {before!r} -> {after!r}  {by}".format(**verdict), flush=True)
        self._report([done[mutant.name] for mutant in drawn])
        return True

    def _covered(self, items: dict[str, Any]) -> dict[str, Any]:
        """Seconds of each test that passes, and the tests of each line; measured in a fork, to keep this one fresh."""
        path = self.folder / "covered.json"
        if not path.exists():
            print(f"which of {len(items)} tests runs which line ...", flush=True)
            _forked(lambda: path.write_text(json.dumps(_measured(list(items.values())))), None)
        covered = json.loads(path.read_text())
        print(f"{len(covered['seconds'])} of {len(items)} tests pass and can judge", flush=True)
        return covered

    def _chosen(self, covered: dict[str, Any], mutant: Mutant, items: dict[str, Any]) -> list[str]:
        taken = covered["seconds"]
        names = {name for name in covered["lines"].get(f"{mutant.file}:{mutant.line}", ()) if name in taken}
        chosen, total = [], 0.0
        for name in sorted(names & items.keys(), key=lambda name: (taken[name], name)):
            total += taken[name]
            if chosen and total > self.seconds:
                break
            chosen.append(name)
        return chosen

    def _verdict(self, mutant: Mutant, items: list[Any], limited: bool) -> dict[str, Any]:
        entry = {"name": mutant.name, "file": mutant.file, "line": mutant.line, "function": mutant.function[0]}
        entry |= {"before": mutant.before, "after": mutant.after, "tests": len(items), "by": ""}
        if not items:
            return entry | {"verdict": "uncovered"}
        start = time.monotonic()
        answer = _forked(lambda: _first_failure(mutant, items), 3 * self.seconds + 20 if limited else None)
        entry["seconds"] = round(time.monotonic() - start, 1)
        if answer is None:
            return entry | {"verdict": "timeout"}
        return entry | {"verdict": answer[0], "by": answer[1]}

    def _report(self, verdicts: list[dict[str, Any]]) -> None:
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for entry in verdicts:
            for group in (entry["file"].split("/")[1], "all"):
                counts[group][entry["verdict"]] += 1
        print(f"\n{'':14}{'mutants':>9}{'killed':>9}{'timeout':>9}{'survived':>9}{'uncovered':>11}   killed or timeout")
        for group in sorted(counts, key=lambda group: (group == "all", group)):
            found = counts[group]
            judged = sum(number for verdict, number in found.items() if verdict != "unfit")
            columns = f"{found['killed']:9}{found['timeout']:9}{found['survived']:9}{found['uncovered']:11}"
            print(f"{group:14}{judged:9}{columns}{(found['killed'] + found['timeout']) / max(judged, 1):20.1%}")
        left = [entry for entry in verdicts if entry["verdict"] in ("survived", "uncovered")]
        path = self.folder / ("survivors.json" if self.count is not None else "survivors_only.json")
        path.write_text(json.dumps(sorted(left, key=lambda entry: (entry["file"], entry["line"])), indent=1))
        print(f"survivors: {path}")


def _measured(items: list[Any]) -> dict[str, Any]:
    """Run in a fork: every test once under coverage."""
    import coverage
    import pytest

    tracer = coverage.Coverage(data_file=None, source=[str(ROOT / "graphseq")], config_file=False)
    seconds: dict[str, float] = {}
    users: dict[str, list[str]] = defaultdict(list)

    class Contexts:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Any:
            tracer.switch_context(item.nodeid)
            start = time.perf_counter()
            failed = item.session.testsfailed
            result = yield
            if item.session.testsfailed == failed:
                seconds[item.nodeid] = time.perf_counter() - start
            return result

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
            # What many tests share is made while the first of them runs, but all of them look at it.
            if fixturedef.scope == "function":
                return (yield)
            name = f"fixture {fixturedef.baseid}::{fixturedef.argname}"
            tracer.switch_context(name)
            result = yield
            tracer.switch_context(request.node.nodeid if request.scope == "function" else name)
            return result

    for item in items:
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():
            users[f"fixture {definitions[-1].baseid}::{name}"].append(item.nodeid)
    items[0].config.pluginmanager.register(Contexts())
    tracer.start()
    _run(items)
    tracer.stop()
    data = tracer.get_data()
    lines = {}
    for path in data.measured_files():
        for line, contexts in data.contexts_by_lineno(path).items():
            tests = {test for context in contexts for test in users.get(context, [context])}
            lines[f"{Path(path).relative_to(ROOT).as_posix()}:{line}"] = sorted(tests - {""})
    return {"seconds": seconds, "lines": lines}


def _first_failure(mutant: Mutant, items: list[Any]) -> tuple[str, str]:
    """Run in a fork: the verdict and the test that it is due to."""
    limit = 24 * GIBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if not _install(mutant):
        return "unfit", ""
    failed = _run(items, stop=True)
    return ("killed", failed) if failed else ("survived", "")


def _install(mutant: Mutant) -> bool:
    """Put the changed code into the function, whichever wrappers hold it; whether it fits."""
    module = importlib.import_module(mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    path = str(ROOT / mutant.file)
    assert module.__spec__ and module.__spec__.loader and module.__file__ == path, module.__file__
    # The loader is the one of the annotations' checks, and nested functions are to keep theirs.
    code = module.__spec__.loader.source_to_code(mutant.source.encode(), path)  # type: ignore[attr-defined]
    new = next(part for part in _codes(code) if (part.co_name, part.co_firstlineno) == mutant.function)
    old = [
        function
        for function in gc.get_objects()
        if type(function) is FunctionType
        and function.__code__.co_filename == path
        and (function.__code__.co_name, function.__code__.co_firstlineno) == mutant.function
    ]
    if not old or any(len(function.__code__.co_freevars) != len(new.co_freevars) for function in old):
        return False
    for function in old:
        function.__code__ = new
    return True


def _codes(code: CodeType) -> Iterator[CodeType]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield part
            yield from _codes(part)


def _run(items: list[Any], stop: bool = False) -> str:
    """As pytest's own loop does; the first test that failed, or nothing."""
    session = items[0].session
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if stop and session.testsfailed:
            return item.nodeid
    return ""


def _forked(task: Callable[[], Any], limit: float | None) -> Any:
    """What the task returns in a process of its own, nothing if it takes longer or ends without an answer."""
    context = multiprocessing.get_context("fork")
    answers, sender = context.Pipe(duplex=False)

    def call() -> None:
        os.setsid()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sender.send(task())

    process = context.Process(target=call)
    process.start()
    sender.close()
    answer = None
    try:
        if answers.poll(limit):
            answer = answers.recv()
    except EOFError:
        # A crash is a verdict too: no test passes that the interpreter does not survive.
        process.join()
        answer = ("killed", f"ended with exit status {process.exitcode}")
    finally:
        if process.pid and process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return answer


def _read(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def _import_from(root: Path) -> None:
    """See to it that this folder's package is imported, wherever an editable install points."""
    sys.path.insert(0, str(root))
    for finder in list(sys.meta_path):
        found = finder.find_spec("graphseq", None)
        if found and found.origin and not Path(found.origin).is_relative_to(root):
            sys.meta_path.remove(finder)
    found = importlib.util.find_spec("graphseq")
    if found is None or found.origin != str(root / "graphseq" / "__init__.py"):
        raise ImportError(f"graphseq must be imported from {root}, got {found and found.origin}")


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(mutation)
