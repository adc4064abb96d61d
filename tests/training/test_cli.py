"""The command line: what runs, what a run leaves behind, what a mistake is answered with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphseq.training.cli import main
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.results import read_records

CONFIG = """
model:
  network: {class_path: graphseq.training.baselines.GCN, init_args: {channels: 8, layers: 2}}
data:
  name: ring-transfer
  batch_size: 10
  options: {num_nodes: 6, num_train: 20, num_val: 5, num_test: 5}
trainer: {max_epochs: 2, accelerator: cpu, enable_progress_bar: false, enable_model_summary: false}
run: {name: ring, version: first}
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The run's seed travels in the environment, as Lightning's processes expect.
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    Path("config.yaml").write_text(CONFIG)
    return tmp_path


def test_fit_leaves_one_folder_with_everything(workplace):
    main(["fit", "--config", "config.yaml"])
    folder = workplace / "runs/ring/first"
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "metrics.csv", "metrics.json", "checkpoints", "environment.json", "curves.png", "tensorboard"
    }  # fmt: skip
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    outcome = json.loads((folder / "metrics.json").read_text())
    assert outcome["epochs"] == 2
    assert outcome["best_epoch"] in (0, 1)
    assert 0 <= outcome["test"]["accuracy"] <= 1
    assert outcome["val"]["accuracy"] == outcome["val"]["score"]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["packages"]["torch"] == torch.__version__
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_run_is_tested_and_predicted_from_its_own_configuration(workplace):
    main(["fit", "--config", "config.yaml", "--run.test", "false"])
    folder = workplace / "runs/ring/first"
    assert "test" not in json.loads((folder / "metrics.json").read_text())
    rest = ["--config", str(folder / "config.yaml"), "--ckpt_path", str(folder / "checkpoints/best.ckpt")]
    history = (folder / "metrics.csv").read_text()
    main(["test", *rest])
    assert (folder / "metrics.csv").read_text() == history
    assert "accuracy" in json.loads((folder / "metrics.json").read_text())["test"]
    main(["predict", *rest])
    predictions = torch.load(folder / "predictions.pt", weights_only=True)
    assert predictions["logits"].shape == (5 * 6, 5)


def test_a_dry_run_ends_well(workplace):
    main(["fit", "--config", "config.yaml", "--trainer.fast_dev_run", "true"])
    assert not (workplace / "runs/ring/first/metrics.json").exists()


def test_repeat_records_mean_and_deviation_over_seeds(workplace):
    main(["repeat", "--config", "config.yaml", "--seeds", "0,1", "--name", "ring"])
    (record,) = read_records("docs/results")
    assert (record.dataset, record.model, record.seeds, record.metric) == ("ring-transfer", "GCN", [0, 1], "accuracy")
    outcomes = [json.loads((Path(run) / "metrics.json").read_text()) for run in record.runs]
    assert record.values == [outcome["test"]["accuracy"] for outcome in outcomes]
    assert record.command == "graphseq repeat --config config.yaml --seeds 0,1 --name ring"


def test_seeds_can_be_added_later(workplace):
    """What has ended is not trained again."""
    words = ["repeat", "--config", "config.yaml", "--run.version", "v", "--name", "ring", "--resume"]
    main([*words, "--seeds", "0"])
    checkpoint = Path("runs/ring/v_seed0_split0/checkpoints/last.ckpt")
    written = checkpoint.stat().st_mtime_ns
    main([*words, "--seeds", "0,1"])
    (record,) = read_records("docs/results")
    assert record.seeds == [0, 1]
    assert len(set(record.epochs)) == 1
    assert checkpoint.stat().st_mtime_ns == written


def test_runs_that_start_together_keep_apart(workplace, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda _: "noon")
    monkeypatch.setattr(GraphCLI, "fit", lambda *_, **__: None)
    Path("config.yaml").write_text(CONFIG.replace(", version: first", ""))
    for _ in range(2):
        main(["fit", "--config", "config.yaml"])
    plan = GraphCLI(["--config", "config.yaml"], run=False).config.as_dict()
    plan.pop("config")
    folders = [GraphCLI({"subcommand": "fit", "fit": plan}, suffix="_seed0").folder.path.name for _ in range(2)]
    assert folders == ["noon_seed0", "noon_2_seed0"]
    # What never ran leaves no folder; a version that is given is taken.
    with pytest.raises(SystemExit):
        main(["fit", "--config", "config.yaml", "--data.options.num_train", "-1"])
    main(["fit", "--config", "config.yaml", "--run.version", "noon", "--resume"])
    assert {path.name for path in Path("runs/ring").iterdir()} == {"noon", "noon_2", *folders}


def test_a_network_is_swapped_by_one_line(workplace):
    main(["fit", "--config", "config.yaml", "--model.network", "graphseq.graph_mamba.GraphMamba", "--run.version", "2"])
    assert "GraphMamba" in (workplace / "runs/ring/2/config.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "proposal"),
    [
        (["fti"], "fit"),
        (["data", "get", "ogbg-molesl"], "ogbg-molesol"),
        (["fit", "--trainer.max_epoch", "3"], "trainer.max_epochs"),
        (["fit", "--modle.lr", "3"], "model.lr"),
        (["fit", "--model.network.chanels", "3"], "channels"),
        (["fit", "--model.network", "graphseq.training.baselines.GateGCN"], "GatedGCN"),
        (["fit", "--data.name", "ring-transfr"], "ring-transfer"),
        (["fit", "--data.options.num_node", "3"], "num_nodes"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(words, proposal, workplace, capsys):
    config = ["--config", "config.yaml"] if words[0] == "fit" else []
    with pytest.raises(SystemExit) as stopped:
        main([words[0], *config, *words[1:]])
    assert stopped.value.code == 2
    errors = capsys.readouterr().err
    assert f"did you mean '{proposal}'" in errors or f"did you mean {proposal!r}" in errors
    assert "Traceback" not in errors


def test_an_unknown_key_of_a_file_is_answered_with_the_nearest(workplace, capsys):
    Path("wrong.yaml").write_text(CONFIG.replace("batch_size", "batchsize"))
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", "wrong.yaml"])
    assert stopped.value.code == 2
    assert "batch_size" in capsys.readouterr().err


def test_data_list_names_the_sets(capsys):
    main(["data", "list"])
    assert "ogbg-molesol" in capsys.readouterr().out


def test_help_comes_without_lightning():
    code = "import sys; from graphseq.training.cli import main; main(['--help']); sys.exit('lightning' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "repeat" in done.stdout
