"""The layers of pLSTM: queries, keys and values around the scan, a norm for each head, and an output map."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import elu, rms_norm
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import reset

from graphseq.nn.check import check_like_weights
from graphseq.plstm.scan import plstm_scan, plstm_scan_four_ways
from graphseq.scan import Grid, LineGraph, Ragged, causal_conv
from graphseq.sequence import SequenceLayer


class Heads(nn.Module):
    r"""What comes before and after the scan.

    .. math::
        q = d_k^{-1/2} \, \phi(W_q x), \quad k = \phi(W_k x), \quad v = W_v x, \qquad
        z = W_o \operatorname{RMSNorm}_{\text{head}}(y)

    where :math:`\phi` is the identity or, for scores :math:`q \cdot k` that are positive,
    :math:`\operatorname{elu} + 1` (Katharopoulos et al. 2020). Where few nodes reach one, as on molecules, the norm of
    the sum of their values keeps little but the signs of the scores, and these change from step to step of training.

    Args:
        channels: width.
        heads: number of heads.
        size: width of a head; ``channels / heads`` if not given.
        positive_scores: which :math:`\phi`.

    Raises:
        ValueError: if ``heads`` does not divide ``channels``, and ``size`` is not given.
    """

    def __init__(self, channels: int, heads: int, *, size: int | None = None, positive_scores: bool = False) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads must be at least 1, got {heads}")
        if size is None and channels % heads:
            raise ValueError(f"channels must be a multiple of heads ({heads}), got {channels}")
        self.heads, self.size, self.positive_scores = heads, size or channels // heads, positive_scores
        inner = heads * self.size
        self.query, self.key, self.value = (nn.Linear(channels, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, channels, bias=False)
        self.weight = nn.Parameter(torch.empty(inner))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for linear in (self.query, self.key, self.value, self.out):
            small_init(linear)
        nn.init.ones_(self.weight)

    def split(
        self, x: Float[Tensor, "*nodes channels"], asking: Float[Tensor, "*nodes channels"] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value ``[*nodes, heads, size]``; the former two of ``asking``, if it is given."""
        asking = x if asking is None else asking
        query, key, value = (
            linear(given).unflatten(-1, (self.heads, self.size))
            for linear, given in ((self.query, asking), (self.key, asking), (self.value, x))
        )
        if self.positive_scores:
            query, key = elu(query) + 1, elu(key) + 1
        return query * self.size**-0.5, key, value

    def joined(self, y: Float[Tensor, "*nodes heads size"]) -> Float[Tensor, "*nodes channels"]:
        """What follows the scan."""
        # Gates start nearly closed, so that outputs are small against the usual epsilon.
        return self.out(rms_norm(y, y.shape[-1:], eps=1e-6).flatten(-2) * self.weight)


class PLSTM(SequenceLayer):
    """The layer on sequences: queries, keys and gates read a causal convolution, values do not; the input passes by.

    Args:
        channels: width, a multiple of ``heads``.
        heads: number of heads.
        gates: makes :class:`Gates` of tokens, such as :class:`SequencePropagation`.
        conv_size: taps of the convolution.

    Example:
        >>> PLSTM(8, 2, SequencePropagation(8, 2))(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, heads: int, gates: nn.Module, *, conv_size: int = 4) -> None:
        super().__init__(channels)
        self.heads, self.gates = Heads(channels, heads), gates
        self.conv = nn.Conv1d(channels, channels, conv_size, groups=channels)
        self.skip = nn.Parameter(torch.ones(channels))

    def reset_parameters(self) -> None:
        for part in (self.heads, self.gates, self.conv):
            reset(part)
        nn.init.ones_(self.skip)

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """Each segment, causally in its scan direction."""
        seen = causal_conv(x, self.conv.weight.squeeze(1), self.conv.bias, topology, silu=True)
        query, key, value = self.heads.split(x, seen)
        y = plstm_scan(query, key, value, **self.gates(seen)._asdict(), topology=topology)
        return self.heads.joined(y) + self.skip * x

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, heads={self.heads.heads}, gates={type(self.gates).__name__})"


class PLSTM2d(nn.Module):
    """The layer on images: the scan in four directions, added up before the norm.

    Args:
        channels: width, a multiple of ``heads``.
        heads: number of heads.
        gates: makes :class:`Gates` of cells, such as :class:`ImagePropagation`.

    Example:
        >>> PLSTM2d(8, 2, ImageDiffusion(8, 2))(torch.randn(3, 4, 5, 8)).shape
        torch.Size([3, 4, 5, 8])
    """

    def __init__(self, channels: int, heads: int, gates: nn.Module) -> None:
        super().__init__()
        self.channels = channels
        self.heads, self.gates = Heads(channels, heads), gates

    def reset_parameters(self) -> None:
        for part in (self.heads, self.gates):
            reset(part)

    def forward(self, x: Float[Tensor, "batch height width channels"]) -> Float[Tensor, "batch height width channels"]:
        """Mix the cells of each image.

        Raises:
            ValueError: if ``x`` has another shape, or is on another device than the weights.
            TypeError: if it is no tensor, or has another dtype than the weights.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a tensor, got {type(x).__name__}")
        if x.dim() != 4 or x.shape[-1] != self.channels:
            raise ValueError(f"x must have shape [batch, height, width, {self.channels}], got {list(x.shape)}")
        check_like_weights("x", x, self.heads.weight)
        batch, height, width, _ = x.shape
        grid = Grid(height, width, batch, device=x.device)
        query, key, value = self.heads.split(x)
        return self.heads.joined(plstm_scan_four_ways(query, key, value, **self.gates(x)._asdict(), topology=grid))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, heads={self.heads.heads}, gates={type(self.gates).__name__})"


