"""pLSTM (Pöppel et al. 2025): source, transition and mark gates on sequences, images and graphs."""

from graphseq.plstm.gates import Gates, HeadMix
from graphseq.plstm.graph_gates import (
    GraphDiffusion,
    GraphPropagation,
    GraphPropagationIn,
    ReleasedGraphDiffusion,
    ReleasedGraphPropagation,
)
from graphseq.plstm.image_gates import (
    ImageDiffusion,
    ImagePropagation,
    ReleasedImagePropagation,
)
from graphseq.plstm.multitree import AddMultitree, multitree_links
from graphseq.plstm.scan import plstm_scan, plstm_scan_four_ways
from graphseq.plstm.sequence_gates import SequenceDiffusion, SequencePropagation

__all__ = [
    "AddMultitree",
    "Gates",
    "GraphDiffusion",
    "GraphPropagation",
    "GraphPropagationIn",
    "HeadMix",
    "ImageDiffusion",
    "ImagePropagation",
    "ReleasedGraphDiffusion",
    "ReleasedGraphPropagation",
    "ReleasedImagePropagation",
    "SequenceDiffusion",
    "SequencePropagation",
    "multitree_links",
    "plstm_scan",
    "plstm_scan_four_ways",
]
