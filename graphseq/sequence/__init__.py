"""The one-dimensional family: sequence models on packed segments."""

import torch

from graphseq.sequence.conv import CausalConv, causal_conv
from graphseq.sequence.delta_net import DeltaNet
from graphseq.sequence.delta_product import DeltaProduct
from graphseq.sequence.divergent_mamba import DivergentMamba
from graphseq.sequence.gated_delta_net import GatedDeltaNet
from graphseq.sequence.gla import GLA
from graphseq.sequence.importance_order import ImportanceOrder
from graphseq.sequence.layer import SequenceLayer, StreamingLayer, episodes
from graphseq.sequence.linear_attention import linear_attention
from graphseq.sequence.mamba import BiMamba, Mamba, MambaState
from graphseq.sequence.mamba2 import Mamba2, Mamba2State
from graphseq.sequence.matrix_memory import MatrixMemory, MatrixState
from graphseq.sequence.mlstm import MLSTM, MLSTMMemory
from graphseq.sequence.signed_mamba import SignedMamba

# Saved states are loaded with weights_only=True, which must know their types.
torch.serialization.add_safe_globals([Mamba2State, MambaState, MatrixState, MLSTMMemory])

__all__ = [
    "GLA",
    "MLSTM",
    "BiMamba",
    "CausalConv",
    "DeltaNet",
    "DeltaProduct",
    "DivergentMamba",
    "GatedDeltaNet",
    "ImportanceOrder",
    "MLSTMMemory",
    "Mamba",
    "Mamba2",
    "Mamba2State",
    "MambaState",
    "MatrixMemory",
    "MatrixState",
    "SequenceLayer",
    "SignedMamba",
    "StreamingLayer",
    "causal_conv",
    "episodes",
    "linear_attention",
]
