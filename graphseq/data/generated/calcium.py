"""Calcium recordings with planted motifs: groups of neurons that act together for a while."""

from __future__ import annotations

import numpy as np
import torch

from graphseq.data.generated.dataset import at_least

_DRIVE, _EDGE, _DECAY = 4.0, 3.0, 2.0  # seconds: correlation of a drive, rise of an epoch, decay of the indicator
_SHORTEST, _LONGEST = 25.0, 50.0  # seconds of an epoch
_TAKING_PART = 0.6


class CalciumRecordings:
    r"""Traces of the same neurons in several animals, in which communities of neurons share a drive at times.

    Motif :math:`r` takes a random 60 % of the neurons, splits them into 2 to 4 communities, and is on during one or two
    epochs of 25 to 50 s, the same for all animals: :math:`g_r(t)`, with raised-cosine edges of 3 s. Each of its
    communities :math:`c` has a drive :math:`u_{rc}`, an Ornstein-Uhlenbeck process of 4 s drawn for each animal anew,
    and each animal a gain :math:`w_{ra} \sim \Gamma(2, \tfrac12)`, none in 30 % of the cases. A trace is

    .. math::
        x_i(t) = \Bigl(\kappa * \sum_r w_{ra}\, g_r\, u_{r c_r(i)}\Bigr)(t) + \varepsilon_i(t) + \delta_i(t),

    with the indicator's kernel :math:`\kappa` (exponential, 2 s), white noise :math:`\varepsilon` whose variance is
    that of the first term, over all neurons of an animal, divided by ``snr``, and a slow drift :math:`\delta`. Each
    neuron is missing in each animal with probability ``missing``. Since drives differ between animals, averaging
    traces over animals cancels them.

    Args:
        num_neurons: :math:`N`.
        num_animals: :math:`A`.
        num_frames: :math:`T`.
        num_motifs: :math:`R`.
        snr: ratio of the variances of signal and white noise.
        missing: probability of a neuron to be unobserved in an animal; two of each animal are always seen.
        dt: seconds a frame.
        seed: the same seed gives the same data.

    Attributes:
        traces: ``[A, N, T]``, NaN where unobserved.
        observed: ``[A, N]``.
        communities: ``[R, N]``, of each neuron in each motif; -1 where it takes no part.
        activity: :math:`g`, ``[R, T]``.
        gains: :math:`w`, ``[R, A]``.

    Raises:
        ValueError: if a size is not positive, ``snr`` or ``dt`` is not, or ``missing`` is no probability.

    Example:
        >>> recordings = CalciumRecordings(num_frames=200, seed=1)
        >>> recordings.traces.shape, recordings.communities.shape
        (torch.Size([6, 60, 200]), torch.Size([4, 60]))
    """

    def __init__(
        self,
        num_neurons: int = 60,
        num_animals: int = 6,
        num_frames: int = 600,
        num_motifs: int = 4,
        *,
        snr: float = 3.0,
        missing: float = 0.2,
        dt: float = 0.5,
        seed: int = 0,
    ) -> None:
        at_least("num_neurons", num_neurons, 4)
        at_least("num_animals", num_animals, 1)
        at_least("num_frames", num_frames, 2)
        at_least("num_motifs", num_motifs, 1)
        if not (snr > 0 and dt > 0):
            raise ValueError(f"snr and dt must be positive, got {snr} and {dt}")
        if not 0 <= missing < 1:
            raise ValueError(f"missing must be a probability below 1, got {missing}")
        rng = np.random.default_rng(seed)
        self.dt = dt
        shape = (num_animals, num_neurons, num_frames)
        communities = np.stack([_communities(rng, num_neurons) for _ in range(num_motifs)])
        activity = np.stack([_epochs(rng, num_frames, dt) for _ in range(num_motifs)])
        gains = rng.gamma(2.0, 0.5, (num_motifs, num_animals)) * (rng.random((num_motifs, num_animals)) >= 0.3)
        # A motif that no animal shows would be no motif.
        silent = ~gains.any(axis=1)
        gains[silent, rng.integers(0, num_animals, silent.sum())] = 1.0
        signal = np.zeros(shape)
        for motif in range(num_motifs):
            drives = _ornstein_uhlenbeck(rng, (num_animals, int(communities[motif].max()) + 1, num_frames), _DRIVE / dt)
            part = communities[motif] >= 0
            signal[:, part] += gains[motif][:, None, None] * activity[motif] * drives[:, communities[motif][part]]
        signal = _indicator(signal, dt)
        power = signal.var(axis=(1, 2), keepdims=True)
        level = np.sqrt(np.where(power > 0, power, power.mean() or 1.0))
        noise = rng.standard_normal(shape) * level / np.sqrt(snr)
        drift = 0.5 * level * _ornstein_uhlenbeck(rng, shape, num_frames / 2)
        observed = rng.random((num_animals, num_neurons)) >= missing
        observed[:, :2] |= observed.sum(axis=1, keepdims=True) < 2
        traces = np.where(observed[..., None], signal + noise + drift, np.nan)
        self.traces, self.observed = torch.from_numpy(traces), torch.from_numpy(observed)
        self.communities, self.activity = torch.from_numpy(communities), torch.from_numpy(activity)
        self.gains = torch.from_numpy(gains)


def _communities(rng: np.random.Generator, num_neurons: int) -> np.ndarray:
    members = rng.permutation(num_neurons)[: max(round(_TAKING_PART * num_neurons), 2)]
    number = int(rng.integers(2, 5))
    label = np.full(num_neurons, -1)
    label[members] = rng.permutation(np.arange(len(members)) % number)
    return label


def _epochs(rng: np.random.Generator, num_frames: int, dt: float) -> np.ndarray:
    """One or two epochs; where they meet, the larger value counts."""
    time, total = np.arange(num_frames) * dt, num_frames * dt
    on = np.zeros(num_frames)
    for _ in range(int(rng.integers(1, 3))):
        length = min(rng.uniform(_SHORTEST, _LONGEST), total / 2)
        start = rng.uniform(0, total - length)
        edge = np.clip(np.minimum(time - start, start + length - time) / _EDGE, 0, 1)
        on = np.maximum(on, (1 - np.cos(np.pi * edge)) / 2)
    return on


def _ornstein_uhlenbeck(rng: np.random.Generator, shape: tuple[int, ...], frames: float) -> np.ndarray:
    """Stationary, of variance 1 and correlation time ``frames``, along the last axis."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / frames)
    steps = rng.standard_normal(shape)
    steps[..., 1:] *= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], steps, axis=-1)


def _indicator(signal: np.ndarray, dt: float) -> np.ndarray:
    from scipy.signal import lfilter

    keep = np.exp(-dt / _DECAY)
    return lfilter([1 - keep], [1.0, -keep], signal, axis=-1)
