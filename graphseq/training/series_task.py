"""What all tasks on windows of a series share."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from graphseq.data.series import Scaling
from graphseq.training.optimisation import parameter_groups, warmup_cosine


class SeriesTask(pl.LightningModule):
    """A network on windows of a series, which may prepare itself on the training windows, and its optimiser."""

    network: nn.Module | None
    scaling: Scaling | None
    lr: float
    weight_decay: float
    warmup_epochs: int
    errors: nn.ModuleDict
    """Means over a part and an epoch, as ``{part}_{metric}``."""

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
            self.log(f"{part}/{name}", value, prog_bar=name == "mse", batch_size=1)

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
