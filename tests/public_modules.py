"""A small instance of every public module, by package and name."""

import importlib
import inspect

import torch
from torch import nn
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.models.tgn import TimeEncoder

from graphseq.graph_mamba import BiMambaEncoder
from graphseq.nn import GatedGCN
from graphseq.plstm import GraphPropagation, ImagePropagation, SequencePropagation
from graphseq.sequence import Mamba
from graphseq.spen import Symmetric

PACKAGES = ("nn", "sequence", "graph_mamba", "plstm", "chimera", "spen", "semba", "connectome")

# What is made in another way than by its width alone.
_ARGUMENTS = {
    "nn.CategoricalEncoder": ([3, 4], 8),
    "nn.EdgeHead": (8, 2),
    "nn.GraphHead": (8, 2),
    "nn.NodeHead": (8, 2),
    "nn.ImageModel": (1, 3, [nn.Linear(8, 8)]),
    "nn.GraphModel": (3, 2, []),
    "nn.LaplacianEncoder": (8,),
    "nn.ResidualConv": (8, SAGEConv),
    "sequence.CausalConv": (8, 4),
    "sequence.SequenceModel": (3, 2),
    "graph_mamba.GraphMamba": (3, 2),
    "graph_mamba.NeighbourhoodEncoder": (8, 2),
    "plstm.PLSTMGraph": (3, 2),
    "plstm.PLSTMImage": (1, 3),
    "plstm.PLSTMSequence": (3, 2),
    "chimera.TPGN": (48, 24, 3),
    "chimera.WindowNorm": (),
    "spen.SPEN": (3, 2),
    "spen.EquivariantMap": (1, 1, 3, 4),
    "spen.InvariantReadout": ((3, 3), 4),
    "spen.SPENLayer": ((3, 3), 4),
    "semba.GRUSEMBA": ((6,), 1),
    "semba.TGN": ((6,), 1),
    "semba.ScanSEMBA": ((6,), 1),
    "semba.EventNetwork": ((6,), 1),
    "semba.GRUStore": (5, 3, 4, 4),
    "sequence.PathModel": (3, 2),
    "chimera.TSM2": (48, 24),
    "chimera.ChimeraForecaster": (48, 24),
    "chimera.ChimeraReconstructor": (),
    "chimera.ChimeraSeries": (3, 2),
    "chimera.ChimeraTrunk": (8, 2),
    "chimera.LinearForecaster": (48, 24),
    "semba.GRUUpdater": (3, 4, 4),
    "semba.LastAggregator": (),
    "semba.LinearDecoder": (4, 2),
    "semba.PairDecoder": (4, 2),
    "semba.ReleasedGRUUpdater": (3, 4, 4),
    "semba.ScanStore": (5, 3, 4),
    "semba.SignedMemory": (5, 3, 4),
    "semba.SignedScan": (3, 4),
    "connectome.HMMGLM": (2, 3),
    "connectome.ExponentialFilter": (0.5,),
    "connectome.FreeConnections": (2, 3, 1.0),
    **{
        f"plstm.{name}": (8, 2)
        for name in (
            "GraphDiffusion",
            "GraphPropagation",
            "GraphPropagationIn",
            "ImageDiffusion",
            "ImagePropagation",
            "ReleasedGraphDiffusion",
            "ReleasedGraphPropagation",
            "ReleasedImagePropagation",
            "SequenceDiffusion",
            "SequencePropagation",
        )
    },
}
_OPTIONS = {
    "nn.GraphModel": {"channels": 8},
    "nn.ImageModel": {"channels": 8, "patch": 2, "image": 8},
    "sequence.GLA": {"heads": 2},
    "sequence.MLSTM": {"heads": 2},
    "sequence.Mamba2": {"head_size": 4},
    "sequence.SequenceModel": {"channels": 8},
    "graph_mamba.GraphMamba": {"channels": 8, "layers": 2},
    "graph_mamba.WalkEncoder": {"m": 2, "M": 2, "s": 2},
    "plstm.PLSTMGraph": {"channels": 8, "layers": 2},
    "plstm.PLSTMImage": {"channels": 8, "layers": 2, "patch": 2, "image": 8},
    "plstm.PLSTMSequence": {"channels": 8, "layers": 2},
    "spen.SPEN": {"channels": 8, "layers": 2},
    "semba.GRUSEMBA": {"edge_channels": 1, "channels": 8, "heads": 2},
    "semba.TGN": {"edge_channels": 1, "channels": 8, "heads": 2},
    "semba.ScanSEMBA": {"edge_channels": 1},
    "semba.EventNetwork": {"edge_channels": 1, "level": "edge"},
}


#: What others are made of.
ABSTRACT = {
    "nn.GraphBlock",
    "nn.PositionalEncoder",
    "graph_mamba.TokenEncoder",
    "connectome.Connections",
    "plstm.Heads",
    "semba.EventNetwork",
    "sequence.DSS",
    "sequence.FilterLayer",
    "sequence.MatrixMemory",
    "sequence.SequenceLayer",
    "sequence.StreamingLayer",
}


def classes():
    """Every public module class by ``package.name``."""
    found = {}
    for package in PACKAGES:
        members = importlib.import_module(f"graphseq.{package}")
        for name in members.__all__:
            kind = getattr(members, name)
            if inspect.isclass(kind) and issubclass(kind, nn.Module):
                found[f"{package}.{name}"] = kind
    return found


def make(name):
    """An instance."""
    if name in _SPECIAL:
        return _SPECIAL[name](classes()[name])
    return classes()[name](*_ARGUMENTS.get(name, (8,)), **_OPTIONS.get(name, {}))


def _one_hot(kind):
    return kind(2, 3, torch.ones(3, 3), lambda value, weight: -(value**2), (1.0, 0.1), True)


_SPECIAL = {
    "sequence.ImportanceOrder": lambda kind: kind(Mamba(8)),
    "connectome.OneHotConnections": _one_hot,
    "connectome.FiniteFilter": lambda kind: kind(torch.rand(3)),
    "graph_mamba.GraphMambaLayer": lambda kind: kind(8, BiMambaEncoder(8), GatedGCN(8)),
    "plstm.PLSTM": lambda kind: kind(8, 2, SequencePropagation(8, 2)),
    "plstm.PLSTM2d": lambda kind: kind(8, 2, ImagePropagation(8, 2)),
    "plstm.PLSTMConv": lambda kind: kind(8, 2, GraphPropagation(8, 2)),
    "plstm.PLSTMBlock": lambda kind: kind(8, nn.Linear(8, 8)),
    "spen.NetworkMaps": lambda kind: kind((3, 3), 4, buckets=1, group=Symmetric()),
    "semba.TemporalAttention": lambda kind: kind(4, 8, 3, TimeEncoder(4), heads=2),
    "plstm.HeadMix": lambda kind: kind([nn.Linear(8, 8)]),
}
