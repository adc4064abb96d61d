"""What all tasks on windows of a series share."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from graphseq.data.series import Scaling
from graphseq.training.optimisation import parameter_groups, warmup_cosine
from graphseq.training.processes import copied_from_first, first_of_its_kind, wrapped_if_trained


class SeriesTask(pl.LightningModule):
    """A network on windows of a series, which may prepare itself on the training windows, and its optimiser.

    A network with a method ``prepare`` gets the training windows before its first step, once: a checkpoint tells that
    it has been prepared, and what it has learned since is not overwritten. What has nothing to train is no more than
    what it was prepared to be, so a new fit prepares it anew, on the data of that fit.
    """

    network: nn.Module | None
    scaling: Scaling | None
    lr: float
    weight_decay: float
    warmup_epochs: int
    errors: nn.ModuleDict
    """Means over a part and an epoch, as ``{part}_{metric}``."""

    prepared = False
    """Whether the network has been prepared."""

    @staticmethod
    def means(*metrics: str) -> nn.ModuleDict:
        """What :attr:`errors` holds; in double precision, exact to the last printed digit whatever the batches."""
        names = [f"{part}_{metric}" for part in ("train", "val", "test") for metric in metrics]
        return nn.ModuleDict({name: MeanMetric().set_dtype(torch.float64) for name in names})

    def log_errors(self, part: str, **further: Tensor) -> None:
        """Log the means of a part, what is given beside them, and the score, and begin anew."""
        values = {}
        for name, metric in self.errors.items():
            if name.startswith(f"{part}_"):
                values[name.removeprefix(f"{part}_")] = metric.compute()  # type: ignore[operator]
                metric.reset()  # type: ignore[operator]
        for name, value in {**values, **further, "score": -values["mse"]}.items():
            # All processes hold the same numbers by now; their mean is the number itself.
            self.log(f"{part}/{name}", value, prog_bar=name == "mse", sync_dist=True, batch_size=1)

    def counted(self, part: str, batch_idx: int, windows: int) -> Float[Tensor, "windows 1 1"]:
        """1 for each window of a batch, 0 where it only fills up the share of a process."""
        if self.trainer.world_size == 1:
            return torch.ones(windows, 1, 1, device=self.device)
        first = first_of_its_kind(self.trainer, part, batch_idx, windows)
        return first.to(self.device, torch.float32)[:, None, None]

    def configure_model(self) -> None:
        wrapped_if_trained(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["prepared"] = self.prepared

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Those from before it was noted were all written by a run under way.
        self.prepared = checkpoint.get("prepared", True)

    def on_fit_start(self) -> None:
        prepare = getattr(self.network, "prepare", None)
        trained = any(parameter.requires_grad for parameter in self.parameters())
        resumed = self.trainer.ckpt_path is not None
        if self.network is None or prepare is None or (self.prepared and (trained or resumed)):
            return
        prepare(self.trainer.datamodule.windows("train"))  # type: ignore[attr-defined]
        copied_from_first(self.trainer, [*self.network.parameters(), *self.network.buffers()])
        self.prepared = True

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]] | None:
        groups = parameter_groups(self, self.weight_decay)
        if not groups:
            return None
        optimizer = AdamW(groups, lr=self.lr)
        return [optimizer], [warmup_cosine(optimizer, self.warmup_epochs, self.trainer.max_epochs or 1)]
