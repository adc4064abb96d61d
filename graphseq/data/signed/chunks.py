"""A stream cut into training, validation and test, each a pass over events with the questions asked on the way."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, TemporalData

from graphseq.data.benchmark import Benchmark
from graphseq.data.loaded import Loaded, Split
from graphseq.data.signed.events import signed_events
from graphseq.data.signed.negatives import draw_negatives
from graphseq.data.signed.tasks import EventTask, SignTask


def signed_benchmark(
    events: TemporalData,
    task: EventTask | None = None,
    *,
    name: str = "custom",
    chunk: int | None = None,
    val_ratio: float = 0.15,
    test_ratio: float = 0.15,
    historical: float = 0.5,
    seed: int = 0,
) -> Benchmark:
    """Events with a chronological split and a task, as the training command takes them.

    Each part is a list of :class:`~torch_geometric.data.Data`, to be read in order as *one pass* that starts from empty
    memories. The training pass asks about training events; the validation pass goes through the training events
    again without a question, then asks about validation events; the test pass likewise. So a score needs nothing but
    weights, and predictions may only use what lies strictly before the time of a question.

    ===========================  ================================================================
    ``edge_index``, ``event_t``  events of the chunk, in time order, and their times (float64)
    ``event_sign``               -1 or +1
    ``edge_attr``                strength, ``[events, channels]``
    ``edge_label_index``         pairs that are asked about
    ``edge_label_t``             at which time
    ``edge_label``               what the answer is
    ``edge_label_event``         number, in the whole stream, of the event that a question belongs to
    ``begins``                   whether a pass begins here
    ``x``                        the node's number, ``[nodes, 1]``, so that ``in_channels`` is how many there are
    ===========================  ================================================================

    Args:
        events: see :func:`signed_events`.
        task: what is asked; :class:`SignTask` if not given.
        name: of the data set in results.
        chunk: about how many events a chunk holds; the whole pass if not given. Events of one time stay together.
        val_ratio, test_ratio: shares of the events, cut at quantiles of time like
            :meth:`~torch_geometric.data.TemporalData.train_val_test_split`.
        historical: share of historical pairs among those drawn, see :func:`draw_negatives`.
        seed: of the drawn pairs.

    Raises:
        ValueError: if times are unsorted, a part is empty, a size is not positive, or as in :func:`signed_events`.

    Example:
        >>> from graphseq.data import SignedNetwork, signed_benchmark
        >>> bench = signed_benchmark(SignedNetwork(num_events=1000).events, chunk=100)
        >>> len(bench.train), len(bench.val), bench.val[0].edge_label.numel()
        (7, 9, 0)
    """
    loaded = as_loaded(events, task or SignTask(), chunk, val_ratio, test_ratio, historical, seed)
    assert loaded.split is not None and loaded.task is not None
    train, val, test = (loaded.dataset[index] for index in loaded.split)
    return Benchmark.from_datasets(train, val, test, loaded.task, name=name)


def as_loaded(
    events: TemporalData,
    task: EventTask,
    chunk: int | None = None,
    val_ratio: float = 0.15,
    test_ratio: float = 0.15,
    historical: float = 0.5,
    seed: int = 0,
) -> Loaded:
    """The same, in the form of a loader."""
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    events = _checked(events)
    bounds = split_times(events.t, val_ratio, test_ratio)
    pairs, labels = _questions(events, task, historical, seed)
    passes = [list(_pass(events, pairs, labels, asked, chunk)) for asked in zip([0, *bounds[:-1]], bounds, strict=True)]
    dataset = _Chunks([data for chunks in passes for data in chunks])
    return Loaded(dataset, Split(*torch.arange(len(dataset)).split([len(chunks) for chunks in passes])), task.task)


def split_times(t: Tensor, val_ratio: float = 0.15, test_ratio: float = 0.15) -> list[int]:
    """Where training, validation and test end, as numbers of events; events of one time stay together.

    Raises:
        ValueError: if one of them would be empty.
    """
    times = t.numpy()
    cuts = np.quantile(times, [1 - val_ratio - test_ratio, 1 - test_ratio]) if len(times) else []
    bounds = [*np.searchsorted(times, cuts, side="right").tolist(), len(times)]
    if not all(np.diff([0, *bounds]) > 0):
        raise ValueError(f"events must fill training, validation and test, got parts that end at {bounds}")
    return bounds


def chunk_bounds(t: Tensor, chunk: int) -> list[int]:
    """Starts of chunks of at least ``chunk`` events, and the end; events of one time stay together.

    A chunk's start depends on earlier events alone.
    """
    ends = np.append(np.flatnonzero(np.diff(t.numpy())) + 1, len(t))
    bounds = [0]
    while bounds[-1] < len(t):
        at_least = min(bounds[-1] + chunk, len(t))
        bounds.append(int(ends[np.searchsorted(ends, at_least)]))
    return bounds


def _checked(events: TemporalData) -> TemporalData:
    """Events that need not come from :func:`signed_events`, in its form: signs of -1 and +1, times in float64."""
    if missing := [key for key in ("src", "dst", "t", "y") if key not in events]:
        raise ValueError(f"events must have src, dst, t, y and msg, got none called {missing[0]!r}")
    if others := sorted(set(events.keys()) - {"src", "dst", "t", "msg", "y"}):
        warnings.warn(f"events have {', '.join(others)}, which no task reads: they are left out", stacklevel=4)
    return signed_events(events.src, events.dst, events.t, events.y, events.msg if "msg" in events else None)


class _Chunks(Dataset):
    """Chunks as they are: views of the stream, where a collated data set would hold a copy of it for each pass."""

    def __init__(self, chunks: Sequence[Data]) -> None:
        super().__init__(None)
        self.chunks = chunks

    def len(self) -> int:
        return len(self.chunks)

    def get(self, idx: int) -> Data:
        return copy.copy(self.chunks[idx])


def _questions(events: TemporalData, task: EventTask, historical: float, seed: int) -> tuple[Tensor, Tensor]:
    """Destinations asked about, ``[E, 1 + negatives]``, that of the event first, and the answers."""
    destinations = events.dst[:, None]
    if task.negatives:
        drawn = draw_negatives(events, task.negatives, seed=seed, historical=historical)
        destinations = torch.cat([destinations, drawn], dim=1)
    return destinations, task.labels(events.y, events.msg[:, 0])


def _pass(
    events: TemporalData, pairs: Tensor, labels: Tensor, asked: tuple[int, int], chunk: int | None
) -> Iterator[Data]:
    first, end = asked
    nodes = torch.arange(int(max(events.src.max(), events.dst.max())) + 1)[:, None]
    edge_index = torch.stack([events.src, events.dst])
    history = chunk_bounds(events.t[:end], chunk) if chunk is not None else [0, end]
    for start, stop in itertools.pairwise(history):
        own, told = slice(start, stop), slice(max(start, first), max(stop, first))
        questions = pairs[told]
        number = torch.arange(told.start, told.stop).repeat_interleave(questions.shape[1])
        label = labels[told].flatten()
        label = label[:, None] if label.is_floating_point() else label
        yield Data(
            x=nodes,
            edge_index=edge_index[:, own],
            edge_attr=events.msg[own],
            event_t=events.t[own],
            event_sign=events.y[own],
            edge_label_index=torch.stack([events.src[number], questions.flatten()]),
            edge_label_t=events.t[number],
            edge_label_event=number,
            edge_label=label,
            y=label,
            begins=torch.tensor([start == 0]),
        )
