"""``graphseq fit``, ``validate``, ``test`` and ``predict``: Lightning's command line with our defaults."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from graphseq.extras import MissingExtraError
from graphseq.training.kinds import KINDS, kind_of
from graphseq.training.parser import SuggestingParser
from graphseq.training.processes import is_first
from graphseq.training.quiet import expected_warnings_ignored
from graphseq.training.run_folder import RunFolder, shared_version
from graphseq.training.seeding import EpochSeed

TRAINER_DEFAULTS = {
    "max_epochs": 100,
    "gradient_clip_val": 1.0,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
}
_FREE = (
    "run", "resume", "ckpt_path", "data.root", "data.mirror", "trainer.accelerator", "trainer.default_root_dir",
    "trainer.enable_checkpointing", "trainer.enable_model_summary", "trainer.enable_progress_bar", "trainer.logger",
    "trainer.log_every_n_steps", "trainer.num_sanity_val_steps", "trainer.profiler",
)  # fmt: skip
"""Options that change nothing of what a run computes, so that one may be resumed with others."""


class GraphCLI(LightningCLI):
    """Lightning's command line for a task and its data, in a :class:`RunFolder`.

    ``task``, in a preset or as ``--task``, says which of :data:`~graphseq.training.kinds.KINDS` it is; without it, a
    :class:`GraphTask` on a :class:`GraphDataModule`. ``fit`` ends with a test of the best checkpoint. ``--resume`` goes
    on with the run of the same name and version, if it has a checkpoint, and takes no option that would make it
    another run.

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
        parser.add_argument(
            "--resume",
            action="store_true",
            help="Go on from the last checkpoint of the run that --run.root, --run.name and --run.version name, or "
            "begin it if it has none. Its options must be those it began with, as --config RUN/config.yaml has them.",
        )

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
        try:
            if config.run.version is not None:
                config.run.version += self.suffix
            elif self.subcommand == "fit" and config.resume:
                raise ValueError("--resume goes on with a run that is named: give its --run.version, got none")
            else:
                config.run.version = shared_version(config.run.root, config.run.name, self.suffix)
            if self.subcommand == "fit" and config.resume:
                self._check_unchanged(config)
        except ValueError as error:
            self.parser.error(str(error), error)

    def _check_unchanged(self, config: Namespace) -> None:
        folder = Path(config.run.root, config.run.name, config.run.version)
        if not ((folder / "config.yaml").exists() and (folder / "checkpoints" / "last.ckpt").exists()):
            return
        before = yaml.safe_load((folder / "config.yaml").read_text())
        now = yaml.safe_load(self._parser(self.subcommand).dump(config, skip_none=False))
        changed = [
            f"{key} from {old!r} to {new!r}"
            for key, old, new in _differences(before, now)
            if not any(f"{key}.".startswith(f"{free}.") for free in _FREE)
        ]
        if changed:
            raise ValueError(
                f"--resume goes on with the options that {folder} began with, got other ones: {'; '.join(changed)}. "
                "Leave them as they were, or give a new --run.version"
            )

    def instantiate_classes(self) -> None:
        if self.subcommand is None:
            return
        try:
            super().instantiate_classes()
            self.datamodule.prepare_data()
            self.datamodule.check_share(self.trainer.world_size)  # type: ignore[operator]
        except (ValueError, TypeError, FileNotFoundError, MissingExtraError) as error:
            run = self._get(self.config, "run")
            # Nothing ran. What an earlier run left there stays.
            with suppress(OSError):
                Path(run.root, run.name, run.version).rmdir()
            if isinstance(error, MissingExtraError):
                raise
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
            # A batch may reach not every parameter: the first events of a stream find nothing remembered.
            strategy = "ddp_find_unused_parameters_true"
        return self._instantiate_trainer({**config, "logger": logger, "strategy": strategy, **kwargs}, callbacks)

    def fit(self, model: pl.LightningModule, **kwargs: Any) -> None:
        if self._get(self.config, "resume") and self.folder.last_checkpoint.exists():
            kwargs["ckpt_path"] = self.folder.last_checkpoint
        self.trainer.fit(model, **{**kwargs, "weights_only": True})
        if self.folder.test and self.trainer.state.finished and self.folder.best_checkpoint.exists():
            best = self.folder.best_checkpoint
            self.trainer.test(model, datamodule=self.datamodule, ckpt_path=best, weights_only=True)
        # Only then may every process read what the first one has written.
        self.trainer.strategy.barrier()

    def validate(self, model: pl.LightningModule, **kwargs: Any) -> None:
        self.trainer.validate(model, **{**kwargs, "weights_only": True})

    def test(self, model: pl.LightningModule, **kwargs: Any) -> None:
        self.trainer.test(model, **{**kwargs, "weights_only": True})

    def predict(self, model: pl.LightningModule, **kwargs: Any) -> None:
        """Predict the test set, and leave in the run folder what the task makes of it."""
        batches: list[Any] = (
            self.trainer.predict(model, **{**kwargs, "return_predictions": True, "weights_only": True}) or []
        )
        if not is_first():
            return
        self.folder.path.mkdir(parents=True, exist_ok=True)
        print(model.write_predictions(batches, self.folder.path, self.datamodule))  # type: ignore[operator]


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Keys of nested dictionaries whose values differ, with both; a key that is missing counts as ``None``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now:
        yield key, before, now
