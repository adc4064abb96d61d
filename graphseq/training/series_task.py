"""What all tasks on windows of a series share."""

from __future__ import annotations

import lightning.pytorch as pl
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from graphseq.data.series import Scaling
from graphseq.training.optimisation import parameter_groups, warmup_cosine


class SeriesTask(pl.LightningModule):
    """A network on windows of a series, which may prepare itself on the training windows, and its optimiser."""

    network: nn.Module | None
    scaling: Scaling | None
    lr: float
    weight_decay: float
    warmup_epochs: int

    def on_fit_start(self) -> None:
        prepare = getattr(self.network, "prepare", None)
        # A resumed run goes on with what it has learned.
        if prepare is not None and self.trainer.current_epoch == 0 and self.trainer.global_step == 0:
            prepare(self.trainer.datamodule.windows("train"))  # type: ignore[attr-defined]

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]] | None:
        groups = parameter_groups(self, self.weight_decay)
        if not groups:
            return None
        optimizer = AdamW(groups, lr=self.lr)
        return [optimizer], [warmup_cosine(optimizer, self.warmup_epochs, self.trainer.max_epochs or 1)]
