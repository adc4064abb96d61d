"""Which community method explains a graph best, as one model of communities judges them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphseq.connectome.matrix import checked
from graphseq.connectome.modularity import Louvain
from graphseq.connectome.sbm import WeightedSBM

CommunityMethod = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Selection:
    """What :func:`select_communities` found.

    Args:
        labels: community of each node by the chosen method, on the whole graph.
        method: its name.
        scores: of each method, per pair of nodes: the log-posterior of its communities, or the held-out log-likelihood.
    """

    labels: Int[Tensor, " nodes"]
    method: str
    scores: dict[str, float]


def select_communities(
    weights: Float[Tensor, "nodes nodes"],
    methods: Mapping[str, CommunityMethod],
    folds: int | None = None,
    seed: int = 0,
    judge: WeightedSBM | None = None,
) -> Selection:
    r"""Choose among community methods by what their communities say about the graph, under one block model.

    Without folds, the communities that each method finds in the graph are judged by their posterior: likelihood of
    links and weights, rates integrated out, times the prior, which pays for their number. With folds, by
    cross-validation over pairs of nodes: for each fold, every method sees the graph without the links in it, and its
    communities are judged by the log-likelihood of the links and weights of the fold, given all other pairs. The latter
    depends less on priors, but judges communities of a graph that has lost links, and so passes over methods that need
    them all. The method with the highest sum is applied to the whole graph.

    By default the judge corrects for degrees and strengths, and all pairs of communities share their rates. A more
    general one would also reward blocks that are no communities, such as one of hubs.

    Args:
        weights: symmetric and non-negative; 0 where there is no link. The diagonal does not count.
        methods: by name.
        folds: at least 2; none to judge by the posterior.
        seed: of the folds; the same seed gives the same choice.
        judge: the block model.

    Raises:
        ValueError: if there are no methods, fewer than 2 folds, or fewer pairs than folds.

    Example:
        >>> weights = torch.block_diag(torch.ones(8, 8), torch.ones(9, 9)).fill_diagonal_(0)
        >>> apart = lambda weights: torch.arange(len(weights))
        >>> select_communities(weights, {"Louvain": Louvain(), "apart": apart}).method
        'Louvain'

    Cost: one call of each method; with folds, ``folds`` of each and one more of the chosen one.
    """
    if not methods:
        raise ValueError("methods must hold at least one, got none")
    checked(weights)
    pairs = len(weights) * (len(weights) - 1) / 2
    if judge is None:
        judge = WeightedSBM(degree_corrected=True, strength_normalise=True, shared_between=True)
    if folds is None:
        found = {name: method(weights) for name, method in methods.items()}
        totals = {
            name: judge.log_likelihood(weights, labels) + judge.log_prior(labels) for name, labels in found.items()
        }
    else:
        found = {}
        totals = _held_out(weights, methods, folds, seed, judge)
    scores = {name: total / max(pairs, 1) for name, total in totals.items()}
    best = max(scores, key=lambda name: scores[name])
    return Selection(found[best] if best in found else methods[best](weights), best, scores)


def _held_out(
    weights: Tensor, methods: Mapping[str, CommunityMethod], folds: int, seed: int, judge: WeightedSBM
) -> dict[str, float]:
    """Log-likelihood of all pairs, each when it was held out."""
    totals = dict.fromkeys(methods, 0.0)
    for observed in _folds(len(weights), folds, seed):
        for name, method in methods.items():
            totals[name] += judge.predictive(weights, method(weights * observed), observed)
    return totals


class SelectedCommunities:
    """The community method that :func:`select_communities` chooses for each graph.

    Args:
        methods: by name; by default :func:`standard_methods`.
        folds: of a cross-validation; none to judge by the posterior.
        seed: of methods and folds.

    Example:
        >>> weights = torch.block_diag(torch.ones(5, 5), torch.ones(6, 6)).fill_diagonal_(0)
        >>> SelectedCommunities()(weights)
        tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    """

    def __init__(
        self, methods: Mapping[str, CommunityMethod] | None = None, *, folds: int | None = None, seed: int = 0
    ) -> None:
        self.methods = standard_methods(seed) if methods is None else dict(methods)
        self.folds, self.seed = folds, seed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.methods)}, folds={self.folds}, seed={self.seed})"

    def __call__(self, weights: Float[Tensor, "nodes nodes"]) -> Int[Tensor, " nodes"]:
        """Community of each node."""
        return select_communities(weights, self.methods, self.folds, self.seed).labels


def standard_methods(seed: int = 0, **search: Any) -> dict[str, CommunityMethod]:
    """Louvain, and the weighted block model with and without each of its corrections.

    Args:
        seed: of all methods.
        search: ``resolutions``, ``random_starts`` and ``rounds`` of the block models.
    """
    corrections: dict[str, dict[str, Any]] = {
        "block model": {},
        "degree-corrected": {"degree_corrected": True},
        "strength-normalised": {"strength_normalise": True},
        "both": {"degree_corrected": True, "strength_normalise": True},
    }
    models = {name: WeightedSBM(**chosen, **search, seed=seed) for name, chosen in corrections.items()}
    return {"Louvain": Louvain(seed=seed), **models}


def _folds(nodes: int, folds: int, seed: int) -> Iterator[Bool[Tensor, "nodes nodes"]]:
    """Which pairs are observed, for each fold."""
    pairs = nodes * (nodes - 1) // 2
    if not 2 <= folds <= pairs:
        raise ValueError(f"folds must be between 2 and the number of pairs ({pairs}), got {folds}")
    generator = torch.Generator().manual_seed(seed)
    fold = torch.arange(pairs)[torch.randperm(pairs, generator=generator)] % folds
    rows, columns = torch.triu_indices(nodes, nodes, 1)
    for number in range(folds):
        observed = torch.ones(nodes, nodes, dtype=torch.bool)
        hidden = fold == number
        observed[rows[hidden], columns[hidden]] = observed[columns[hidden], rows[hidden]] = False
        yield observed
