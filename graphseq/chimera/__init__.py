"""Chimera: two-dimensional selective state space models for multivariate time series (Behrouz et al. 2024)."""

from graphseq.chimera.block import ChimeraBlock, ChimeraTrunk, MovingAverage
from graphseq.chimera.coupling import (
    Coupling,
    ExponentialCoupling,
    HoldCoupling,
    MixCoupling,
    NoCoupling,
    OneWayCoupling,
    Transitions,
)
from graphseq.chimera.layer import BiGridSSM, GridSSM, SeparableGridSSM
from graphseq.chimera.linear import LinearForecaster
from graphseq.chimera.model import ChimeraClassifier, ChimeraForecaster, ChimeraReconstructor, Decomposition
from graphseq.chimera.normalise import WindowNorm, WindowScale
from graphseq.chimera.packed import ChimeraSeries
from graphseq.chimera.poles import AutoregressivePoles, Poles, RealPoles, SeasonalPoles
from graphseq.chimera.states import Link, Roesser, States, Sweeps, grid_ssm, selective_grid_ssm
from graphseq.chimera.tpgn import TPGN
from graphseq.chimera.tsm2 import TSM2
from graphseq.chimera.variates import correlation_order, variate_order

__all__ = [
    "TPGN",
    "TSM2",
    "AutoregressivePoles",
    "BiGridSSM",
    "ChimeraBlock",
    "ChimeraClassifier",
    "ChimeraForecaster",
    "ChimeraReconstructor",
    "ChimeraSeries",
    "ChimeraTrunk",
    "Coupling",
    "Decomposition",
    "ExponentialCoupling",
    "GridSSM",
    "HoldCoupling",
    "LinearForecaster",
    "Link",
    "MixCoupling",
    "MovingAverage",
    "NoCoupling",
    "OneWayCoupling",
    "Poles",
    "RealPoles",
    "Roesser",
    "SeasonalPoles",
    "SeparableGridSSM",
    "States",
    "Sweeps",
    "Transitions",
    "WindowNorm",
    "WindowScale",
    "correlation_order",
    "grid_ssm",
    "selective_grid_ssm",
    "variate_order",
]
