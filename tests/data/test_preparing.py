import json
import os
import subprocess
import sys

import pytest

from graphseq.data.preparing import preparing


def test_a_process_that_dies_makes_the_next_one_start_anew(tmp_path):
    processed = tmp_path / "set" / "processed"
    with pytest.raises(KeyboardInterrupt), preparing(tmp_path, "set"):
        processed.mkdir()
        (processed / "data.pt").write_bytes(b"half")
        raise KeyboardInterrupt
    with preparing(tmp_path, "set"):
        assert not processed.exists()
        processed.mkdir()
    with preparing(tmp_path, "set"):
        assert processed.exists()


def test_a_root_that_cannot_be_written_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("graphseq.data.preparing.os.access", lambda path, mode: False)
    with preparing(tmp_path, "set"):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_processes_that_start_at_once_load_the_same_data(tmp_path, mirror):
    program = (
        "import json, sys; from graphseq.data import load\n"
        "bench = load('MUTAG', root=sys.argv[1])\n"
        "print(json.dumps([len(bench.train), bench.train[3].edge_index.tolist()]))"
    )
    environment = {**os.environ, "GRAPHSEQ_MIRROR": mirror, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(3)]
    answers = [json.loads(run.communicate()[0]) for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert answers[0][0] == 153 and answers.count(answers[0]) == 3
