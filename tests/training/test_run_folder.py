"""The run folder's name and clock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from graphseq.training.run_folder import RunFolder, new_version


@pytest.mark.parametrize("clock", ["seconds", "cpu_seconds"])
def test_time_adds_up_over_sittings(tmp_path, clock):
    first = RunFolder(str(tmp_path))
    sum(range(300_000))
    spent = first.state_dict()
    assert spent[clock] > 0
    second = RunFolder(str(tmp_path))
    second.load_state_dict({"seconds": 1000.0, "cpu_seconds": 500.0})
    assert second.state_dict()[clock] - {"seconds": 1000.0, "cpu_seconds": 500.0}[clock] == pytest.approx(0, abs=10)


@pytest.fixture
def one_second(monkeypatch):
    """All runs start within it."""
    monkeypatch.setattr(time, "strftime", lambda _: "noon")


@pytest.mark.usefixtures("one_second")
def test_runs_of_one_second_have_folders_of_their_own(tmp_path):
    assert [RunFolder(str(tmp_path)).version for _ in range(3)] == ["noon", "noon_2", "noon_3"]
    assert RunFolder(str(tmp_path), "other").version == "noon"
    with ThreadPoolExecutor(8) as threads:
        versions = list(threads.map(lambda _: new_version(str(tmp_path), "many", "_seed0"), range(40)))
    assert len(set(versions)) == 40
    assert {"noon_seed0", "noon_40_seed0"} < set(versions)


@pytest.mark.usefixtures("one_second")
def test_a_version_that_is_given_names_its_folder_again(tmp_path):
    first = RunFolder(str(tmp_path))
    assert RunFolder(str(tmp_path), version=first.version).path == first.path


def test_a_folder_that_has_been_moved_knows_its_best_epoch(tmp_path):
    """Or a resumed run would take its next epoch for the best one, whatever its score."""
    before, after = (RunFolder(str(tmp_path / place), version="1").checkpoints()[0] for place in ("here", "there"))
    path = str(tmp_path / "here/run/1/checkpoints/best.ckpt")
    before.best_model_score, before.best_model_path, before.best_k_models = torch.tensor(0.9), path, {path: 0.9}
    before.kth_best_model_path, before.kth_value = path, torch.tensor(0.9)
    after.load_state_dict(before.state_dict())
    moved = str(tmp_path / "there/run/1/checkpoints/best.ckpt")
    assert (after.best_model_path, after.kth_best_model_path, after.best_k_models) == (moved, moved, {moved: 0.9})
    assert after.best_model_score == 0.9
    # Checkpoints from before know it by this name.
    plain = ModelCheckpoint(monitor="val/score", mode="max", save_on_train_epoch_end=True)
    assert after.state_key == before.state_key == plain.state_key
