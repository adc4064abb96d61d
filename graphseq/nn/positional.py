"""Positional and structural encodings of nodes, made by a transform, into channels (Rampášek et al. 2022, GraphGPS)."""

from __future__ import annotations

import abc
import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphseq.nn.check import check_like_weights, check_rows
from graphseq.nn.norm import node_norm
from graphseq.scan import Ragged


class PositionalEncoder(nn.Module, abc.ABC):
    """From what a transform stored under :attr:`key` to a vector a node.

    A :class:`GraphModel` is given how to make it, as ``positional=[RandomWalkEncoder]`` or, with other arguments,
    ``positional=[partial(RandomWalkEncoder, steps=8)]``, and calls that with the width.
    """

    key: str
    """The key of ``Data`` that it reads."""

    @abc.abstractmethod
    def forward(self, encoding: Tensor, segments: Ragged) -> Float[Tensor, "nodes channels"]:
        """Encode the nodes of the graphs in ``segments``."""


class RandomWalkEncoder(PositionalEncoder):
    r"""RWSE: probabilities of being back after :math:`1, \dots, k` steps, normalised over nodes, through a linear map.

    .. math::
        p_v = W \operatorname{BN}\bigl((D^{-1}A)_{vv}, (D^{-1}A)^2_{vv}, \dots, (D^{-1}A)^k_{vv}\bigr) + b

    They come from PyG's ``AddRandomWalkPE(k)``, which computes what GraphGPS does: out-degrees, zero for a node without
    edges. Two things differ for unusual graphs: PyG uses ``edge_weight`` if there is one, and up to 2,000 nodes counts
    an edge once however often it is listed. Any other real columns can be read the same way under another ``key``.

    Args:
        channels: width of the result.
        steps: number of columns.
        key: where they are; PyG's default.

    Example:
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.transforms import AddRandomWalkPE
        >>> path = AddRandomWalkPE(4)(Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3))
        >>> path.random_walk_pe[0]
        tensor([0.0000, 0.5000, 0.0000, 0.5000])
        >>> RandomWalkEncoder(8, steps=4)(path.random_walk_pe, Ragged(torch.tensor([0, 3]))).shape
        torch.Size([3, 8])
    """

    def __init__(self, channels: int, *, steps: int = 20, key: str = "random_walk_pe") -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.channels, self.steps, self.key = channels, steps, key
        self.norm = node_norm("batch_norm", steps)
        self.linear = nn.Linear(steps, channels)

    def reset_parameters(self) -> None:
        for layer in (self.norm, self.linear):
            reset(layer)

    def forward(self, encoding: Float[Tensor, "nodes steps"], segments: Ragged) -> Float[Tensor, "nodes channels"]:
        """Encode.

        Raises:
            ValueError: if there is another number of rows or columns, or they are on another device.
            TypeError: if the dtype is not that of the weights.
        """
        if encoding.dim() != 2 or encoding.shape[1] != self.steps:
            raise ValueError(f"{self.key} must have shape [nodes, {self.steps}], got {list(encoding.shape)}")
        check_rows(self.key, encoding, segments.num_states, "nodes of segments")
        check_like_weights(self.key, encoding, self.linear.weight)
        return self.linear(self.norm(encoding))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, steps={self.steps}, key={self.key!r})"


class LaplacianEncoder(PositionalEncoder):
    r"""LapPE: a node's entries in eigenvectors of the Laplacian beside their eigenvalues, as a set of pairs.

    .. math::
        p_v = \sum_{i=1}^{k} \operatorname{MLP}\bigl(\sigma_i \phi_i(v), \lambda_i\bigr)

    the form that GraphGPS calls *DeepSet*, without norm before and MLP behind: two layers of width
    :math:`2 \cdot` ``channels`` and ``channels``, each followed by a ReLU. Pairs that a small graph lacks add nothing.
    Signs :math:`\sigma_i` are random in training, as the sign of an eigenvector means nothing, and 1 in evaluation.
    GraphGPS draws one sign a column for all graphs of a batch, here each graph has signs of its own.

    Args:
        channels: width of the result.
        frequencies: number of pairs :math:`k`.
        layers: depth of the MLP.
        key: where they are; that of :class:`graphseq.data.AddLaplacianPE`.
    """

    def __init__(self, channels: int, *, frequencies: int = 10, layers: int = 2, key: str = "laplacian_pe") -> None:
        super().__init__()
        for name, value in (("frequencies", frequencies), ("layers", layers)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.channels, self.frequencies, self.key = channels, frequencies, key
        widths = [2, *[2 * channels] * (layers - 1), channels]
        pairs = itertools.pairwise(widths)
        self.mlp = nn.Sequential(*(nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in pairs))

    def reset_parameters(self) -> None:
        reset(self.mlp)

    def forward(
        self, encoding: Float[Tensor, "nodes frequencies 2"], segments: Ragged
    ) -> Float[Tensor, "nodes channels"]:
        """Encode.

        Raises:
            ValueError: if there is another number of rows or pairs, or they are on another device.
            TypeError: if the dtype is not that of the weights.
        """
        if encoding.dim() != 3 or encoding.shape[1:] != (self.frequencies, 2):
            raise ValueError(f"{self.key} must have shape [nodes, {self.frequencies}, 2], got {list(encoding.shape)}")
        check_rows(self.key, encoding, segments.num_states, "nodes of segments")
        check_like_weights(self.key, encoding, next(self.mlp.parameters()))
        there = ~encoding[..., :1].isnan()
        entry, value = encoding.nan_to_num().unbind(-1)
        if self.training:
            signs = torch.randint(2, (segments.num_segments, self.frequencies), device=entry.device) * 2 - 1
            entry = entry * signs[segments.segment]
        return (self.mlp(torch.stack([entry, value], dim=-1)) * there).sum(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, frequencies={self.frequencies}, key={self.key!r})"
