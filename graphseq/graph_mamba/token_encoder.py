"""From a token to a vector: message passing on its subgraph, or features read along its walks."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu
from torch_geometric.nn.inits import reset
from torch_geometric.utils import scatter

from graphseq.graph_mamba.edge_set import EdgeSet
from graphseq.graph_mamba.token_data import SAMPLES_KEY, TOKEN_KEYS, WALK_KEY, stored_tokens
from graphseq.graph_mamba.tokens import TokenBatch
from graphseq.graph_mamba.walk_batch import WalkBatch
from graphseq.nn import GatedGCN

Readout: TypeAlias = Literal["root", "mean", "sum", "root_mean"]


class TokenEncoder(nn.Module, abc.ABC):
    """A map from the tokens of some roots to a vector each, called as ``encoder(x, edge_attr, tokens)``."""

    needs: ClassVar[tuple[str, ...]]
    """Keys of ``Data`` that hold the tokens."""

    @abc.abstractmethod
    def read(self, stored: Mapping[str, Any], edge_index: Tensor, num_nodes: int) -> TokenBatch | WalkBatch:
        """The tokens under these keys."""

    @abc.abstractmethod
    def forward(self, x: Tensor, edge_attr: Tensor, tokens: Any) -> Tensor:
        """One vector a token, root by root, ``[roots, per_root, channels]``."""


class SubgraphEncoder(TokenEncoder):
    r"""Gated graph convolutions on the disjoint union of all tokens, then a readout.

    The paper names the convolution, but neither its depth nor the readout: both are ours, as is layer norm, with which
    a token's vector does not depend on what is encoded beside it. An edge stands in many tokens, and PyG's explainers
    do not reach it there: their masks of edges act on the layers of :class:`GraphMamba` alone.

    Args:
        channels: width.
        layers: depth.
        readout: ``"root"``, the vector of the root; ``"mean"`` or ``"sum"`` over the token; ``"root_mean"``, a
            projection of the root's vector beside the mean.
        dropout: in the convolutions.

    Raises:
        ValueError: if there is no such readout.
    """

    needs = (*TOKEN_KEYS, SAMPLES_KEY)

    def __init__(self, channels: int, *, layers: int = 1, readout: Readout = "mean", dropout: float = 0.0) -> None:
        super().__init__()
        if readout not in ("root", "mean", "sum", "root_mean"):
            raise ValueError(f"readout must be 'root', 'mean', 'sum' or 'root_mean', got {readout!r}")
        self.channels, self.readout = channels, readout
        convolutions = [GatedGCN(channels, dropout=dropout, norm="layer_norm") for _ in range(layers)]
        for convolution in convolutions:
            # Their edges are those of the tokens: a mask of the graph's edges would not fit.
            convolution.explain = False
        for last in convolutions[-1:]:
            last.leave_edges()
        self.layers = nn.ModuleList(convolutions)
        self.joint = nn.Linear(2 * channels, channels) if readout == "root_mean" else None

    @property
    def reads_edges(self) -> bool:
        """Whether the vectors of edges have any effect."""
        return len(self.layers) > 0

    def reset_parameters(self) -> None:
        for layer in (*self.layers, self.joint):
            reset(layer)

    def read(self, stored: Mapping[str, Any], edge_index: Tensor, num_nodes: int) -> TokenBatch:
        return stored_tokens(stored, num_nodes)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_attr: Float[Tensor, "edges channels"],
        tokens: TokenBatch,
    ) -> Float[Tensor, "roots per_root channels"]:
        h, e = x[tokens.member], edge_attr[tokens.edge_id]
        for layer in self.layers:
            h, e = layer(h, tokens.edge_index, e)
        return self._read_out(h, tokens).view(tokens.root.numel(), tokens.per_root, self.channels)

    def _read_out(self, h: Tensor, tokens: TokenBatch) -> Tensor:
        if self.readout == "root":
            return h[tokens.root_member]
        reduce = "sum" if self.readout == "sum" else "mean"
        pooled = scatter(h, tokens.token, dim=0, dim_size=tokens.num_tokens, reduce=reduce)
        return pooled if self.joint is None else self.joint(torch.cat([h[tokens.root_member], pooled], dim=1))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, layers={len(self.layers)}, readout={self.readout!r})"


class WalkEncoder(TokenEncoder):
    r"""Random-walk features (Tönshoff et al. 2023, "Walking Out of the Weisfeiler Leman Hierarchy"), convolved.

    At place :math:`i` of a walk stand four things: the vector of :math:`w_i`; that of the edge from :math:`w_{i-1}`,
    zero at the start and where the walk stayed without one; for :math:`j = 1 \dots q` whether :math:`w_i = w_{i-j}`;
    and for :math:`j = 2 \dots q` whether there is an edge from :math:`w_i` to :math:`w_{i-j}`. A stack of 1-D
    convolutions runs over them, and the mean over all places of all walks of a token is its vector. No induced subgraph
    is needed. Window, depth, activation and mean are ours.

    Args:
        channels: width.
        m: the longest walk of :class:`AddTokenWalks`.
        M: its walks in a token.
        s: its tokens of each length.
        include_root: whether the walk of length 0, the root alone, is a token too.
        window: :math:`q`, how far back bits look.
        kernel_size: taps of a convolution, odd.
        layers: depth.
        dropout: after each activation.

    Raises:
        ValueError: if ``window`` or ``layers`` is below 1, or ``kernel_size`` is not odd.
    """

    needs = (WALK_KEY,)

    def __init__(
        self,
        channels: int,
        *,
        m: int,
        M: int,
        s: int,
        include_root: bool = True,
        window: int = 4,
        kernel_size: int = 3,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("window", window), ("layers", layers)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.channels, self.window, self.dropout = channels, window, dropout
        self.m, self.M, self.s, self.include_root = m, M, s, include_root
        widths = [2 * channels + 2 * window - 1] + [channels] * layers
        self.layers = nn.ModuleList(
            nn.Conv1d(width, channels, kernel_size, padding=kernel_size // 2) for width in widths[:-1]
        )

    def reset_parameters(self) -> None:
        reset(self.layers)

    def read(self, stored: Mapping[str, Any], edge_index: Tensor, num_nodes: int) -> WalkBatch:
        widths = [self.s * self.M * (length + 1) for length in range(self.m, 0, -1)]
        walks = stored.get(WALK_KEY)
        once = sum(widths)
        samples = 1 if walks is None or walks.dim() != 2 or not once else walks.shape[1] // once
        if walks is None or walks.shape != (num_nodes, samples * once) or samples < 1:
            got = None if walks is None else list(walks.shape)
            raise ValueError(
                f"{WALK_KEY} must have shape {[num_nodes, once]}, or a multiple of as many columns for several "
                f"samplings (see AddTokenWalks), got {got}"
            )
        by_length: list[Tensor] = []
        for sampling in walks.split(once, dim=1) if once else [walks]:
            by_length += [
                part.reshape(num_nodes, self.s, self.M, width // (self.s * self.M))
                for part, width in zip(sampling.split(widths, dim=1), widths, strict=True)
            ]
            if self.include_root:
                by_length.append(torch.arange(num_nodes, device=walks.device).view(-1, 1, 1, 1))
        return WalkBatch(tuple(by_length), EdgeSet(edge_index, num_nodes), num_nodes, samples)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_attr: Float[Tensor, "edges channels"],
        tokens: WalkBatch,
    ) -> Float[Tensor, "roots per_root channels"]:
        encoded = [self._encode(x, edge_attr, walks, tokens) for walks in tokens.walks]
        return torch.cat(encoded, dim=1) if encoded else x.new_zeros(tokens.num_roots, 0, self.channels)

    def _encode(
        self, x: Tensor, edge_attr: Tensor, walks: Int[Tensor, "roots samples walks visits"], tokens: WalkBatch
    ) -> Tensor:
        roots, samples, M, _ = walks.shape
        h = self.features(x, edge_attr, walks.flatten(0, 2), tokens).transpose(1, 2)
        for layer in self.layers:
            h = dropout(gelu(layer(h)), self.dropout, self.training)
        return h.mean(2).view(roots, samples, M, self.channels).mean(2)

    def features(
        self, x: Tensor, edge_attr: Tensor, walk: Int[Tensor, "walks visits"], tokens: WalkBatch
    ) -> Float[Tensor, "walks visits features"]:
        """The four things, side by side."""
        walked = tokens.edges.first(walk[:, :-1].flatten(), walk[:, 1:].flatten()).view(walk[:, 1:].shape)
        # An edge that is not there points past the end, at a row of zeros.
        arrival = torch.cat([edge_attr, edge_attr.new_zeros(1, edge_attr.shape[1])])[walked]
        arrival = torch.cat([arrival.new_zeros(len(walk), 1, arrival.shape[2]), arrival], dim=1)
        bits = x.new_zeros(*walk.shape, 2 * self.window - 1)
        for back in range(1, min(self.window, walk.shape[1] - 1) + 1):
            now, then = walk[:, back:], walk[:, :-back]
            bits[:, back:, back - 1] = (now == then).to(x.dtype)
            if back > 1:
                joined = tokens.edges.first(now.flatten(), then.flatten()).view(now.shape) >= 0
                bits[:, back:, self.window + back - 2] = joined.to(x.dtype)
        return torch.cat([x[walk], arrival, bits], dim=2)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, window={self.window}, layers={len(self.layers)})"
