"""DeltaProduct (Siems et al. 2025): several Householder steps a token."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphseq.scan import Ragged, delta_scan
from graphseq.sequence.layer import set_step_bias
from graphseq.sequence.matrix_memory import MatrixMemory, unit


class DeltaProduct(MatrixMemory):
    r"""Delta rule with :math:`n` steps a token, and on request a gate.

    .. math::
        S_t = e^{g_t} \Bigl( \textstyle\prod_{j=n}^{1} (I - \beta_{t,j} k_{t,j} k_{t,j}^\top) \Bigr) S_{t-1} + W_t,
        \qquad o_t = S_t^\top q_t / \sqrt{d_k}

    :math:`W_t` is what the steps write (see :func:`~graphseq.scan.delta_scan`), queries and keys have length one and
    :math:`\beta = \beta_{max} \, \sigma(W_\beta x)`. The eigenvalue along a key is :math:`1 - \beta`: with
    :math:`\beta_{max} = 1` it lies in [0, 1], with 2 in [-1, 1], and then one step reflects (parity) and two rotate
    (counting; the symmetries of a triangle). The gate is that of Gated DeltaNet,
    :math:`g = -e^{A_{log}} \operatorname{softplus}(w x + b)`.

    Args:
        channels: width of input and output.
        steps: Householder steps a token, :math:`n`.
        beta_max: :math:`\beta_{max}`, in (0, 2].
        gated: whether the state decays by :math:`e^g`.
        memory: further arguments of :class:`MatrixMemory`.

    Raises:
        ValueError: if ``beta_max`` is not in (0, 2], beyond which the state would grow.

    Example:
        >>> DeltaProduct(8, heads=2, steps=2, beta_max=2.0)(torch.randn(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(
        self, channels: int, *, steps: int = 2, beta_max: float = 1.0, gated: bool = False, **memory: Any
    ) -> None:
        super().__init__(channels, steps=steps, **memory)
        if not 0 < beta_max <= 2:
            raise ValueError(f"beta_max must be in (0, 2], got {beta_max}")
        self.beta_max, self.gated = beta_max, gated
        self.beta_proj = nn.Linear(channels, self.heads * steps)
        if gated:
            self.decay_proj = nn.Linear(channels, self.heads, bias=False)
            self.dt_bias = nn.Parameter(torch.empty(self.heads))
            self.A_log = nn.Parameter(torch.empty(self.heads))
            for parameter in (self.dt_bias, self.A_log):
                parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.beta_proj.reset_parameters()
        if self.gated:
            self.decay_proj.reset_parameters()
            set_step_bias(self.dt_bias, 1e-3, 0.1)
            with torch.no_grad():
                # Not from 0, whose logarithm is no parameter.
                self.A_log.copy_(torch.empty_like(self.A_log).uniform_(1e-3, 16).log())

    def remember(
        self,
        x: Float[Tensor, "tokens channels"],
        q: Float[Tensor, "tokens heads dk"],
        k: Float[Tensor, "tokens heads steps dk"],
        v: Float[Tensor, "tokens heads steps dv"],
        topology: Ragged,
        memory: Tensor | None,
    ) -> tuple[Float[Tensor, "tokens heads dv"], Tensor]:
        """The equation above."""
        beta, log_decay = self.gates(x)
        o, last = delta_scan(
            unit(q) * self.key_size**-0.5,
            unit(k),
            v,
            beta,
            log_decay=log_decay,
            topology=topology,
            initial=memory,
            return_last=True,
        )
        return o, last  # type: ignore[return-value]

    def gates(
        self, x: Float[Tensor, "tokens channels"]
    ) -> tuple[Float[Tensor, "tokens heads steps"], Float[Tensor, "tokens heads"] | None]:
        r""":math:`\beta` of each step and, of a gated layer, :math:`g`."""
        beta = self.beta_max * self.beta_proj(x).sigmoid().unflatten(-1, (self.heads, self.steps))
        return beta, -self.A_log.exp() * softplus(self.decay_proj(x) + self.dt_bias) if self.gated else None

    def sizes(self) -> dict[str, Any]:
        return {**super().sizes(), "steps": self.steps, "beta_max": self.beta_max}
