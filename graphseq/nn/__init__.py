"""What graph models share above the scan: feature encoders, heads, the gated convolution, the skeleton of a model."""

from graphseq.nn.block import GraphBlock
from graphseq.nn.encoders import CategoricalEncoder, feature_encoder
from graphseq.nn.gated_gcn import GatedGCN
from graphseq.nn.heads import EdgeHead, GraphHead, NodeHead
from graphseq.nn.image import ImageModel
from graphseq.nn.model import GraphModel
from graphseq.nn.norm import node_norm
from graphseq.nn.positional import LaplacianEncoder, PositionalEncoder, RandomWalkEncoder
from graphseq.nn.recompute import recomputed
from graphseq.nn.residual_conv import ResidualConv

__all__ = [
    "CategoricalEncoder",
    "EdgeHead",
    "GatedGCN",
    "GraphBlock",
    "GraphHead",
    "GraphModel",
    "ImageModel",
    "LaplacianEncoder",
    "NodeHead",
    "PositionalEncoder",
    "RandomWalkEncoder",
    "ResidualConv",
    "feature_encoder",
    "node_norm",
    "recomputed",
]
