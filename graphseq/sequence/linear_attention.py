"""Gated linear attention: a matrix state that decays and has outer products added to it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.scan import Ragged, last_states, linear_scan
from graphseq.scan._structure import kept

# Tokens a chunk: within one, pairs of tokens cost a number each, or with a decay for each key channel that many.
_SCALAR_CHUNK, _VECTOR_CHUNK = 64, 16


def linear_attention(
    q: Float[Tensor, "T heads dk"],
    k: Float[Tensor, "T heads dk"],
    v: Float[Tensor, "T heads dv"],
    log_decay: Float[Tensor, "T heads"] | Float[Tensor, "T heads dk"],
    topology: Ragged,
    initial: Float[Tensor, "segments heads dk dv"] | None = None,
) -> tuple[Float[Tensor, "T heads dv"], Float[Tensor, "segments heads dk dv"]]:
    r"""Linear attention with gates, over packed segments.

    .. math::
        S_t = \operatorname{diag}(e^{g_t}) \, S_{t-1} + k_t v_t^\top, \qquad o_t = S_t^\top q_t

    Segments are cut into chunks. Within a chunk, tokens see one another by a masked product of queries and keys; from
    chunk to chunk goes only the state, by :func:`~graphseq.scan.linear_scan` (Yang et al. 2024, "Gated Linear
    Attention Transformers with Hardware-Efficient Training").

    Args:
        q: query, used as it is.
        k: key.
        v: value.
        log_decay: :math:`g \le 0`, one a head, or one for each channel of the key.
        topology: the segments.
        initial: state before each segment; zero without it.

    Returns:
        The outputs, and the state after each segment.

    Raises:
        ValueError: if ``log_decay`` has neither of its two shapes.

    Example:
        >>> one = torch.ones(3, 1, 1)
        >>> o, last = linear_attention(one, one, one, torch.full((3, 1), 0.5).log(), Ragged.equal(1, 3))
        >>> o.squeeze()
        tensor([1.0000, 1.5000, 1.7500])

    Cost: linear in the number of tokens; memory for one state a chunk and for the pairs of tokens within chunks.
    """
    by_channel = log_decay.dim() == 3
    if tuple(log_decay.shape) != tuple(q.shape if by_channel else q.shape[:2]):
        raise ValueError(
            f"log_decay must have shape {list(q.shape[:2])} or {list(q.shape)}, got {list(log_decay.shape)}"
        )
    if topology.num_states == 0:
        empty = v.new_zeros(topology.num_segments, *k.shape[1:], v.shape[2])
        return v.new_zeros(v.shape), empty if initial is None else initial
    chunks = _chunks(topology, _VECTOR_CHUNK if by_channel else _SCALAR_CHUNK)
    inside, rows = chunks.tokens >= 0, chunks.tokens.clamp(min=0)

    def chunked(values: Tensor) -> Tensor:
        """``[T, heads, …]`` to ``[chunks, heads, size, …]``, zero beyond a segment's end."""
        mask = inside.view(*inside.shape, *(1,) * (values.dim() - 1))
        return torch.where(mask, values[rows], 0).transpose(1, 2)

    query, key, value, gate = chunked(q), chunked(k), chunked(v), chunked(log_decay).cumsum(2)
    gate = gate if by_channel else gate[..., None]
    before = torch.ones(rows.shape[1], rows.shape[1], dtype=torch.bool, device=q.device).tril()
    # Exponents of pairs that are not allowed would overflow: they are replaced before the exponential.
    between = torch.where(before[..., None], gate[:, :, :, None] - gate[:, :, None], -torch.inf).exp()
    if by_channel:
        scores = torch.einsum("nhid,nhjd,nhijd->nhij", query, key, between)
    else:
        scores = (query @ key.transpose(-1, -2)) * between[..., 0]
    added = ((gate[:, :, -1:] - gate).exp() * key).transpose(-1, -2) @ value
    states = linear_scan(gate[:, :, -1, :, None].exp(), added, chunks.topology, initial=initial)
    entering = states.roll(1, 0)
    start = states.new_zeros(()) if initial is None else initial[chunks.topology.occupied]
    entering = entering.index_copy(
        0, chunks.topology.first, start.expand(chunks.topology.first.shape[0], *states.shape[1:])
    )
    out = (scores @ value + (gate.exp() * query) @ entering).transpose(1, 2)[inside]
    o = torch.empty_like(out).index_copy(0, chunks.tokens[inside], out)
    return o, last_states(states, chunks.topology, initial)


class _Chunks(NamedTuple):
    """Segments cut into chunks of one size, one segment's after another's."""

    tokens: Tensor  # [num_chunks, size] tokens in scan direction, -1 beyond the segment's end
    topology: Ragged  # the chunks of each segment


@kept
def _chunks(topology: Ragged, size: int) -> _Chunks:
    lengths = topology.lengths
    size = min(size, topology.longest)
    counts = (lengths + size - 1) // size
    if topology.num_states == topology.num_segments * topology.longest:
        # Segments of one length, of which a compiler needs to know the size alone.
        of_chunks = Ragged.equal(topology.num_segments, -(-topology.longest // size), lengths.device)
    else:
        of_chunks = Ragged(torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
    segment, step = of_chunks.segment, torch.arange(size, device=lengths.device)
    place = of_chunks.position[:, None] * size + step
    start = topology.ptr[1:][segment] - 1 if topology.reversed else topology.ptr[:-1][segment]
    tokens = start[:, None] + (-place if topology.reversed else place)
    return _Chunks(torch.where(place < lengths[segment][:, None], tokens, -1), of_chunks)
