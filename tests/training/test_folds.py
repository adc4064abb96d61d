"""The protocols of the TU collection: what is trained on, what is tested, and which number is taken."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from graphseq.data import describe
from graphseq.training import GraphDataModule
from graphseq.training.folds import _fit, best_common_epoch, folds, last_epochs
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.results import Record, read_records


def test_the_last_ten_epochs_are_averaged():
    scores = np.stack([np.arange(30.0), np.full(30, 2.0)])
    assert last_epochs(scores).tolist() == [24.5, 2.0]


def test_the_best_epoch_is_one_for_all_folds():
    scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.6, 0.2]])
    assert best_common_epoch(scores).tolist() == [0.5, 0.6]


@pytest.mark.parametrize("on_test", [True, False])
def test_nothing_is_held_out_of_a_fold_that_is_tested_after_every_epoch(benchmark, on_test):
    data = benchmark("multiclass")
    module = GraphDataModule.from_benchmark(data, validate_on_test=on_test, batch_size=100)
    (train,), (val,), (test,) = module.train_dataloader(), module.val_dataloader(), module.test_dataloader()
    assert train.num_graphs == 12 + (7 if on_test else 0)
    assert val.x.equal(test.x) == on_test


EPOCHS = 12
WORDS = ["--data.name", "MUTAG", "--model.network", "graphseq.training.baselines.GIN", "--name", "mutag-gin"]


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The folds that are trained, each of which scores its number in tenths; training stops at what is in ``stops``."""
    state = SimpleNamespace(done=[], stops=set(), meanwhile={}, task=describe("MUTAG").task)

    def fit(plan, fold):
        if fold in state.stops:
            raise KeyboardInterrupt
        state.done.append(fold)
        state.meanwhile.get(fold, lambda: None)()
        path = tmp_path / f"run{fold}"
        path.mkdir(exist_ok=True)
        (path / "metrics.csv").write_text(
            "epoch,val/accuracy\n" + "".join(f"{epoch},{fold / 10}\n" for epoch in range(EPOCHS))
        )
        return SimpleNamespace(
            datamodule=SimpleNamespace(benchmark=SimpleNamespace(task=state.task)),
            folder=SimpleNamespace(path=path, outcome={"parameters": 7, "cpu_seconds": 1.0}),
            model=SimpleNamespace(network=SimpleNamespace()),
        )

    monkeypatch.setattr("graphseq.training.folds._fit", fit)
    return state


def _words(tmp_path, chosen, *further):
    return [*WORDS, "--results", str(tmp_path / "results"), "--folds", chosen, *further]


def test_folds_are_done_a_few_at_a_time(trained, tmp_path):
    folds(_words(tmp_path, "1,3"))
    records = folds(_words(tmp_path, "0,1,2"))
    assert trained.done == [1, 3, 0, 2]
    for record in records.values():
        assert record.values == pytest.approx([0.0, 0.1, 0.2, 0.3])
        assert (record.split, record.epochs, record.params) == ("0, 1, 2, 3", [EPOCHS] * 4, 7)
    assert [record.metric for record in read_records(tmp_path / "results")] == [
        "accuracy, best common epoch",
        "accuracy, last 10 epochs",
    ]
    assert Record.read(tmp_path / "results" / "mutag-gin-last_10_epochs.json").mean == pytest.approx(0.15)


def test_a_fold_that_is_done_outlives_a_stop(trained, tmp_path):
    trained.stops.add(2)
    with pytest.raises(KeyboardInterrupt):
        folds(_words(tmp_path, "0,1,2,3"))
    assert list(json.loads((tmp_path / "results" / "mutag-gin-folds.json").read_text())["folds"]) == ["0", "1"]
    trained.stops.clear()
    folds(_words(tmp_path, "0,1,2,3", "--resume", "--run.version", "again"))
    assert trained.done == [0, 1, 2, 3]


def test_folds_of_other_options_are_not_mixed(trained, tmp_path):
    folds(_words(tmp_path, "0"))
    with pytest.raises(ValueError, match="name must be that of folds trained with the same options"):
        folds(_words(tmp_path, "1", "--model.lr", "0.5"))
    assert trained.done == [0]


def test_folds_trained_by_another_process_meanwhile_are_kept(trained, tmp_path):
    trained.meanwhile[1] = lambda: folds(_words(tmp_path, "5"))
    for record in folds(_words(tmp_path, "1")).values():
        assert record.values == pytest.approx([0.1, 0.5])
    assert trained.done == [1, 5]


def test_a_metric_of_which_less_is_better_is_refused(trained, tmp_path):
    trained.task = describe("ogbg-molesol").task
    with pytest.raises(ValueError, match="data must have a metric of which more is better, got rmse"):
        folds(_words(tmp_path, "0"))


def test_a_fold_is_a_split_validated_on_its_test_part(monkeypatch):
    runs = []

    class Recorded(GraphCLI):
        def __init__(self, words, suffix):
            runs.append((words, suffix))

    monkeypatch.setattr("graphseq.training.folds.GraphCLI", Recorded)
    _fit({"data": {"name": "MUTAG", "split": 0, "validate_on_test": False}, "run": {"root": "runs", "test": True}}, 3)
    ((words, suffix),) = runs
    assert words["fit"]["data"] == {"name": "MUTAG", "split": 3, "validate_on_test": True}
    assert words["fit"]["run"] == {"root": "runs", "test": False}
    assert suffix == "_fold3"
