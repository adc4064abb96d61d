"""Tokens in the order of a learned importance."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence.layer import SequenceLayer
from graphseq.sequence.padding import pad, unpad


class ImportanceOrder(SequenceLayer):
    r"""Sort the tokens of each segment by importance, mix them by another layer, and put them back.

    .. math::
        s = x w, \qquad P_{ij} = \operatorname{softmax}_j \bigl( -|s_{[i]} - s_j| / \tau \bigr), \qquad
        y = P^\top \operatorname{layer}(P x)

    where :math:`s_{[i]}` is the i-th largest score. The soft permutation :math:`P` is that of SoftSort (Prillo &
    Eisenschlos 2020); it is the second refinement of Vo et al. (2025), whose divergent tokens grow at rates that depend
    on their place. As :math:`\tau \to 0` it sorts. The paper does not fix the sort; ours is this one. Since a token
    may move ahead of earlier ones, the result is not causal and there is no :class:`StreamingLayer` of it.

    Args:
        layer: what mixes the sorted tokens.
        temperature: :math:`\tau`.

    Example:
        >>> ImportanceOrder(Mamba(8))(torch.randn(1, 5, 8)).shape
        torch.Size([1, 5, 8])

    Cost: quadratic in the length of a segment.
    """

    def __init__(self, layer: SequenceLayer, *, temperature: float = 0.1) -> None:
        super().__init__(layer.channels)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.layer, self.temperature = layer, temperature
        self.score = nn.Linear(self.channels, 1, bias=False)

    def reset_parameters(self) -> None:
        self.layer.reset_parameters()  # type: ignore[operator]
        self.score.reset_parameters()

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """The equations above."""
        inside = pad(torch.ones_like(topology.segment, dtype=torch.bool), topology)
        score = pad(self.score(x).squeeze(-1), topology)
        # What lies beyond a segment's end stays there: last in the order, and in no token's mixture.
        ordered = score.masked_fill(~inside, -torch.inf).sort(dim=1, descending=True).values.masked_fill(~inside, 0)
        closeness = -(ordered[:, :, None] - score[:, None, :]).abs() / self.temperature
        nowhere = torch.finfo(closeness.dtype).min
        soft = closeness.masked_fill(~inside[:, None, :], nowhere).softmax(-1).masked_fill(~inside[..., None], 0)
        mixed = self.layer(unpad(soft @ pad(x, topology), topology), topology)
        return unpad(soft.transpose(1, 2) @ pad(mixed, topology), topology)

    def sizes(self) -> dict[str, Any]:
        return {"layer": self.layer, "temperature": self.temperature}
