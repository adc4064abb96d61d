"""The one-dimensional family: sequence models on packed segments."""

import torch

from graphseq.sequence.attention import Attention, AttentionState
from graphseq.sequence.conv import CausalConv
from graphseq.sequence.delta_net import DeltaNet
from graphseq.sequence.delta_product import DeltaProduct
from graphseq.sequence.discretise import bilinear, zero_order_hold
from graphseq.sequence.divergent_mamba import DivergentMamba
from graphseq.sequence.dss import DSS, DSSExp, DSSSoftmax
from graphseq.sequence.dynamical_system import DynamicalSystem, PlainSystem, to_dsf
from graphseq.sequence.filter import FilterLayer, FilterState, fft_conv
from graphseq.sequence.gated_delta_net import GatedDeltaNet
from graphseq.sequence.gla import GLA
from graphseq.sequence.hippo import Diagonal, inv, legs, legs_normal, legs_spectrum, legt, lin, real
from graphseq.sequence.importance_order import ImportanceOrder
from graphseq.sequence.layer import SequenceLayer, StreamingLayer, episodes
from graphseq.sequence.linear_attention import linear_attention
from graphseq.sequence.long_conv import LongConv, LongConvState
from graphseq.sequence.lru import LRU
from graphseq.sequence.lssl import LSSL
from graphseq.sequence.mamba import BiMamba, Mamba, MambaState
from graphseq.sequence.mamba2 import Mamba2, Mamba2State
from graphseq.sequence.mamba_mixer import MambaMixer
from graphseq.sequence.matrix_memory import MatrixMemory, MatrixState
from graphseq.sequence.mlstm import MLSTM, MLSTMMemory
from graphseq.sequence.model import LAYERS, PathModel, SequenceModel
from graphseq.sequence.pictures import plot_eigenvalues
from graphseq.sequence.ptd import S4PTD, S5PTD, perturbed_legs
from graphseq.sequence.s4d import S4D
from graphseq.sequence.s5 import S5, BiS5
from graphseq.sequence.signed_mamba import SignedMamba

# Saved states are loaded with weights_only=True, which must know their types.
torch.serialization.add_safe_globals(
    [AttentionState, FilterState, LongConvState, Mamba2State, MambaState, MatrixState, MLSTMMemory]
)

__all__ = [
    "DSS",
    "GLA",
    "LAYERS",
    "LRU",
    "LSSL",
    "MLSTM",
    "S4D",
    "S4PTD",
    "S5",
    "S5PTD",
    "Attention",
    "AttentionState",
    "BiMamba",
    "BiS5",
    "CausalConv",
    "DSSExp",
    "DSSSoftmax",
    "DeltaNet",
    "DeltaProduct",
    "Diagonal",
    "DivergentMamba",
    "DynamicalSystem",
    "FilterLayer",
    "FilterState",
    "GatedDeltaNet",
    "ImportanceOrder",
    "LongConv",
    "LongConvState",
    "MLSTMMemory",
    "Mamba",
    "Mamba2",
    "Mamba2State",
    "MambaMixer",
    "MambaState",
    "MatrixMemory",
    "MatrixState",
    "PathModel",
    "PlainSystem",
    "SequenceLayer",
    "SequenceModel",
    "SignedMamba",
    "StreamingLayer",
    "bilinear",
    "episodes",
    "fft_conv",
    "inv",
    "legs",
    "legs_normal",
    "legs_spectrum",
    "legt",
    "lin",
    "linear_attention",
    "perturbed_legs",
    "plot_eigenvalues",
    "real",
    "to_dsf",
    "zero_order_hold",
]
