"""Records and the tables made from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphseq.training.results import BEGIN, END, Record, read_records, render_tables, update_tables

SHARED = {
    "task": "graph regression",
    "dataset": "ogbg-molesol",
    "split": "0",
    "metric": "rmse",
    "maximize": False,
    "seeds": [0, 1],
    "budget": "100 epochs",
    "command": "graphseq repeat",
}


@pytest.fixture
def folder(tmp_path):
    Record.of_values([1.0, 1.2], model="GCN", params=100_000, **SHARED).write(tmp_path / "results", "gcn")
    Record.of_values([0.8, 1.0], model="GraphMamba", params=99_000, **SHARED).write(tmp_path / "results", "mamba")
    published = {**SHARED, "seeds": [], "command": "", "source": "published: Hu et al. 2020"}
    Record(model="GIN", mean=1.173, std=0.057, params=None, **published).write(tmp_path / "results", "gin")
    (tmp_path / "results" / "scaling.json").write_text('{"nodes": []}')
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def _update(folder, **options):
    update_tables(str(folder / "results"), str(folder / "README.md"), str(folder / "results.md"), **options)


def test_mean_and_sample_deviation(folder):
    record = next(record for record in read_records(folder / "results") if record.model == "GCN")
    assert record.value == "1.1000 ± 0.1414"


def test_rows_stand_best_first(folder):
    rows = [line for line in render_tables(read_records(folder / "results")).splitlines() if "±" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| GraphMamba", "| GCN", "| GIN"]
    assert "published: Hu et al. 2020" in rows[2]


def test_the_text_around_the_markers_stays(folder):
    _update(folder)
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n**ogbg-molesol**")
    assert text.endswith(f"{END}\nafter\n")


def test_commands_stand_on_the_page_and_not_in_the_readme(folder):
    _update(folder)
    assert "- GCN: `graphseq repeat`" in (folder / "results.md").read_text()
    assert "graphseq repeat" not in (folder / "README.md").read_text()


def test_check_fails_exactly_when_tables_are_stale(folder):
    with pytest.raises(SystemExit, match=r"README.md and .*results.md must hold the tables"):
        _update(folder, check=True)
    _update(folder)
    _update(folder, check=True)
    path = folder / "results" / "gcn.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mean": 1.05}))
    with pytest.raises(SystemExit):
        _update(folder, check=True)


def test_a_readme_without_markers_is_refused(folder):
    (folder / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"README.md must hold the line <!-- results:begin"):
        _update(folder)


def test_a_source_is_measured_or_published():
    with pytest.raises(ValueError, match=r"source must be .* got 'guessed'"):
        Record(model="GCN", mean=1.0, std=None, params=1, source="guessed", **SHARED)


def test_a_file_that_is_no_record_is_named(folder):
    (folder / "results" / "odd.json").write_text('{"dataset": "x", "colour": "red"}')
    with pytest.raises(ValueError, match=r"odd.json must hold a record"):
        read_records(folder / "results")


def test_the_tables_of_this_repository_are_those_of_its_records(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    update_tables(check=True)
