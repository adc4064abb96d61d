"""From traces to communities that change in time: affinities, their factorisation, communities of each motif."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphseq.connectome.affinity import Affinity, GeometricMean
from graphseq.connectome.factorisation import CPFit, NonNegativeCP
from graphseq.connectome.pairs import folded, pair_tensor
from graphseq.connectome.selection import CommunityMethod
from graphseq.connectome.threshold import top_quantile
from graphseq.connectome.windows import MeanWindow, Window

BACKGROUND = -1
"""The label of neurons that take no part."""


@dataclass(frozen=True)
class DynamicConnectome:
    r"""Which neurons act together, when, and in which animals.

    1. Affinities of all pairs in windows of time, :func:`pair_tensor`, missing neurons as a mask.
    2. :class:`NonNegativeCP` of pairs × windows × animals into motifs :math:`a_r \circ t_r \circ w_r`.
    3. Of each motif, the graph of its strongest pairs, and its communities. Neurons without a pair among them take no
       part in the motif.

    The three steps are those of the published method, as far as we know it; rule, threshold and the choice of method
    for communities are ours.

    Args:
        factorise: the second step, and how many motifs.
        communities: the third step, such as :class:`WeightedSBM` or :class:`Louvain`.
        kind: rule of affinity.
        window: averages over time.
        sigma: width of the Gaussian whose derivative is taken, in seconds.
        keep: share of the pairs that a motif's graph keeps, its strongest ones.

    Raises:
        ValueError: if ``sigma`` is not positive or ``keep`` not in (0, 1].

    Example:
        >>> from graphseq.connectome import Louvain
        >>> from graphseq.data import CalciumRecordings
        >>> recordings = CalciumRecordings(num_frames=240, snr=10.0)
        >>> model = DynamicConnectome(NonNegativeCP(4, restarts=2), Louvain())
        >>> found = model.fit(recordings.traces, recordings.observed, dt=recordings.dt)
        >>> found.labels.shape, found.labels_at().shape
        (torch.Size([4, 60]), torch.Size([39, 60]))
    """

    factorise: NonNegativeCP
    communities: CommunityMethod
    kind: Affinity = GeometricMean()  # noqa: RUF009 (immutable)
    window: Window = field(default_factory=lambda: MeanWindow(12, 6))
    sigma: float = 1.0
    keep: float = 0.1

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep must be in (0, 1], got {self.keep}")

    def fit(
        self,
        traces: Float[Tensor, "animals neurons time"],
        observed: Bool[Tensor, "animals neurons"] | None = None,
        *,
        dt: float = 1.0,
    ) -> DynamicCommunities:
        """Find motifs and communities.

        Args:
            traces: one row a neuron; what is not observed may hold anything.
            observed: which neurons were identified in which animal; without it, a trace of NaN alone is missing.
            dt: seconds a frame.

        Raises:
            ValueError: as :func:`pair_tensor` and :class:`NonNegativeCP` do.
        """
        values, mask, pairs = pair_tensor(
            traces, observed, window=self.window, kind=self.kind, sigma=self.sigma / dt, dt=dt
        )
        motifs = self.factorise.fit(values, mask)
        num_neurons = traces.shape[1]
        labels = torch.stack(
            [
                self._labels(top_quantile(folded(weights, pairs, num_neurons), self.keep))
                for weights in motifs.factors[0].t()
            ]
        )
        starts = self.window.frames(traces.shape[-1]) * dt
        return DynamicCommunities(motifs, labels, pairs, starts, values, mask)

    def _labels(self, graph: Float[Tensor, "neurons neurons"]) -> Int[Tensor, " neurons"]:
        labels = torch.full((len(graph),), BACKGROUND)
        linked = (graph > 0).any(1)
        if bool(linked.any()):
            labels[linked] = self.communities(graph[linked][:, linked]).cpu()
        return labels


@dataclass(frozen=True)
class DynamicCommunities:
    """Motifs, the communities of each, and what they say about every window.

    Args:
        motifs: the factorisation; factors are pairs, windows and animals.
        labels: community of each neuron in each motif, ``[R, N]``; -1 where it takes no part.
        pairs: neurons of each pair.
        starts: of the windows, in seconds.
        values: windowed affinities, ``[pairs, windows, animals]``.
        mask: pairs that were observed in an animal.
    """

    motifs: CPFit
    labels: Int[Tensor, "motifs neurons"]
    pairs: Int[Tensor, "2 pairs"]
    starts: Float[Tensor, " windows"]
    values: Float[Tensor, "pairs windows animals"] = field(repr=False)
    mask: Bool[Tensor, "pairs animals"] = field(repr=False)

    @property
    def num_neurons(self) -> int:
        """Neurons, seen or not."""
        return self.labels.shape[1]

    def activity(self, animal: int | None = None) -> Float[Tensor, "windows motifs"]:
        """How strongly each motif is on: its time course times its weight and the animal's loading, or their mean."""
        loading = self.motifs.factors[2]
        return self.motifs.factors[1] * self.motifs.weights * (loading.mean(0) if animal is None else loading[animal])

    def rise(self, animal: int | None = None) -> Float[Tensor, "windows motifs"]:
        """How far each motif is above its median over time, as a share of the farthest that it gets; in [0, 1].

        The median is where a motif idles: chance gives every pair some affinity at all times.
        """
        activity = self.activity(animal)
        above = (activity - activity.median(0).values).clamp(min=0)
        return above / above.amax(0).clamp(min=torch.finfo(above.dtype).tiny)

    def labels_at(self, active: float = 0.1, animal: int | None = None) -> Int[Tensor, "windows neurons"]:
        """Community of each neuron in each window, that of the motif that has risen farthest; -1 without one.

        Communities are counted over all motifs, so that no two of them share a number.

        Args:
            active: least :meth:`rise` of a motif that is on.
            animal: its number; the mean over animals if not given.
        """
        rise = self.rise(animal)
        labels = self.global_labels()[rise.argmax(1)]
        return torch.where((rise.amax(1) > active)[:, None], labels, BACKGROUND)

    def global_labels(self) -> Int[Tensor, "motifs neurons"]:
        """Labels with the communities of all motifs counted through."""
        counts = self.labels.amax(1) + 1
        offset = counts.cumsum(0) - counts
        return torch.where(self.labels >= 0, self.labels + offset[:, None], BACKGROUND)

    def memberships(self, animal: int | None = None) -> Float[Tensor, "windows neurons communities"]:
        r"""Soft communities, :math:`\sum_r t_r(t)\, w_r\, 1[\mathrm{label}_r(i) = c]`, summing to at most 1.

        What is missing to 1 is the share of motifs in which a neuron takes no part.
        """
        activity = self.activity(animal)
        share = activity / activity.sum(1, keepdim=True).clamp(min=torch.finfo(activity.dtype).tiny)
        labels = self.global_labels()
        count = int(labels.max()) + 1
        one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), max(count, 1)) * (labels >= 0)[..., None]
        return torch.einsum("tr,rnc->tnc", share, one_hot.to(share))

    def motif_graph(self, motif: int) -> Float[Tensor, "neurons neurons"]:
        """All pair weights of a motif as a symmetric matrix."""
        return folded(self.motifs.factors[0][:, motif], self.pairs, self.num_neurons)
