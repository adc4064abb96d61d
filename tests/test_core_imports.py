"""With the core dependencies alone everything imports, and what needs an extra says which, in one sentence."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import graphseq
from graphseq.extras import _BROUGHT_BY, MissingExtraError, needed_by

ROOT = Path(__file__).parents[1]

# A process in which no finder of Python knows what an extra brings.
WITHOUT_EXTRAS = f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{*{sorted(_BROUGHT_BY)!r}, "torch_scatter", "triton", "lightning_utilities"}}:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

EXAMPLE = str(ROOT / "examples/ring_transfer.yaml")


def _run(code: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + code], cwd=folder, env=environment, capture_output=True, text=True
    )


# The parts of training that are not one of its public names may be what an extra is for.
TRAINING = ("baselines", "cli", "detectors", "forecasters", "losses", "results", "signature", "vision")


def _modules() -> list[str]:
    packages = pkgutil.walk_packages(graphseq.__path__, "graphseq.")
    names = [info.name for info in packages if "._kernels" not in info.name and ".triton." not in info.name]
    in_training = [f"graphseq.training.{name}" for name in TRAINING]
    return [name for name in names if not name.startswith("graphseq.training.")] + in_training


def test_everything_imports_with_the_core_dependencies_alone(tmp_path):
    done = _run(f"import importlib\nfor name in {_modules()!r}: importlib.import_module(name)", tmp_path)
    assert done.returncode == 0, done.stderr


USES = {
    "from graphseq.training import GraphTask": (
        "graphseq.training.GraphTask needs lightning: pip install 'graphseq[train]'"
    ),
    "from graphseq.training.forecasters import PatchTST; PatchTST(8, 2, 1)": (
        "PatchTST needs transformers: pip install 'graphseq[series]'"
    ),
    "import torch; from graphseq.training.anomaly_scores import detection; "
    "detection(torch.rand(3), torch.arange(3) > 1, 0.5)": "detection needs torchmetrics: pip install 'graphseq[train]'",
    "import torch; from graphseq.semba import best_threshold; best_threshold(torch.rand(3), torch.arange(3) > 1)": (
        "scoring signed predictions needs torchmetrics: pip install 'graphseq[train]'"
    ),
}


def test_a_use_that_needs_an_extra_says_which(tmp_path):
    code = f"""
for use in {list(USES)!r}:
    try:
        exec(use)
    except ModuleNotFoundError as error:
        print(error)
"""
    done = _run(code, tmp_path)
    assert done.stdout.splitlines() == list(USES.values()), done.stderr


COMMANDS = {
    ("data", "list"): "jsonargparse",
    ("results",): "jsonargparse",
    ("fit", "--config", EXAMPLE): "lightning",
    ("repeat", "--config", EXAMPLE): "lightning",
    ("folds", "--config", EXAMPLE): "lightning",
    ("predict", "--help"): "lightning",
}


def test_a_command_that_needs_an_extra_says_which_and_how_to_get_it(tmp_path):
    code = f"""
from graphseq.training.cli import main
for words in {[list(words) for words in COMMANDS]!r}:
    try:
        main(words)
    except SystemExit as stopped:
        print(stopped.code)
main(["--help"])
"""
    done = _run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"graphseq: error: graphseq {command} needs {package}: pip install 'graphseq[train]'"
        for (command, *_), package in COMMANDS.items()
    ]
    said = done.stdout.splitlines()
    assert said[: len(COMMANDS)] == ["1"] * len(COMMANDS)
    assert "graphseq COMMAND" in said[len(COMMANDS)]


NAMED_OTHERWISE = {"sklearn": "scikit-learn", "yaml": "pyyaml"}


@pytest.mark.parametrize(("package", "extra"), _BROUGHT_BY.items())
def test_an_extra_brings_what_it_is_said_to(package, extra):
    content = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(rf"^{extra} = \[(.*?)\]$", content, re.DOTALL | re.MULTILINE)
    assert NAMED_OTHERWISE.get(package, package) in re.findall(r'"([\w-]+)', listed)


def test_other_missing_modules_stay_what_they_are():
    with pytest.raises(ModuleNotFoundError) as raised, needed_by("this test"):
        import no_such_module  # noqa: F401
    assert not isinstance(raised.value, MissingExtraError)
    with (
        pytest.raises(MissingExtraError, match=r"^inner needs pandas: pip install"),
        needed_by("outer"),
        needed_by("inner"),
    ):
        raise ModuleNotFoundError(name="pandas.core")
