import numpy as np
import pytest
import torch

from graphseq.data.folds import stored_fold, stratified_fold

#: Size of each published test fold and the number of graphs that are never tested.
FOLDS = {"MUTAG": (18, 8), "PTC": (34, 4), "PROTEINS": (111, 3), "IMDB-BINARY": (100, 0), "ENZYMES": (60, 0)}


@pytest.mark.parametrize("name", FOLDS)
def test_published_folds_do_not_overlap(real, root, name):
    size, untested = FOLDS[name]
    labels = real(name).train._data.y.numpy()
    folder = root / "tu" / "folds10" / name
    tested = torch.cat([stored_fold(folder, labels, fold).test for fold in range(10)])
    assert len(tested) == 10 * size == len(tested.unique())
    assert len(labels) - len(tested) == untested


@pytest.mark.parametrize("fold", [0, 9])
def test_a_tenth_of_the_training_fold_validates(real, fold):
    bench = real("MUTAG", split=fold)
    assert (len(bench.train), len(bench.val), len(bench.test)) == (153, 17, 18)
    assert bench.split == fold and bench.num_splits == 10


def test_each_split_is_the_same_at_every_load(real):
    first, again, other = (list(real("PTC_MR", split=split).val.indices()) for split in (3, 3, 4))
    assert first == again != other


def test_stratified_folds_keep_the_class_ratio():
    labels = np.repeat([0, 1], [700, 300])
    for fold in range(10):
        for part in stratified_fold(labels, 10, fold):
            assert labels[part].mean() == pytest.approx(0.3, abs=0.01)


def test_stratified_folds_test_every_graph_once():
    labels = np.arange(150) % 10
    tested = torch.cat([stratified_fold(labels, 5, fold).test for fold in range(5)])
    assert tested.sort().values.tolist() == list(range(150))


def test_proteins_carry_their_attribute_before_their_label(real):
    x = real("PROTEINS").train._data.x
    assert x.shape[1] == 4
    assert set(x[:, 1:].sum(1).tolist()) == {1.0} and len(x[:, 0].unique()) > 3


@pytest.mark.parametrize("name", ["IMDB-BINARY", "IMDB-MULTI"])
def test_imdb_features_are_degrees(real, name):
    data = real(name).test[5]
    degree = torch.bincount(data.edge_index[0], minlength=data.num_nodes)
    assert data.x.argmax(1).tolist() == degree.tolist() and set(data.x.sum(1).tolist()) == {1.0}


def test_expressivity_sets_tell_only_by_structure(real):
    for name in ("CSL", "SR25", "WLPAIRS"):
        assert set(real(name).train._data.x.flatten().tolist()) == {1.0}
