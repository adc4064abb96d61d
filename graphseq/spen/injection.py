"""From the networks back to nodes and pairs: what happens where networks overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

Activation = Callable[[Tensor], Tensor]
Inject = Literal["mean", "sum"]


@runtime_checkable
class Injection(Protocol):
    """Where the nonlinearity stands, and what is made of the sum over networks."""

    def inside(self, values: Tensor, activation: Activation) -> Tensor:
        """The values of each network, before they are added up."""

    def outside(self, total: Tensor, count: Tensor, activation: Activation) -> Tensor:
        """The new state from the sum over networks and their number."""


class MeanInjection:
    r"""The mean over networks, then the nonlinearity, as in the paper: :math:`\phi(\frac1n \sum_v y_v)`.

    A mean does not see how many networks there are, and until it is taken the map is linear: 4-cycles go unnoticed.
    """

    def inside(self, values: Tensor, activation: Activation) -> Tensor:
        return values

    def outside(self, total: Tensor, count: Tensor, activation: Activation) -> Tensor:
        return activation(total / count[:, None])

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SumInjection:
    r"""The nonlinearity in each network, then the sum: :math:`\sum_v \phi(y_v)`.

    It tells apart more graphs than :class:`MeanInjection`, see :func:`separates`.
    """

    def inside(self, values: Tensor, activation: Activation) -> Tensor:
        return activation(values)

    def outside(self, total: Tensor, count: Tensor, activation: Activation) -> Tensor:
        return total

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


INJECTIONS: dict[str, type[Injection]] = {"mean": MeanInjection, "sum": SumInjection}
