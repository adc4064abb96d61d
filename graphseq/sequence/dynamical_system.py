"""Layers as one kind of linear system (Sieber et al. 2024, "Understanding the Differences in Foundation Models")."""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Inexact
from torch import Tensor
from torch.nn.functional import silu, softplus

from graphseq.scan import Ragged
from graphseq.sequence.attention import Attention
from graphseq.sequence.delta_product import DeltaProduct
from graphseq.sequence.gla import GLA
from graphseq.sequence.layer import SequenceLayer, positive
from graphseq.sequence.mamba import Mamba
from graphseq.sequence.mamba2 import Mamba2
from graphseq.sequence.matrix_memory import MatrixMemory, unit
from graphseq.sequence.mlstm import MLSTM


class DynamicalSystem(NamedTuple):
    r"""What a layer is on one sequence: a linear system that varies in time, in the form that its heads share.

    .. math::
        H_t = \Lambda_t H_{t-1} + B_t U_t, \qquad Y_t = C_t^\top H_t + D^\top U_t, \qquad y_t = M_t \, Y_t

    for each head, with a state H of n rows (those of the transition) and p columns (those of the values). M, a matrix
    for each token, joins the heads: gate, norm and output projection are linear once the sequence is known.
    :meth:`matrices` writes it out as the plain
    :math:`h_t = \Lambda_t h_{t-1} + B_t u_t`, :math:`y_t = C_t h_t + D_t u_t`.
    """

    transition: Float[Tensor, "T heads n"] | Float[Tensor, "T heads n n"]
    """Its diagonal where it is diagonal."""
    write: Float[Tensor, "T heads n r"]
    read: Float[Tensor, "T heads n"]
    skip: Float[Tensor, "heads r"]
    inputs: Float[Tensor, "T heads r p"]
    mix: Float[Tensor, "T channels heads p"]

    def states(self) -> Float[Tensor, "T heads n p"]:
        """H, token after token from zero."""
        written = self.write @ self.inputs
        H, states = torch.zeros_like(written[0]), []
        for transition, new in zip(self.transition, written, strict=True):
            H = (transition[..., None] * H if transition.dim() == 2 else transition @ H) + new
            states.append(H)
        return torch.stack(states)

    def outputs(self) -> Float[Tensor, "T channels"]:
        """What the layer gives for the sequence."""
        return torch.einsum("tchp,thp->tc", self.mix, self.read_out())

    def read_out(self) -> Float[Tensor, "T heads p"]:
        """Y, the outputs of the heads."""
        return torch.einsum("thn,thnp->thp", self.read, self.states()) + torch.einsum(
            "hr,thrp->thp", self.skip, self.inputs
        )

    def eigenvalues(self) -> Inexact[Tensor, "T heads n"]:
        """Of the transition at each token; each of them belongs to all columns of the state."""
        return self.transition if self.transition.dim() == 3 else torch.linalg.eigvals(self.transition)

    def matrices(self) -> PlainSystem:
        """The plain form, with the states of all heads in one vector: N is heads n p, so for small layers only."""
        heads, columns = self.inputs.shape[1], self.inputs.shape[3]
        one, each = (torch.eye(size, dtype=self.write.dtype, device=self.write.device) for size in (heads, columns))
        dense = torch.diag_embed(self.transition) if self.transition.dim() == 3 else self.transition
        transition = torch.einsum("thnm,hg,pq->thnpgmq", dense, one, each).flatten(1, 3).flatten(2)
        write = torch.einsum("thnr,hg,pq->thnpgrq", self.write, one, each).flatten(1, 3).flatten(2)
        read = torch.einsum("tchp,thn->tchnp", self.mix, self.read).flatten(2)
        skip = torch.einsum("tchp,hr->tchrp", self.mix, self.skip).flatten(2)
        return PlainSystem(transition, write, read, skip)


class PlainSystem(NamedTuple):
    r""":math:`h_t = \Lambda_t h_{t-1} + B_t u_t, \; y_t = C_t h_t + D_t u_t`, with u the inputs of a token."""

    transition: Float[Tensor, "T N N"]
    write: Float[Tensor, "T N M"]
    read: Float[Tensor, "T channels N"]
    skip: Float[Tensor, "T channels M"]


