"""Every public scan on a small topology: its inputs, and which of their entries nothing reads."""

from dataclasses import dataclass, field

import torch

from graphseq.scan import (
    Dag,
    Grid,
    LogSumExp,
    Ragged,
    causal_conv,
    delta_scan,
    gated_scan,
    grid_selective_scan,
    line_graph,
    linear_scan,
    matrix_scan,
    selective_scan,
)
from tests.plstm.gates import random_inputs

RAGGED = Ragged(torch.tensor([0, 3, 3, 7, 8]))
GRID = Grid(3, 2, 2)
DAG = Dag(torch.tensor([[0, 1, 0, 3, 3], [1, 2, 2, 2, 4]]), 6)
LINES = line_graph(torch.tensor([[0, 1, 0, 3, 2, 2], [1, 2, 2, 2, 4, 5]]), 7)


@dataclass
class Operation:
    """A scan as a function of named float64 tensors, which returns one tensor."""

    run: object
    inputs: dict
    # Boolean masks of the entries that nothing reads.
    unread: dict = field(default_factory=dict)

    def __call__(self, *tensors):
        return self.run(**dict(zip(self.inputs, tensors, strict=True)))


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def at(shape, rows):
    """True in these rows."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[rows] = True
    return mask


def linear(topology, channels=(2,), initial=False):
    """The linear scan on any topology."""
    if isinstance(topology, Grid):
        cells = (topology.batch, topology.height, topology.width)
        inputs = {"decay": draw(2, 2, *cells, *channels), "source": draw(2, *cells, *channels)}
        unread = {"decay": _border(topology, inputs["decay"])}
    elif isinstance(topology, Dag):
        links, states = topology.num_links, topology.num_states
        return Operation(
            lambda decay, source: linear_scan(decay, source, topology),
            {"decay": draw(links, *channels), "source": draw(states, *channels)},
        )
    else:
        inputs = {"decay": draw(topology.num_states, *channels), "source": draw(topology.num_states, *channels)}
        unread = {"decay": at(inputs["decay"].shape, topology.first)}
        if initial:
            inputs["initial"] = draw(topology.num_segments, *channels)
            unread = {"initial": at(inputs["initial"].shape, topology.lengths == 0)}
    return Operation(lambda **given: linear_scan(**given, topology=topology), inputs, unread)


def _border(grid, decay):
    """Decays of states that arrive from outside."""
    border = torch.zeros(decay.shape, dtype=torch.bool)
    if decay.numel():
        first = -1 if grid.reversed else 0
        border[0].select(3, first).fill_(True)
        border[1].select(2, first).fill_(True)
    return border


def conv(topology, channels=2, width=3):
    """The causal convolution."""
    inputs = {"x": draw(topology.num_states, channels), "weight": draw(channels, width), "bias": draw(channels)}
    return Operation(lambda **given: causal_conv(**given, topology=topology, silu=True), inputs)


def selective(topology, channels=4, size=2, groups=2, full=True):
    """The selective scan, with its last states; ``full`` with everything that is optional."""
    tokens = topology.num_states
    inputs = {
        "u": draw(tokens, channels),
        "delta": draw(tokens, channels),
        "A": -torch.rand(channels, size, dtype=torch.float64),
        "B": draw(tokens, groups, size),
        "C": draw(tokens, groups, size),
    }
    if full:
        inputs |= {
            "D": draw(channels),
            "z": draw(tokens, channels),
            "delta_bias": draw(channels),
            "initial": draw(topology.num_segments, channels, size),
        }
    return Operation(
        lambda **given: joined(*selective_scan(**given, delta_softplus=full, topology=topology, return_last=True)),
        inputs,
    )


def grid_selective(grid, channels=4, size=2, groups=2, exchange=True):
    """The selective scan on grids."""
    cells = (grid.batch, grid.height, grid.width)
    inputs = {
        "u": draw(*cells, channels),
        "delta": torch.rand(2, *cells, channels, dtype=torch.float64),
        "A": -torch.rand(2, channels, size, dtype=torch.float64),
        "B": draw(2, *cells, groups, size),
        "C": draw(2, *cells, groups, size),
        "D": draw(channels),
    }
    unread = {}
    if exchange:
        inputs["exchange"] = torch.rand(2, *cells, channels, dtype=torch.float64)
        first = -1 if grid.reversed else 0
        unread["exchange"] = torch.zeros(inputs["exchange"].shape, dtype=torch.bool)
        if unread["exchange"].numel():
            unread["exchange"][:, :, first, first] = True
    return Operation(lambda **given: grid_selective_scan(**given, topology=grid), inputs, unread)


def delta(topology, heads=2, key_size=3, value_size=2, steps=2, initial=False):
    """The delta rule, with its last states."""
    tokens = topology.num_states
    keys = torch.nn.functional.normalize(draw(tokens, heads, steps, key_size), dim=-1)
    inputs = {
        "q": draw(tokens, heads, key_size),
        "k": keys,
        "v": draw(tokens, heads, steps, value_size),
        "beta": torch.rand(tokens, heads, steps, dtype=torch.float64),
        "log_decay": -torch.rand(tokens, heads, dtype=torch.float64),
    }
    unread = {"log_decay": at(inputs["log_decay"].shape, topology.first)}
    if initial:
        inputs["initial"] = draw(topology.num_segments, heads, key_size, value_size)
        unread = {}
    return Operation(lambda **given: joined(*delta_scan(**given, topology=topology, return_last=True)), inputs, unread)


def gated(topology, heads=2, key_size=3, value_size=2):
    """The gated scan on any topology."""
    inputs = random_inputs(topology, heads, key_size, value_size)
    unread = {}
    if isinstance(topology, Ragged):
        unread = {
            "source": at(inputs["source"].shape, topology.last),
            "transition": at(inputs["transition"].shape, torch.cat([topology.first, topology.last])),
            "mark": at(inputs["mark"].shape, topology.first),
        }
    elif isinstance(topology, Grid):
        leaving = _border(topology.reverse(), inputs["transition"].transpose(0, 1)).transpose(0, 1)
        unread = {
            "source": leaving[0],
            "transition": leaving | _border(topology, inputs["transition"]),
            "mark": _border(topology, inputs["transition"])[:, 0],
        }
    return Operation(lambda **given: gated_scan(**given, topology=topology), inputs, unread)


def matrix(topology, size=2, rows=1, semiring=None):
    """Matrix products, both parts of their normal form as one tensor."""
    sides = (size, rows) if topology.reversed else (rows, size)
    inputs = {
        "matrices": torch.rand(topology.num_states, size, size, dtype=torch.float64),
        "initial": torch.rand(topology.num_segments, *sides, dtype=torch.float64),
    }

    def run(matrices, initial):
        values, log_scale = matrix_scan(matrices, topology, initial=initial, semiring=semiring)
        return values + log_scale[:, None, None] if semiring else values * log_scale.exp()[:, None, None]

    return Operation(run, inputs, {"initial": at(inputs["initial"].shape, topology.lengths == 0)})


def joined(*parts):
    return torch.cat([part.flatten() for part in parts])


OPERATIONS = {
    "linear": lambda: linear(RAGGED),
    "linear, backwards": lambda: linear(RAGGED.reverse(), initial=True),
    "linear on a grid": lambda: linear(GRID),
    "linear on a graph": lambda: linear(DAG),
    "conv": lambda: conv(RAGGED),
    "selective": lambda: selective(RAGGED),
    "selective, backwards": lambda: selective(RAGGED.reverse(), full=False),
    "selective on a grid": lambda: grid_selective(GRID),
    "selective on a grid, backwards": lambda: grid_selective(Grid(2, 3, reversed=True), exchange=False),
    "delta": lambda: delta(RAGGED),
    "delta, backwards": lambda: delta(RAGGED.reverse(), steps=1, initial=True),
    "gated": lambda: gated(RAGGED),
    "gated on a grid": lambda: gated(GRID),
    "gated on a graph": lambda: gated(LINES),
    "matrix": lambda: matrix(RAGGED),
    "matrix of logarithms": lambda: matrix(RAGGED, semiring=LogSumExp()),
}
