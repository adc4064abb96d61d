"""What a network looks at: influence between nodes against their distance, step sizes, and pictures of tokens.

Numbers are functions that return tensors; pictures are drawn from those by functions named ``plot_…``, which need
matplotlib and networkx.
"""

from graphseq.graph_mamba.explain.influence import effective_reach, hop_distance, influence, influence_by_distance
from graphseq.graph_mamba.explain.pictures import plot_reach, plot_step_sizes, plot_tokens
from graphseq.graph_mamba.explain.step_sizes import step_sizes

__all__ = [
    "effective_reach",
    "hop_distance",
    "influence",
    "influence_by_distance",
    "plot_reach",
    "plot_step_sizes",
    "plot_tokens",
    "step_sizes",
]
