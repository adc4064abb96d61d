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


def _refused(words, capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return " ".join(errors.split())


def test_a_run_is_resumed_with_the_options_it_began_with(workplace, capsys):
    """Anything else would be another run, whose past is not its own."""
    main(["fit", "--config", "config.yaml"])
    again = ["fit", "--config", "config.yaml", "--resume"]
    folder = workplace / "runs/ring/first"
    before = {name: (folder / name).read_text() for name in ("config.yaml", "metrics.csv")}
    errors = _refused([*again, "--model.lr", "0.5", "--trainer.max_epochs", "3"], capsys)
    assert "got other ones: trainer.max_epochs from 2 to 3; model.lr from 0.001 to 0.5. Leave them" in errors
    errors = _refused([*again, "--model.network", "graphseq.training.baselines.GIN"], capsys)
    assert "network.class_path from 'graphseq.training.baselines.GCN' to 'graphseq.training.baselines.GIN'" in errors
    errors = _refused([*again, "--data.options.num_train", "30", "--seed_everything", "3"], capsys)
    assert "seed_everything from 0 to 3; data.options.num_train from 20 to 30" in errors
    assert {name: (folder / name).read_text() for name in before} == before
    # What changes no number may change, and the configuration that a run has saved is its own.
    main([*again, "--trainer.enable_progress_bar", "true", "--data.root", "elsewhere"])
    main(["fit", "--config", str(folder / "config.yaml"), "--resume"])
    assert (folder / "metrics.csv").read_text() == before["metrics.csv"]


def test_a_run_without_a_checkpoint_begins_with_any_options(workplace):
    """It ended before its first epoch did."""
    main(["fit", "--config", "config.yaml", "--trainer.fast_dev_run", "true"])
    main(["fit", "--config", "config.yaml", "--resume", "--model.lr", "0.5"])
    assert json.loads(Path("runs/ring/first/metrics.json").read_text())["epochs"] == 2


def test_a_run_to_resume_must_be_named(workplace, capsys):
    Path("config.yaml").write_text(CONFIG.replace(", version: first", ""))
    errors = _refused(["fit", "--config", "config.yaml", "--resume"], capsys)
    assert "--resume goes on with a run that is named: give its --run.version, got none" in errors
    assert not Path("runs").exists()


def test_help_says_what_resuming_takes(workplace, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--run.root, --run.name and --run.version" in said
    assert "must be those it began with" in said


# Before the first validation there is nothing that could be the best.
@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
@pytest.mark.parametrize(("every", "best"), [("1", 0), ("2", 1)])
def test_the_earlier_of_two_equal_epochs_is_the_best(workplace, every, best):
    """A learning rate of zero makes them equal; so is an epoch without a validation to the one before it."""
    words = ["--model.lr", "0", "--trainer.max_epochs", "3", "--trainer.check_val_every_n_epoch", every]
    main(["fit", "--config", "config.yaml", *words])
    folder = workplace / "runs/ring/first"
    assert torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["epoch"] == best
    assert json.loads((folder / "metrics.json").read_text())["best_epoch"] == best


def test_a_batch_that_processes_cannot_share_is_refused_before_they_start(workplace, capsys):
    errors = _refused(["fit", "--config", "config.yaml", "--trainer.devices", "4"], capsys)
    assert "must be a multiple of their number (4), got 10" in errors


def test_an_extra_that_the_data_need_is_named_in_one_sentence(workplace, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    Path("config.yaml").write_text(CONFIG.replace(", version: first", ""))
    words = ["--data.name", "tree-neighbors-match", "--data.options", "{depth: 2}"]
    for command in (["fit", "--config", "config.yaml", *words], ["data", "get", "tree-neighbors-match"]):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 1
        sentence = "the data set tree-neighbors-match needs sklearn: pip install 'graphseq[train]'"
        assert capsys.readouterr().err.splitlines()[-1] == f"graphseq: error: {sentence}"
    # What never ran leaves no folder.
    assert not list(Path("runs/ring").iterdir())


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
