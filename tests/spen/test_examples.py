"""The presets of the TU collection parse, and build the published widths with and without GIN laid over."""

from pathlib import Path

import pytest

from graphseq.data import describe
from graphseq.spen import SPEN
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.signature import Signature

FOLDER = Path(__file__).parents[2] / "examples" / "spen"
PRESETS = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "gin")
SHAPES = {
    "MUTAG": (64, 5),
    "PTC": (16, 4),
    "PROTEINS": (16, 8),
    "NCI1": (16, 4),
    "NCI109": (64, 6),
    "IMDB-BINARY": (32, 6),
    "IMDB-MULTI": (16, 4),
}


@pytest.mark.parametrize("preset", PRESETS, ids=[path.stem for path in PRESETS])
@pytest.mark.parametrize("network", ["spen", "gin"])
def test_presets_build(preset, network):
    paths = [preset] if network == "spen" else [preset, FOLDER / "gin.yaml"]
    cli = GraphCLI([word for path in paths for word in ("--config", str(path))], run=False)
    task = cli.parser.instantiate(cli.config).model
    name = cli.config.data.name
    built = task.build(Signature(5, None, describe(name).task))
    if network == "gin":
        assert not isinstance(built, SPEN)
        return
    width, depth = SHAPES[name]
    assert built.readout.out_channels == (2 * width if depth > 1 else width)
    assert len(built.layers) + 1 == depth


def test_every_set_has_a_preset():
    assert len(PRESETS) == len(SHAPES)
