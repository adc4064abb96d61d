"""Recordings of whole brains, neuron by neuron, with what is known of the animals' wiring."""

from __future__ import annotations

from collections import Counter
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

    Raises:
        ValueError: if sizes disagree, a neuron is named twice, ``dt`` is not positive, or a trace is not finite where
            it is observed, or not NaN where it is not.
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

    def __post_init__(self) -> None:
        animals, neurons, time = self.traces.shape
        for name, size, wanted in (
            ("observed", list(self.observed.shape), [animals, neurons]),
            ("neurons", [len(self.neurons)], [neurons]),
            ("animals", [len(self.animals)], [animals]),
            ("kind", [len(self.kind)], [neurons]),
            ("chemical", list(self.chemical.shape), [neurons, neurons]),
            ("gap", list(self.gap.shape), [neurons, neurons]),
            ("position", list(self.position.shape), [neurons, 3]),
            *((f"behaviour {what!r}", list(values.shape), [animals, time]) for what, values in self.behaviour.items()),
        ):
            if size != wanted:
                raise ValueError(
                    f"{name} must have shape {wanted}, as traces {list(self.traces.shape)} say, got {size}"
                )
        if twice := [name for name, count in Counter(self.neurons).items() if count > 1]:
            raise ValueError(f"neurons must have different names, got {twice[0]!r} twice")
        if not 0 < self.dt < float("inf"):
            raise ValueError(f"dt must be positive, got {self.dt}")
        self._check_traces("finite where observed", self.observed & ~self.traces.isfinite().all(-1))
        self._check_traces("NaN where not observed", ~self.observed & ~self.traces.isnan().all(-1))

    def _check_traces(self, what: str, wrong: Tensor) -> None:
        if bool(wrong.any()):
            animal, neuron = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"traces must be {what}, got another trace of {self.neurons[neuron]!r} in {self.animals[animal]!r}"
            )

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
