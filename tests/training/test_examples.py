"""The presets: they parse, and networks of one preset are of one size."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import erdos_renyi_graph

from graphseq.data import describe
from graphseq.graph_mamba import graph_mamba_wang
from graphseq.sequence import Mamba2
from graphseq.training.budget import count_parameters
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.signature import Signature

EXAMPLES = Path(__file__).parents[2] / "examples"
ATOMS, BONDS = (119, 5, 12, 12, 10, 6, 6, 2, 2), (5, 6, 2)
CHANNELS = {
    "mutag": (7, 4),
    "proteins": (4, None),
    "nci1": (37, None),
    "molbace": (ATOMS, BONDS),
    "molesol": (ATOMS, BONDS),
    "minesweeper": (7, None),
    "ring_transfer": (5, None),
    "long_range": (5, None),
    "peptides_func": (ATOMS, BONDS),
    "molhiv": (ATOMS, BONDS),
    "tolokers": (10, None),
}
NETWORKS = sorted(path.stem for path in (EXAMPLES / "networks").glob("*.yaml"))
ENCODINGS = sorted(path.stem for path in (EXAMPLES / "positional").glob("*.yaml"))


def _parsed(*names: str) -> GraphCLI:
    return GraphCLI([word for name in names for word in ("--config", str(EXAMPLES / f"{name}.yaml"))], run=False)


@pytest.mark.parametrize(("preset", "network"), product(CHANNELS, NETWORKS))
def test_every_network_of_every_preset_has_about_a_hundred_thousand_parameters(preset, network):
    cli = _parsed(preset, f"networks/{network}")
    task = cli.parser.instantiate(cli.config).model
    in_channels, edge_channels = CHANNELS[preset]
    task.build(Signature(in_channels, edge_channels, describe(cli.config.data.name).task))
    # Widths are even: half a step of them is up to 6 % of this many parameters.
    if any(isinstance(module, Mamba2) for module in task.network.modules()):
        # Heads of eight channels take steps of eight: no other width is nearer.
        make = partial(task.make_network, edge_channels=edge_channels, level="node")
        width = task.network.channels
        away = {w: abs(count_parameters(make(in_channels, 5, channels=w)) - 100_000) for w in range(8, 65, 8)}
        assert min(away, key=away.get) == width
        assert away[width] == abs(count_parameters(task) - 100_000)
    else:
        assert count_parameters(task) == pytest.approx(100_000, rel=0.06)


# The variant that is published without positions takes them off again.
@pytest.mark.parametrize(("encoding", "network"), product(ENCODINGS, sorted({*NETWORKS} - {"gmn_minus"})))
def test_every_network_reads_the_encodings_laid_over_it(encoding, network):
    cli = _parsed("ring_transfer", f"positional/{encoding}", f"networks/{network}")
    made = cli.parser.instantiate(cli.config)
    graph = Data(x=torch.randn(6, 5), edge_index=erdos_renyi_graph(6, 0.5), num_nodes=6)
    for transform in (*made.data.pre_transforms, *made.data.transforms):
        graph = transform(graph)
    net = made.model.build(Signature(5, None, describe("ring-transfer").task))
    (encoder,) = net.positional
    needed = {key: graph[key] for key in net.needs if key in graph}
    assert encoder.key in needed
    assert net(graph.x, graph.edge_index, torch.zeros(6, dtype=torch.long), **needed).isfinite().all()


def test_every_preset_is_known():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(CHANNELS)


def test_the_variant_of_wang_on_the_command_line_is_the_preset():
    """State by state and prediction by prediction, orders of equal degrees included."""
    cli = _parsed("molesol", "networks/graph_mamba_wang")
    laid_over = cli.parser.instantiate(cli.config).model.build(Signature(5, None, describe("ring-transfer").task))
    layers, dropout = len(laid_over.blocks), laid_over.blocks[0].encoder.dropout.p
    preset = graph_mamba_wang(5, 5, level="node", channels=laid_over.channels, layers=layers, dropout=dropout)
    preset.load_state_dict(laid_over.state_dict())
    x, edge_index = torch.randn(9, 5), torch.tensor([[*range(9)], [*range(1, 9), 0]])
    assert torch.equal(laid_over.eval()(x, edge_index), preset.eval()(x, edge_index))
