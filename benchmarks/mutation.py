"""How many small faults do the tests see? Mutation testing (DeMillo, Lipton & Sayward 1978) of a sample of lines.

``python benchmarks/mutation.py --sample 300 --out mutants.json``

A first run records which test covers which line, and how long each test takes. Each mutant is one changed operator,
constant or condition inside a function; it lives in a process of its own, forked after the slow imports, which reads
the changed source in place of the file's and runs the tests that cover the line, fastest first, until one fails.
Nothing is written into the checkout. Verdicts are kept in the output file, so that a run that was ended goes on where
it stood; ``--only N`` runs one mutant again and shows what its tests print.
"""

from __future__ import annotations

import argparse
import ast
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("scan", "sequence", "graph_mamba", "spen", "semba", "connectome")
# Tests that start processes of their own, which would not see the mutant.
_ELSEWHERE = ("tests/scan/test_framework.py", "tests/test_tracing.py")

_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def sites(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Nodes inside functions that can be changed, and into what; not in messages, annotations or printed forms."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert) or (
            isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "extra_repr")
        ):
            continue
        if inside:
            yield from ((node, change) for change in _changes(node))
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            within = inside or (isinstance(node, ast.FunctionDef) and name == "body")
            children = value if isinstance(value, list) else [value]
            pending += [(child, within) for child in reversed(children) if isinstance(child, ast.AST)]


def _changes(node: ast.AST) -> list[str]:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return [f"{type(node.op).__name__} -> {_OPERATORS[type(node.op)].__name__}"]
    if isinstance(node, ast.BoolOp):
        return [f"{type(node.op).__name__} -> {_OPERATORS[type(node.op)].__name__}"]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPERATORS:
        return [f"{type(node.ops[0]).__name__} -> {_OPERATORS[type(node.ops[0])].__name__}"]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        return [f"{type(node.op).__name__} dropped"]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [f"{node.value} -> {not node.value}"]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return [f"{node.value} -> {node.value + 1}"]
    if isinstance(node, ast.If | ast.IfExp):
        return ["condition turned round"]
    if isinstance(node, ast.Return) and node.value is not None:
        return ["returns None"]
    return []


def mutated(source: str, number: int) -> str:
    """The source with site ``number`` changed."""
    tree = ast.parse(source)
    node = list(sites(tree))[number][0]
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = _OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = _OPERATORS[type(node.ops[0])]()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant):
        node.value = (not node.value) if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.If | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    return ast.unparse(ast.fix_missing_locations(tree))


def forked(run, limit: float, quiet: bool = True) -> str:
    """``passed``, ``failed`` or ``time`` of a function that returns an exit status, in a process of its own."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if quiet:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        try:
            status = int(run())
        except BaseException:
            traceback.print_exc()
            status = 1
        os._exit(min(status, 1))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "failed" if status else "passed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "time"


def tests_of(package: str, out: Path) -> dict[str, dict]:
    """Which test functions cover each line of a package, and the seconds of each; recorded once."""
    record = out.with_name(f"{out.stem}-{package}.json")
    if not record.exists():
        forked(lambda: _record(package, record), 3600, quiet=False)
    return json.loads(record.read_text())


def _record(package: str, record: Path) -> int:
    import coverage
    import pytest

    seconds: dict[str, float] = defaultdict(float)

    class Stopwatch:
        def pytest_runtest_logreport(self, report):
            seconds[report.nodeid.split("[")[0]] += report.duration

    measured = coverage.Coverage(data_file=None, source=[str(ROOT / "graphseq" / package)])
    measured.set_option("run:dynamic_context", "test_function")
    measured.start()
    pytest.main([*_options(), f"tests/{package}", f"graphseq/{package}"], plugins=[Stopwatch()])
    measured.stop()
    lines: dict[str, dict[int, list[str]]] = {}
    for file in measured.get_data().measured_files():
        covered = measured.get_data().contexts_by_lineno(file)
        lines[str(Path(file).relative_to(ROOT))] = {
            line: sorted({test for context in contexts if (test := _test_of(context, seconds))})
            for line, contexts in covered.items()
        }
    record.write_text(json.dumps({"lines": lines, "seconds": seconds}))
    return 0


def _test_of(context: str, seconds: dict[str, float]) -> str | None:
    """The test's name to pytest, of its qualified name."""
    module, _, function = context.rpartition(".")
    name = f"{module.replace('.', '/')}.py::{function}"
    return name if name in seconds and not name.startswith(_ELSEWHERE) else None


def _options() -> list[str]:
    return ["-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-seed=0"]


def verdict(file: str, number: int, tests: list[str], seconds: dict[str, float], limit: float, quiet: bool) -> str:
    """``killed``, ``survived``, ``killed by time``, or ``uncovered``."""
    chosen, total = [], 0.0
    for test in sorted(tests, key=seconds.__getitem__):
        total += seconds[test]
        if total > limit and chosen:
            break
        chosen.append(test)
    if not chosen:
        return "uncovered"

    def run() -> int:
        import pytest

        path, changed = str(ROOT / file), mutated((ROOT / file).read_text(), number).encode()
        loader = importlib.machinery.SourceFileLoader
        read, stats = loader.get_data, loader.path_stats

        def path_stats(self, name):
            if name == path:
                raise OSError("compiled anew, without a cache")
            return stats(self, name)

        loader.get_data = lambda self, name: changed if name == path else read(self, name)
        loader.path_stats = path_stats
        sys.dont_write_bytecode = True
        return pytest.main([*_options(), "-x", *chosen])

    found = forked(run, 60 + 6 * total, quiet)
    return {"passed": "survived", "failed": "killed", "time": "killed by time"}[found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=PACKAGES, choices=PACKAGES)
    parser.add_argument("--sample", type=int, default=300, help="mutants, drawn from all packages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=40, help="seconds of tests a mutant, without imports")
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    parser.add_argument("--only", type=int, help="run this mutant alone and show its tests")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))

    # The slow imports, once; not the package itself.
    import pytest  # noqa: F401
    import scipy.sparse  # noqa: F401
    import torch
    import torch_geometric.transforms  # noqa: F401

    torch.set_num_threads(1)
    # An editable installation would bring the package of another checkout.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
    drawn = []
    for package in arguments.packages:
        for path in sorted((ROOT / "graphseq" / package).rglob("*.py")):
            file, tree = str(path.relative_to(ROOT)), ast.parse(path.read_text())
            drawn += [(package, file, number, node.lineno, change) for number, (node, change) in enumerate(sites(tree))]
    random.Random(arguments.seed).shuffle(drawn)
    drawn = drawn[: arguments.sample]
    found = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for index, (package, file, number, line, change) in enumerate(drawn):
        if (str(index) in found and arguments.only is None) or arguments.only not in (None, index):
            continue
        known = tests_of(package, arguments.out)
        tests = known["lines"].get(file, {}).get(str(line), [])
        said = verdict(file, number, tests, known["seconds"], arguments.limit, quiet=arguments.only is None)
        print(f"{index:4} {said:15} {file}:{line} {change}", flush=True)
        if arguments.only is None:
            found[str(index)] = {"file": file, "line": line, "change": change, "verdict": said}
            arguments.out.write_text(json.dumps(found, indent=1))
    counts = Counter(entry["verdict"] for entry in found.values())
    killed = counts["killed"] + counts["killed by time"]
    print(f"{len(found)} mutants: {killed} killed, {counts['survived']} survived, {counts['uncovered']} uncovered")


if __name__ == "__main__":
    main()