@functools.singledispatch
def to_dsf(layer: SequenceLayer, x: Float[Tensor, "T channels"], *, order: int = 8) -> DynamicalSystem:
    r"""The linear system that a layer is on a sequence.

    ============================================== ======================== ===================== ====================
    layer                                          :math:`\Lambda_t`        :math:`B_t`           :math:`C_t`
    ============================================== ======================== ===================== ====================
    :class:`Attention`                             1                        ψ(k)                  ψ(q) / η
    :class:`GLA`                                   diag α                   k                     q
    :class:`MLSTM`, a gated RNN                    f                        i k                   q / max(\|n·q\|, 1)
    :class:`Mamba`, its variants, :class:`Mamba2`  exp ΔA (or 2 exp ΔA - 1) Δ B                   C
    :class:`DeltaNet`, :class:`DeltaProduct`       products of I - β k kᵀ   β k, carried along    q
    ============================================== ======================== ===================== ====================

    Attention alone has no state of finite size: ψ is the Taylor series of the exponential in monomials of the entries
    of a key, cut off after degree ``order``, and η the sum of the weights (it depends on the query, so the output is
    divided by it).

    Args:
        layer: one of those above.
        x: one sequence.
        order: of the series, for attention; other layers are exact and do not read it. A head of size d gets
            :math:`\binom{d + order}{order}` states.

    Returns:
        The system; its ``outputs()`` equal ``layer(x)`` up to rounding, of attention up to the series' remainder (and
        without the bias of the output projection, where there is one).

    Raises:
        TypeError: if there is no such form of the layer here.

    Example:
        >>> layer, x = DeltaNet(8, heads=2, beta_max=2.0), torch.randn(5, 8)
        >>> system = to_dsf(layer, x)
        >>> torch.allclose(system.outputs(), layer(x[None])[0], atol=1e-5)
        True
        >>> system.eigenvalues().shape
        torch.Size([5, 2, 4])
    """
    raise TypeError(f"layer must be attention, or have a matrix or selective state, got {layer!r}")


@to_dsf.register
def _attention(layer: Attention, x: Tensor, *, order: int = 8) -> DynamicalSystem:
    positive(order=order)
    q, k, v = layer.heads_of(x, torch.arange(x.shape[0], device=x.device))
    query, key = (_monomials(part * layer.size**-0.25, order) for part in (q, k))
    weight = torch.einsum("thn,thn->th", query, key.cumsum(0))
    return DynamicalSystem(
        torch.ones_like(key),
        key[..., None],
        query / weight[..., None],
        x.new_zeros(layer.heads, 1),
        v[:, :, None],
        _projection(layer.out_proj.weight, torch.ones_like(v)),
    )


def _monomials(x: Float[Tensor, "T heads d"], order: int) -> Float[Tensor, "T heads n"]:
    r"""Features ψ with :math:`\psi(q) \cdot \psi(k) = \sum_{j \le order} (q \cdot k)^j / j!`.

    One for each monomial :math:`x^\alpha` of degree up to ``order``, over the square root of :math:`\alpha!`.
    """
    features = []
    for degree in range(order + 1):
        for chosen in itertools.combinations_with_replacement(range(x.shape[-1]), degree):
            factorials = math.prod(math.factorial(chosen.count(index)) for index in set(chosen))
            features.append(x[..., list(chosen)].prod(-1) / math.sqrt(factorials))
    return torch.stack(features, -1)


@to_dsf.register
def _mamba(layer: Mamba, x: Tensor, *, order: int = 8) -> DynamicalSystem:
    a, z = layer.in_proj(x).chunk(2, dim=-1)
    a, _ = layer.conv1d(a, Ragged.equal(1, x.shape[0], x.device))
    delta, A, B, C = layer.selected(a)
    delta = softplus(delta + layer.dt_proj.bias)
    return DynamicalSystem(
        layer.decay(delta[..., None] * A),
        (delta[..., None] * B[:, None])[..., None],
        C[:, None].expand(-1, a.shape[1], -1),
        layer.D[:, None],
        a[..., None, None],
        _projection(layer.out_proj.weight, silu(z)[..., None]),
    )


