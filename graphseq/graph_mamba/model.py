"""Graph Mamba: a whole model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Literal

from torch import nn

from graphseq.graph_mamba.encoder import BiMambaEncoder, MambaEncoder, given
from graphseq.graph_mamba.layer import GraphMambaLayer
from graphseq.graph_mamba.ordering import TieBreak
from graphseq.nn import GatedGCN, GraphModel, PositionalEncoder
from graphseq.nn.heads import Level, Pool
from graphseq.sequence import Mamba, SequenceLayer
from graphseq.sequence.layer import positive


class GraphMamba(GraphModel):
    """Graph Mamba (Behrouz & Hashemi 2024), on node tokens (m = 0) or, with ``tokens``, on neighbourhood tokens.

    Nodes are sorted by importance (``data.order_key``, or their degree) and scanned in both directions, beside a gated
    graph convolution, in each layer. The paper fixes neither widths nor depth nor normalisation: those are ours.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        out_channels: number of outputs.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features.
        positional: how to make the encoders of positions, see :class:`~graphseq.nn.GraphModel`.
        level: ``"node"``, ``"graph"`` or ``"edge"``.
        channels: width.
        layers: depth.
        state_size: states per inner channel of Mamba.
        expand: inner width of Mamba over ``channels``; less than 1 scans fewer channels than a node has.
        conv_size: taps of Mamba's convolution.
        block: the sequence model of every scan, made as ``block(channels, state_size=…, expand=…, conv_size=…)``, such
            as :class:`~graphseq.sequence.Mamba2`, or a :func:`functools.partial` of it. Of the three, those that are
            ``None`` are left out, for a block with other sizes, such as :class:`~graphseq.sequence.DeltaNet`.
        bidirectional: scan both ways (Algorithm 2 of the paper), one way, or ``"alternating"``: one way in a layer, the
            other in the next one with a scan, at half the cost.
        scan_every: of this many layers the last has a scan; the others send messages only.
        local: whether there is a message-passing branch, a :class:`~graphseq.nn.GatedGCN`; or makes another, called as
            ``local(channels)``, such as a :func:`functools.partial` of :class:`~graphseq.nn.ResidualConv`, with a norm
            and dropout of its own.
        norm: ``"batch_norm"`` or ``"layer_norm"``.
        norm_first: normalise what a layer's branches read, or else their sums, see :class:`GraphMambaLayer`.
        feed_forward: hidden width of the feed-forward blocks over ``channels``; 0 for none.
        dropout: in the scans, the gated convolution, the feed-forward blocks and the head.
        ties: the tie rule in training, random if not given.
        evaluation_ties: the tie rule in evaluation, canonical if not given.
        tokens: makes what turns each node's neighbourhood into a vector before the layers, called as
            ``tokens(channels)``, such as ``partial(NeighbourhoodEncoder, s=2)``; none means node tokens.
        pool: how a graph's nodes are pooled.
        head_layers: depth of the head.
        recompute: whether layers are computed again for the gradient, see :class:`~graphseq.nn.GraphModel`.
        validate: also search features for NaN on every call.

    Raises:
        ValueError: if ``bidirectional`` is none of the three, ``scan_every`` leaves a layer without any branch or the
            model without a scan, ``feed_forward`` is negative, or another size is not positive.

    :meth:`forward` takes ``order_key`` and ``tie_colour`` (see :func:`canonical_colour`), one number a node, as further
    keywords; of an ``order_key`` with several columns, training takes one at random, and evaluation the first. Under
    the keys that ``tokens`` needs it takes the tokens that a transform stored, or ready ones as ``tokens``. Where there
    are several samplings of them, training takes one at random, and evaluation the mean prediction of all.

    Example:
        >>> model = GraphMamba(3, 2, channels=8, layers=1)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> model(torch.randn(4, 3), edge_index, torch.tensor([0, 0, 0, 1])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        *,
        edge_channels: int | Sequence[int] | None = None,
        positional: Sequence[Callable[[int], PositionalEncoder]] = (),
        level: Level = "graph",
        channels: int = 64,
        layers: int = 4,
        state_size: int | None = 16,
        expand: int | float | None = 1,
        conv_size: int | None = 4,
        block: Callable[[int], SequenceLayer] = Mamba,
        bidirectional: bool | Literal["alternating"] = True,
        scan_every: int = 1,
        local: bool | Callable[[int], nn.Module] = True,
        norm: str = "batch_norm",
        norm_first: bool = True,
        feed_forward: int | float = 2,
        dropout: float = 0.0,
        ties: TieBreak | None = None,
        evaluation_ties: TieBreak | None = None,
        tokens: Callable[[int], nn.Module] | None = None,
        pool: Pool = "mean",
        head_layers: int = 2,
        recompute: bool = False,
        validate: bool = False,
    ) -> None:
        if bidirectional not in (True, False, "alternating"):
            raise ValueError(f'bidirectional must be True, False or "alternating", got {bidirectional!r}')
        positive(layers=layers, scan_every=scan_every)
        if scan_every > layers:
            raise ValueError(f"scan_every must be at most the number of layers ({layers}), got {scan_every}")
        if scan_every > 1 and not local:
            raise ValueError(f"scan_every must be 1 without a local branch, got {scan_every}")
        one_way = partial(MambaEncoder, norm=norm_first)
        encoders: list[Callable[..., nn.Module]] = [BiMambaEncoder if bidirectional is True else one_way]
        if bidirectional == "alternating":
            encoders.append(partial(one_way, reverse=True))
        if local is True:
            local = partial(GatedGCN, dropout=dropout, norm=norm)
        mamba = {"block": block, **given(state_size=state_size, expand=expand, conv_size=conv_size)}
        blocks: list[nn.Module] = [] if tokens is None else [tokens(channels)]
        ways = cycle(encoders)
        for layer in range(1, layers + 1):
            scans = layer % scan_every == 0
            graph_mamba_layer = GraphMambaLayer(
                channels,
                next(ways)(channels, dropout=dropout, **mamba) if scans else None,
                local(channels) if local else None,
                feed_forward=feed_forward,
                dropout=dropout,
                norm=norm,
                norm_first=norm_first,
                ties=ties,
                evaluation_ties=evaluation_ties,
            )
            blocks.append(graph_mamba_layer)
        super().__init__(
            in_channels,
            out_channels,
            blocks,
            edge_channels=edge_channels,
            positional=positional,
            level=level,
            channels=channels,
            dropout=dropout,
            pool=pool,
            head_layers=head_layers,
            recompute=recompute,
            validate=validate,
        )
