"""One small layer of each kind, for the properties that all share."""

from functools import partial

from graphseq.sequence import (
    GLA,
    MLSTM,
    BiMamba,
    DeltaNet,
    DeltaProduct,
    DivergentMamba,
    GatedDeltaNet,
    ImportanceOrder,
    Mamba,
    Mamba2,
    SignedMamba,
)

STREAMING = {
    "mamba": partial(Mamba, state_size=3, conv_size=3),
    "signed mamba": partial(SignedMamba, state_size=3),
    "divergent mamba": partial(DivergentMamba, state_size=3),
    "mamba2": partial(Mamba2, head_size=4, state_size=5),
    "gla": partial(GLA, heads=2),
    "mlstm": partial(MLSTM, heads=2),
    "delta net": partial(DeltaNet, heads=2, beta_max=2.0),
    "gated delta net": partial(GatedDeltaNet, heads=2, beta_max=2.0),
    "delta product": partial(DeltaProduct, heads=2, steps=3, beta_max=2.0),
    "gated delta product": partial(DeltaProduct, heads=2, steps=2, gated=True, value_size=4, output_gate=False),
}

OTHERS = {
    "bimamba": partial(BiMamba, state_size=3),
    "importance order": lambda channels: ImportanceOrder(Mamba(channels), temperature=0.5),
}

LAYERS = {**STREAMING, **OTHERS}