@to_dsf.register
def _mamba2(layer: Mamba2, x: Tensor, *, order: int = 8) -> DynamicalSystem:
    (z, a, B, C, delta), _ = layer.selected(x, Ragged.equal(1, x.shape[0], x.device))
    delta = softplus(delta + layer.dt_bias)
    B, C = (part.repeat_interleave(layer.heads // layer.groups, dim=1) for part in (B, C))
    gate = silu(z).unflatten(-1, (layer.heads, layer.head_size))
    system = DynamicalSystem(
        torch.exp(-delta * layer.A_log.exp())[..., None].expand(-1, -1, layer.state_size),
        (delta[..., None] * B)[..., None],
        C,
        layer.D[:, None],
        a.unflatten(-1, (layer.heads, 1, layer.head_size)),
        gate[:, None],
    )
    gated = (system.read_out() * gate).flatten(1)
    scale = layer.norm.weight * gated.square().mean(-1, keepdim=True).add(layer.norm.eps or 0.0).rsqrt()
    return system._replace(mix=_projection(layer.out_proj.weight, gate * scale.view_as(gate)))


@to_dsf.register
def _matrix_memory(layer: MatrixMemory, x: Tensor, *, order: int = 8) -> DynamicalSystem:
    qkv, _ = layer.conv1d(layer.in_proj(x), Ragged.equal(1, x.shape[0], x.device))
    q, k, v = layer.heads_of(qkv)
    transition, write, read = _memory(layer, x, q, k)
    system = DynamicalSystem(transition, write, read, x.new_zeros(layer.heads, layer.steps), v, v[:, None, :, 0])
    o = system.read_out()
    scale = layer.norm.weight * o.square().mean(-1, keepdim=True).add(layer.norm.eps or 0.0).rsqrt()
    gate = 1.0 if layer.gate_proj is None else silu(layer.gate_proj(x)).view_as(o)
    return system._replace(mix=_projection(layer.out_proj.weight, gate * scale))


@functools.singledispatch
def _memory(layer: MatrixMemory, x: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Λ, B and C of the heads."""
    raise TypeError(f"layer must be one of graphseq's own, got {layer!r}")


@_memory.register
def _gla(layer: GLA, x: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return layer.log_decay(x).exp(), k.transpose(-1, -2), q * layer.key_size**-0.5


@_memory.register
def _mlstm(layer: MLSTM, x: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    log_forget, log_input = layer.gates(x)
    forget = log_forget.exp()[..., None].expand(q.shape)
    write = log_input.exp()[..., None] * k[:, :, 0] * layer.key_size**-0.5
    ones = write.new_ones(*write.shape[:2], 1, 1)
    nothing = write.new_zeros(layer.heads, 1)
    # The normaliser is a column more of the state, into which ones are written.
    normaliser = DynamicalSystem(forget, write[..., None], q, nothing, ones, ones).read_out()
    return forget, write[..., None], q / normaliser.abs().clamp(min=1)


@_memory.register
def _delta(layer: DeltaProduct, x: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    beta, log_decay = layer.gates(x)
    k = unit(k)
    transition = torch.eye(layer.key_size, dtype=x.dtype, device=x.device).expand(*q.shape, layer.key_size)
    write = k.new_zeros(*q.shape, 0)
    for step in range(layer.steps):
        key, scaled = k[:, :, step, :, None], beta[:, :, step, None, None] * k[:, :, step, :, None]
        transition = transition - scaled @ (key.transpose(-1, -2) @ transition)
        # What earlier steps of the token wrote passes this one too.
        write = torch.cat([write - scaled @ (key.transpose(-1, -2) @ write), scaled], -1)
    if log_decay is not None:
        transition = log_decay.exp()[..., None, None] * transition
    return transition, write, unit(q) * layer.key_size**-0.5


def _projection(
    weight: Float[Tensor, "channels inner"], scale: Float[Tensor, "T heads p"]
) -> Float[Tensor, "T channels heads p"]:
    """The output projection of heads that are scaled before it."""
    return weight.view(-1, *scale.shape[1:]) * scale[:, None]
