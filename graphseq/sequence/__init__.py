"""The one-dimensional family: sequence models on packed segments."""

from graphseq.sequence.conv import causal_conv
from graphseq.sequence.layer import SequenceLayer
from graphseq.sequence.mamba import BiMamba, Mamba, MambaState
from graphseq.sequence.mamba2 import Mamba2

__all__ = ["BiMamba", "Mamba", "Mamba2", "MambaState", "SequenceLayer", "causal_conv"]