class PLSTMConv(MessagePassing):
    """The layer on directed acyclic graphs.

    PyG's explainers find it: a mask of edges multiplies the state of each edge, and with it all that comes of that.

    Args:
        channels: width of nodes and edges.
        heads: number of heads, each as wide as ``channels / heads``, rounded.
        gates: makes :class:`Gates` of nodes and edges, such as :class:`GraphPropagation`.
        reverse: run against the edges.
        positive_scores: whether queries and keys are made positive first, see :class:`Heads`.
    """

    def __init__(
        self, channels: int, heads: int, gates: nn.Module, *, reverse: bool = False, positive_scores: bool = False
    ) -> None:
        super().__init__()
        self.channels, self.reverse = channels, reverse
        size = max(1, round(channels / heads)) if heads > 0 else None
        self.heads = Heads(channels, heads, size=size, positive_scores=positive_scores)
        self.gates = gates

    def reset_parameters(self) -> None:
        for part in (self.heads, self.gates):
            reset(part)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_attr: Float[Tensor, "edges channels"],
        lines: LineGraph,
        multitree: Bool[Tensor, " links"] | None = None,
        graphs: Ragged | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        """Mix nodes along the edges.

        Args:
            x: nodes.
            edge_attr: a vector of each edge.
            lines: the line graph.
            multitree: which of its links D-mode uses; see :func:`multitree_links`.
            graphs: bounds of the graphs of a batch, which lets small graphs be scanned faster.

        Raises:
            ValueError: if sizes do not fit one another, or ``multitree`` is missing in D-mode.
        """
        if isinstance(edge_attr, Tensor) and edge_attr.shape != (lines.num_states, self.channels):
            raise ValueError(
                f"edge_attr must have shape [{lines.num_states}, {self.channels}], a vector of each edge, "
                f"got {list(edge_attr.shape)}"
            )
        lines = lines.reverse() if self.reverse else lines  # type: ignore[assignment]
        gates = self.gates(x, edge_attr, lines, multitree)
        if self.explain:
            mask = self.explain_message(x.new_ones(lines.num_states, 1), x.shape[0])
            into = lines.edge_index[1]
            gates = gates._replace(source=mask * gates.source, transition=mask[into] * gates.transition)
        query, key, value = self.heads.split(x)
        y = plstm_scan(query, key, value, **gates._asdict(), topology=lines, graphs=graphs)
        return self.heads.joined(y)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.channels}, heads={self.heads.heads}, gates={type(self.gates).__name__}, "
            f"reverse={self.reverse})"
        )


def small_init(linear: nn.Linear) -> None:
    """Normal weights of variance 2 / (5 fan-in), no bias (Nguyen & Salazar 2019, as the released code has it)."""
    with torch.no_grad():
        nn.init.normal_(linear.weight, std=(2 / (5 * linear.in_features)) ** 0.5)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
