"""The mLSTM: linear attention with exponential gates (Beck et al. 2024, "xLSTM")."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from graphseq.scan import Ragged
from graphseq.sequence.linear_attention import linear_attention
from graphseq.sequence.matrix_memory import MatrixMemory
from graphseq.sequence.padding import pad, unpad


class MLSTMMemory(NamedTuple):
    """The state and, as its last column, the normaliser, both divided by the exponential of ``log_scale``."""

    matrix: Float[Tensor, "streams heads dk dv_and_one"]
    log_scale: Float[Tensor, "streams heads"]


class MLSTM(MatrixMemory):
    r"""The mLSTM: an input gate that is an exponential, and a read-out divided by the sum of what was written.

    .. math::
        S_t &= f_t S_{t-1} + i_t k_t v_t^\top, \quad n_t = f_t n_{t-1} + i_t k_t, \quad
        o_t = \frac{S_t^\top q_t}{\max(|n_t^\top q_t|, 1)} \\
        f_t &= \sigma(w_f x_t + b_f), \quad i_t = \exp(w_i x_t + b_i), \quad k_t \leftarrow k_t / \sqrt{d_k}

    State and normaliser are kept divided by :math:`e^{m_t}`,
    :math:`m_t = \max(\log f_t + m_{t-1}, \log i_t)`, so that no exponential overflows; the output does not depend on
    it. In the published block queries and keys alone pass the convolution, at twice the width; ours is that of
    :class:`MatrixMemory`.

    Args:
        channels: width of input and output.
        memory: further arguments of :class:`MatrixMemory`, without ``steps``.

    Example:
        >>> MLSTM(8, heads=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, **memory: Any) -> None:
        super().__init__(channels, **memory)
        self.input_gate = nn.Linear(channels, self.heads)
        self.forget_gate = nn.Linear(channels, self.heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for gate in (self.input_gate, self.forget_gate):
            gate.reset_parameters()
        with torch.no_grad():
            # Heads that forget at different rates, none of them fast, as the xLSTM starts.
            self.forget_gate.bias.copy_(torch.linspace(3, 6, self.heads))
            nn.init.normal_(self.input_gate.bias, std=0.1)

    def remember(
        self,
        x: Float[Tensor, "tokens channels"],
        q: Float[Tensor, "tokens heads dk"],
        k: Float[Tensor, "tokens heads 1 dk"],
        v: Float[Tensor, "tokens heads 1 dv"],
        topology: Ragged,
        memory: MLSTMMemory | None,
    ) -> tuple[Float[Tensor, "tokens heads dv"], MLSTMMemory]:
        """The equations above, scaled."""
        log_forget, log_input = self.gates(x)
        matrix, entering = (None, None) if memory is None else memory
        scale, before, last = _log_scale(log_forget.detach(), log_input.detach(), topology, entering)
        key = k.squeeze(2) * (log_input - scale).exp()[..., None] * self.key_size**-0.5
        value = torch.cat([v.squeeze(2), torch.ones_like(v[:, :, 0, :1])], dim=-1)
        read, matrix = linear_attention(q, key, value, log_forget + before - scale, topology, matrix)
        o, normaliser = read[..., :-1], read[..., -1:]
        # After a large input gate exp(-m) underflows, and a query that meets nothing would read 0 / 0.
        least = (-scale).exp().clamp(min=torch.finfo(scale.dtype).tiny ** 0.5)
        return o / torch.maximum(normaliser.abs(), least[..., None]), MLSTMMemory(matrix, last)

    def gates(
        self, x: Float[Tensor, "tokens channels"]
    ) -> tuple[Float[Tensor, "tokens heads"], Float[Tensor, "tokens heads"]]:
        r""":math:`\log f_t` and :math:`\log i_t`."""
        return logsigmoid(self.forget_gate(x)), self.input_gate(x)

    def initial_memory(self, streams: int) -> MLSTMMemory:
        """The memory before the first token of each stream."""
        new = self.out_proj.weight.new_zeros
        return MLSTMMemory(new(streams, self.heads, self.key_size, self.value_size + 1), new(streams, self.heads))


def _log_scale(
    log_forget: Tensor, log_input: Tensor, topology: Ragged, entering: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""For each token :math:`m_t` and :math:`m_{t-1}`, and for each segment the last one.

    With :math:`c_t` the sum of ``log_forget`` up to t, :math:`m_t = c_t + \max(m_0, \max_{j \le t} (\log i_j - c_j))`.
    """
    start = log_input.new_zeros(topology.num_segments, log_input.shape[1]) if entering is None else entering
    if topology.num_states == 0:
        return log_input, log_input, start
    summed = pad(log_forget, topology).cumsum(1)
    dense = summed + torch.maximum((pad(log_input, topology) - summed).cummax(1).values, start[:, None])
    with_start = torch.cat([start[:, None], dense], 1)
    last = with_start[torch.arange(topology.num_segments, device=start.device), topology.lengths]
    return unpad(dense, topology), unpad(with_start, topology), last
