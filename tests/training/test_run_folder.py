"""The run folder's clock."""

from __future__ import annotations

import pytest

from graphseq.training.run_folder import RunFolder


@pytest.mark.parametrize("clock", ["seconds", "cpu_seconds"])
def test_time_adds_up_over_sittings(tmp_path, clock):
    first = RunFolder(str(tmp_path))
    sum(range(300_000))
    spent = first.state_dict()
    assert spent[clock] > 0
    second = RunFolder(str(tmp_path))
    second.load_state_dict({"seconds": 1000.0, "cpu_seconds": 500.0})
    assert second.state_dict()[clock] - {"seconds": 1000.0, "cpu_seconds": 500.0}[clock] == pytest.approx(0, abs=10)
