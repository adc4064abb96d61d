"""pLSTM (Pöppel et al. 2025): source, transition and mark gates on sequences, images and graphs."""

from graphseq.plstm.block import PLSTMBlock
from graphseq.plstm.gates import Gates, HeadMix
from graphseq.plstm.graph_gates import (
    GraphDiffusion,
    GraphPropagation,
    GraphPropagationIn,
    ReleasedGraphDiffusion,
    ReleasedGraphPropagation,
)
from graphseq.plstm.graph_model import PLSTMGraph
from graphseq.plstm.image_gates import (
    ImageDiffusion,
    ImagePropagation,
    ReleasedImagePropagation,
)
from graphseq.plstm.image_model import PLSTMImage
from graphseq.plstm.layer import PLSTM, Heads, PLSTM2d, PLSTMConv
from graphseq.plstm.multitree import AddMultitree, multitree_links
from graphseq.plstm.scan import plstm_scan, plstm_scan_four_ways
from graphseq.plstm.sequence_gates import SequenceDiffusion, SequencePropagation
from graphseq.plstm.sequence_model import PLSTMSequence

__all__ = [
    "PLSTM",
    "AddMultitree",
    "Gates",
    "GraphDiffusion",
    "GraphPropagation",
    "GraphPropagationIn",
    "HeadMix",
    "Heads",
    "ImageDiffusion",
    "ImagePropagation",
    "PLSTM2d",
    "PLSTMBlock",
    "PLSTMConv",
    "PLSTMGraph",
    "PLSTMImage",
    "PLSTMSequence",
    "ReleasedGraphDiffusion",
    "ReleasedGraphPropagation",
    "ReleasedImagePropagation",
    "SequenceDiffusion",
    "SequencePropagation",
    "multitree_links",
    "plstm_scan",
    "plstm_scan_four_ways",
]
