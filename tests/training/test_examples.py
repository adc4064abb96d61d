"""The presets: they parse, and networks of one preset are of one size."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from graphseq.data import describe
from graphseq.training.budget import count_parameters
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.signature import Signature

EXAMPLES = Path(__file__).parents[2] / "examples"
ATOMS, BONDS = (119, 5, 12, 12, 10, 6, 6, 2, 2), (5, 6, 2)
CHANNELS = {
    "mutag": (7, 4),
    "proteins": (4, None),
    "molbace": (ATOMS, BONDS),
    "molesol": (ATOMS, BONDS),
    "minesweeper": (7, None),
    "ring_transfer": (5, None),
    "peptides_func": (ATOMS, BONDS),
}
NETWORKS = sorted(path.stem for path in (EXAMPLES / "networks").glob("*.yaml"))


@pytest.mark.parametrize(("preset", "network"), product(CHANNELS, NETWORKS))
def test_every_network_of_every_preset_has_about_a_hundred_thousand_parameters(preset, network):
    paths = [EXAMPLES / f"{preset}.yaml", EXAMPLES / "networks" / f"{network}.yaml"]
    cli = GraphCLI([word for path in paths for word in ("--config", str(path))], run=False)
    task = cli.parser.instantiate(cli.config).model
    in_channels, edge_channels = CHANNELS[preset]
    task.build(Signature(in_channels, edge_channels, describe(cli.config.data.name).task))
    # Widths are even: half a step of them is up to 6 % of this many parameters.
    assert count_parameters(task) == pytest.approx(100_000, rel=0.06)


def test_every_preset_is_known():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(CHANNELS)
