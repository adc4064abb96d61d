"""Recordings of whole brains, neuron by neuron, with what is known of the animals' wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Recordings:
    """Traces of the same neurons in several animals, not all of them seen in each.

    Args:
        traces: one row a neuron; NaN where it was not identified in an animal.
        observed: which neurons were identified in which animal.
        dt: seconds a frame.
        neurons: their names, in order.
        animals: names of the recordings.
        behaviour: what each animal did, by name of the quantity.
        chemical: anatomical chemical synapses, presynaptic neuron first.
        gap: anatomical gap junctions, symmetric.
        position: of each neuron's body, in the units of the source.
        kind: cell type of each neuron.
    """

    traces: Float[Tensor, "animals neurons time"]
    observed: Bool[Tensor, "animals neurons"]
    dt: float
    neurons: tuple[str, ...]
    animals: tuple[str, ...]
    behaviour: Mapping[str, Float[Tensor, "animals time"]]
    chemical: Int[Tensor, "neurons neurons"]
    gap: Int[Tensor, "neurons neurons"]
    position: Float[Tensor, "neurons 3"]
    kind: tuple[str, ...]

    def homologues(self) -> list[tuple[int, int]]:
        """Pairs of neurons whose names differ in a final L and R alone.

        AWC's two are not alike in what they sense; they count all the same.
        """
        place = {name: index for index, name in enumerate(self.neurons)}
        return [
            (index, place[name[:-1] + "R"])
            for name, index in place.items()
            if name.endswith("L") and name[:-1] + "R" in place
        ]

    def __repr__(self) -> str:
        animals, neurons, time = self.traces.shape
        return f"{type(self).__name__}(animals={animals}, neurons={neurons}, time={time}, dt={self.dt:g})"
