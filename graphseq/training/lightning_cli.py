"""``graphseq fit``, ``validate``, ``test`` and ``predict``: Lightning's command line with our defaults."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from graphseq.training.kinds import KINDS, kind_of
from graphseq.training.parser import SuggestingParser
from graphseq.training.quiet import expected_warnings_ignored
from graphseq.training.run_folder import RunFolder, new_version
from graphseq.training.seeding import EpochSeed

_VERSION = "GRAPHSEQ_RUN_VERSION"
TRAINER_DEFAULTS = {
    "max_epochs": 100,
    "gradient_clip_val": 1.0,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
}


class GraphCLI(LightningCLI):
    """Lightning's command line for a task and its data, in a :class:`RunFolder`.

    ``task``, in a preset or as ``--task``, says which of :data:`~graphseq.training.kinds.KINDS` it is; without it, a
    :class:`GraphTask` on a :class:`GraphDataModule`. ``fit`` ends with a test of the best checkpoint. ``--resume`` goes
    on with the run of the same name and version, if it has a checkpoint.

    Args:
        args: words of a command line, or a parsed configuration as a dictionary.
        run: whether there are commands to run; without, the configuration of ``fit`` is parsed and that is all.
        suffix: the end of the run's version.
    """

    folder: RunFolder

    def __init__(self, args: Sequence[str] | dict[str, Any], *, run: bool = True, suffix: str = "") -> None:
        self.suffix = suffix
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self.kind = kind_of(args)
        except ValueError as error:
            print(f"graphseq: error: {error}", file=sys.stderr)
            raise SystemExit(2) from error
        task, data = KINDS[self.kind]()
        with expected_warnings_ignored():
            super().__init__(
                task,
                data,
                args=args if isinstance(args, dict) else list(args),
                run=run,
                trainer_defaults=TRAINER_DEFAULTS,
                seed_everything_default=0,
                save_config_kwargs={"overwrite": True},
                parser_class=SuggestingParser,
                parser_kwargs={"prog": "graphseq"},
                auto_configure_optimizers=False,
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--task", type=str, default=self.kind, help=f"What is learned: {', '.join(KINDS)}.")
        parser.add_class_arguments(RunFolder, "run")
        parser.add_argument("--resume", action="store_true", help="Go on from the run's last checkpoint, if any.")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        # Lightning's own warns whenever arguments come from Python while the process has some too.
        self.config = parser.parse_object(args) if isinstance(args, dict | Namespace) else parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        """Settle what is left open, so that the saved configuration names the run."""
        if self.subcommand is None:
            return
        if self.subcommand != "fit":
            # What a later command in the run's folder is told must not replace how the run was made.
            self.save_config_callback = None
        config = self.config[self.subcommand]
        network = config.model.network
        kind = network.class_path if isinstance(network, Namespace) else network
        config.run.name = config.run.name or f"{Path(config.data.name).name}-{kind.rpartition('.')[2]}"
        if config.run.version is None:
            config.run.version = _new_version(config.run.root, config.run.name, self.suffix)
        else:
            config.run.version += self.suffix

    def instantiate_classes(self) -> None:
        if self.subcommand is None:
            return
        try:
            super().instantiate_classes()
            self.datamodule.prepare_data()
        except (ValueError, TypeError, FileNotFoundError) as error:
            run = self._get(self.config, "run")
            # Nothing ran. What an earlier run left there stays.
            with suppress(OSError):
                Path(run.root, run.name, run.version).rmdir()
            self.parser.error(str(error), error)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        self.folder = self._get(self.config_init, "run")
        config = self._get(self.config_init, "trainer")
        callbacks = [EpochSeed(), self.folder, *self.folder.checkpoints()]
        logger = config["logger"]
        if logger is None:
            logger = self.folder.loggers() if self.subcommand == "fit" else False
        strategy = config["strategy"]
        if strategy == "auto" and str(config["devices"]) not in ("auto", "1"):
            # The last layer's edges feed nothing, so their parameters get no gradient.
            strategy = "ddp_find_unused_parameters_true"
        return self._instantiate_trainer({**config, "logger": logger, "strategy": strategy, **kwargs}, callbacks)

    def fit(self, model: pl.LightningModule, **kwargs: Any) -> None:
        if self._get(self.config, "resume") and self.folder.last_checkpoint.exists():
            kwargs["ckpt_path"] = self.folder.last_checkpoint
        self.trainer.fit(model, **{**kwargs, "weights_only": True})
        if self.folder.test and self.trainer.state.finished and self.folder.best_checkpoint.exists():
            best = self.folder.best_checkpoint
            self.trainer.test(model, datamodule=self.datamodule, ckpt_path=best, weights_only=True)

    def validate(self, model: pl.LightningModule, **kwargs: Any) -> None:
        self.trainer.validate(model, **{**kwargs, "weights_only": True})

    def test(self, model: pl.LightningModule, **kwargs: Any) -> None:
        self.trainer.test(model, **{**kwargs, "weights_only": True})

    def predict(self, model: pl.LightningModule, **kwargs: Any) -> None:
        """Predict the test set, and leave in the run folder what the task makes of it."""
        batches: list[Any] = (
            self.trainer.predict(model, **{**kwargs, "return_predictions": True, "weights_only": True}) or []
        )
        self.folder.path.mkdir(parents=True, exist_ok=True)
        print(model.write_predictions(batches, self.folder.path, self.datamodule))  # type: ignore[operator]


def _new_version(root: str, name: str, suffix: str) -> str:
    """A new one; in a process that Lightning starts beside the first, the first one's, so that all share a folder."""
    if "LOCAL_RANK" not in os.environ or _VERSION not in os.environ:
        os.environ[_VERSION] = new_version(root, name, suffix)
    return os.environ[_VERSION]
