"""One small layer of each kind, for the properties that all share."""

from functools import partial

from graphseq.sequence import (
    GLA,
    LRU,
    LSSL,
    MLSTM,
    S4D,
    S4PTD,
    S5,
    S5PTD,
    Attention,
    BiMamba,
    BiS5,
    DeltaNet,
    DeltaProduct,
    DivergentMamba,
    DSSExp,
    DSSSoftmax,
    GatedDeltaNet,
    ImportanceOrder,
    LongConv,
    Mamba,
    Mamba2,
    MambaMixer,
    SignedMamba,
    bilinear,
    legt,
    real,
)

STREAMING = {
    "s4d": partial(S4D, state_size=6),
    "s4d real bilinear": partial(S4D, state_size=6, spectrum=real, discretise=bilinear, dt_max=4.0),
    "s4d by scan": partial(S4D, state_size=6, by_scan=True),
    "dss exp": partial(DSSExp, state_size=3),
    "dss softmax": partial(DSSSoftmax, state_size=3, length=100),
    "lssl": partial(LSSL, state_size=4),
    "lssl legt": partial(LSSL, state_size=4, measure=legt, alpha=1.0),
    "s5": partial(S5, state_size=8, blocks=2),
    "s4 ptd": partial(S4PTD, state_size=6, perturbation=1e-2),
    "s5 ptd": partial(S5PTD, state_size=6, perturbation=1e-2),
    "lru": partial(LRU, state_size=5),
    "long convolution": partial(LongConv, length=50, smooth=3),
    "mamba": partial(Mamba, state_size=3, conv_size=3),
    "signed mamba": partial(SignedMamba, state_size=3),
    "divergent mamba": partial(DivergentMamba, state_size=3),
    "mamba2": partial(Mamba2, head_size=4, state_size=5),
    "gla": partial(GLA, heads=2),
    "mlstm": partial(MLSTM, heads=2),
    "delta net": partial(DeltaNet, heads=2, beta_max=2.0),
    "gated delta net": partial(GatedDeltaNet, heads=2, beta_max=2.0),
    "delta product": partial(DeltaProduct, heads=2, steps=3, beta_max=2.0),
    "mamba mixer": partial(MambaMixer, layers=3, state_size=3),
    "attention": partial(Attention, heads=2),
    "gated delta product": partial(DeltaProduct, heads=2, steps=2, gated=True, value_size=4, output_gate=False),
}

OTHERS = {
    "bis5": partial(BiS5, state_size=8),
    "bimamba": partial(BiMamba, state_size=3),
    "importance order": lambda channels: ImportanceOrder(Mamba(channels), temperature=0.5),
}

LAYERS = {**STREAMING, **OTHERS}
