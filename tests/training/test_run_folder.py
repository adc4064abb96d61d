"""The run folder's name and clock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

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
