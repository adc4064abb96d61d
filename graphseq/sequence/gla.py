"""Gated linear attention (Yang et al. 2024)."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from graphseq.scan import Ragged
from graphseq.sequence.layer import positive
from graphseq.sequence.linear_attention import linear_attention
from graphseq.sequence.matrix_memory import MatrixMemory


class GLA(MatrixMemory):
    r"""Gated linear attention: each row of the state decays at a rate of its own.

    .. math::
        S_t = \operatorname{diag}(\alpha_t) \, S_{t-1} + k_t v_t^\top, \quad
        o_t = S_t^\top q_t / \sqrt{d_k}, \quad
        \alpha_t = \sigma(W_2 W_1 x_t + b)^{1/\tau}

    The published block has neither convolution nor SiLU on its projections; ours are those of :class:`MatrixMemory`.

    Args:
        channels: width of input and output.
        gate_rank: rank of the gate's projection.
        temperature: :math:`\tau`; the larger, the slower the decay.
        memory: further arguments of :class:`MatrixMemory`, without ``steps``.

    Example:
        >>> GLA(8, heads=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, *, gate_rank: int = 16, temperature: float = 16.0, **memory: Any) -> None:
        super().__init__(channels, **memory)
        positive(gate_rank=gate_rank)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature
        self.decay_proj = nn.Sequential(
            nn.Linear(channels, gate_rank, bias=False), nn.Linear(gate_rank, self.heads * self.key_size)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for layer in self.decay_proj:
            layer.reset_parameters()  # type: ignore[operator]

    def remember(
        self,
        x: Float[Tensor, "tokens channels"],
        q: Float[Tensor, "tokens heads dk"],
        k: Float[Tensor, "tokens heads 1 dk"],
        v: Float[Tensor, "tokens heads 1 dv"],
        topology: Ragged,
        memory: Tensor | None,
    ) -> tuple[Float[Tensor, "tokens heads dv"], Tensor]:
        """The equation above."""
        scaled = q * self.key_size**-0.5
        return linear_attention(scaled, k.squeeze(2), v.squeeze(2), self.log_decay(x), topology, memory)

    def log_decay(self, x: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens heads dk"]:
        r""":math:`\log \alpha_t`."""
        return (logsigmoid(self.decay_proj(x)) / self.temperature).unflatten(-1, (self.heads, self.key_size))
