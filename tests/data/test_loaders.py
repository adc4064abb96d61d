"""Every real data set against what its manifest states."""

import numpy as np
import pytest
import torch
from torch_geometric.data import InMemoryDataset
from torch_geometric.loader import DataLoader

from graphseq.data import describe, load_events, names

HEAVY = {"DD", "Tolokers", "ogbg-molhiv", "Peptides-func", "NCI1", "NCI109", "Squirrel-unfiltered"}
STORED = [
    pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in names() if describe(name).files
]


STREAMS = [name for name in names() if describe(name).loader == "signed"]


@pytest.mark.parametrize("name", STREAMS)
def test_streams_have_as_many_events_and_nodes_as_stated(root, mirror, name):
    events, stated = load_events(name, root=root, mirror=mirror).events, describe(name).statistics
    ends = torch.cat([events.src, events.dst])
    assert (len(events.src), len(ends.unique()), int(ends.max()) + 1) == (
        stated["edges"],
        stated["nodes"],
        stated["nodes"],
    )


@pytest.mark.parametrize("name", [param for param in STORED if param not in STREAMS])
def test_statistics_are_as_stated(real, name):
    bench, stated = real(name), describe(name).statistics
    data = stored(bench.train)
    assert data.x.shape == (stated["nodes"], stated["features"])
    # A table of series has no edges at all.
    edge_index = data.edge_index if "edge_index" in data else torch.empty(2, 0)
    assert edge_index.shape == (2, stated["edges"])
    assert (len(bench.train) if bench.task.level == "node" else len(data.y)) == stated["graphs"]


def stored(graphs):
    """All graphs of the data set as one, those of the other parts too where it holds them so."""
    return graphs._data if isinstance(graphs, InMemoryDataset) else InMemoryDataset.collate(list(graphs))[0]


@pytest.mark.parametrize("name", STORED)
def test_labels_fit_the_task_everywhere(real, name):
    bench = real(name)
    labels, task = stored(bench.train).y, bench.task
    if task.kind == "multiclass":
        assert labels.unique().tolist() == list(range(task.num_outputs))
    elif task.kind == "regression":
        assert labels.shape[1] == task.num_outputs and bool(labels.isfinite().all())
    else:
        assert labels.shape[1] == task.num_outputs and set(labels[~labels.isnan()].tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", STORED)
def test_features_lie_within_the_stated_categories(real, name):
    bench = real(name)
    data = stored(bench.train)
    for channels, features in ((bench.in_channels, data.x), (bench.edge_channels, data.edge_attr)):
        if isinstance(channels, tuple):
            assert not features.is_floating_point()
            assert bool((features.amax(0) < torch.tensor(channels)).all()) and int(features.min()) >= 0
        elif channels is not None:
            assert features.shape[1] == channels


@pytest.mark.parametrize("name", STORED)
def test_parts_are_disjoint(real, name):
    if describe(name).arguments.get("folds") == "same":
        pytest.skip("every graph is in every part by definition")
    bench = real(name)
    if bench.task.level == "node":
        data = bench.train[0]
        masks = torch.stack([data.train_mask, data.val_mask, data.test_mask])
        assert masks.dtype == torch.bool and masks.dim() == 2 and int(masks.sum(0).max()) == 1
        assert bool(masks.any(1).all())
    else:
        parts = [list(part.indices()) for part in (bench.train, bench.val, bench.test)]
        everything = np.concatenate(parts)
        assert len(np.unique(everything)) == len(everything)


@pytest.mark.parametrize("name", ["MUTAG", "ogbg-molfreesolv", "WLPAIRS"])
def test_a_loader_batches_the_parts(real, name):
    batch = next(iter(DataLoader(real(name).train, batch_size=8)))
    assert batch.num_graphs == 8 and batch.y.shape[0] == 8
