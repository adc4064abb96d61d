"""The training task: a network, the loss and metric of its data set, an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch_geometric.data import Data

from graphseq.training.budget import fit_width
from graphseq.training.losses import make_loss
from graphseq.training.optimisation import parameter_groups, warmup_cosine
from graphseq.training.processes import first_of_its_kind, shared_mean
from graphseq.training.scores import Predictions, score
from graphseq.training.signature import Signature

if TYPE_CHECKING:
    from graphseq.training.datamodule import GraphDataModule


class GraphTask(pl.LightningModule):
    r"""Train a graph network on the task that its data set states.

    The network is given as a factory. It is called once the data set is known, as ``network(in_channels, out_channels,
    edge_channels=…, level=…)``, and what it makes as ``forward(x, edge_index, batch, edge_attr, batch_size=…,
    **structure)``, where ``structure`` holds those keys of the data that the network lists in ``needs``.

    Every epoch logs ``{train,val,test}/loss``, the metric of the task by its name (``val/rocauc``) and ``…/score``, the
    metric with its sign turned where smaller is better: what checkpoints and early stopping monitor, whatever the task.
    Loss and metric of a split are computed over its predictions at once, not as means over batches.

    Args:
        network: makes the network, for example a class or a :func:`functools.partial` of one.
        parameters: if given, the network's ``channels`` are chosen so that it has about this many parameters.
        lr: learning rate of AdamW.
        weight_decay: decay of matrices; vectors and what is marked ``_no_weight_decay`` do not decay.
        warmup_epochs: epochs of linear warm-up, before half a cosine to zero at the last epoch.
        class_weights: for a multiclass task, the weight of each class in the loss; or, there and for a binary task,
            ``"balanced"``, so that each class of a batch counts the same.
    """

    def __init__(
        self,
        network: Callable[[int, int], nn.Module],
        parameters: int | None = None,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        warmup_epochs: int = 0,
        class_weights: list[float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        if callable(self.hparams["network"]):
            # Only the command line's description of a network is plain data that a checkpoint may hold.
            self.save_hyperparameters(ignore=["network"], logger=False)
        self.make_network: Callable[..., nn.Module] = network
        self.parameter_budget = parameters
        self.lr, self.weight_decay, self.warmup_epochs = lr, weight_decay, warmup_epochs
        self.class_weights = class_weights
        self.network: nn.Module | None = None
        self.signature: Signature | None = None
        self.predictions = nn.ModuleDict({f"{split}_predictions": Predictions() for split in ("train", "val", "test")})

    def build(self, signature: Signature) -> nn.Module:
        """Make the network for a data set; a second call changes nothing.

        Raises:
            ValueError: if the network cannot meet the number of parameters.
        """
        if self.network is None:
            task = signature.task
            make = partial(self.make_network, edge_channels=signature.edge_channels, level=task.level)
            if self.parameter_budget is not None:
                width = fit_width(
                    lambda channels: make(signature.in_channels, task.num_outputs, channels=channels),
                    self.parameter_budget,
                )
                make = partial(make, channels=width)
            self.network = make(signature.in_channels, task.num_outputs)
            self.signature = signature
            self.loss = make_loss(task, self.class_weights)
        return self.network

    def configure_model(self) -> None:
        try:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
        except RuntimeError:
            # No trainer: a checkpoint is being loaded, and brings its signature.
            return
        if self.network is None and not hasattr(data, "signature"):
            raise ValueError(f"datamodule must be a GraphDataModule, got {type(data).__name__}")
        if self.network is None:
            self.build(data.signature)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["signature"] = self._signature.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.build(Signature.from_dict(checkpoint["signature"]))

    def forward(self, data: Data) -> Tensor:
        """Logits for every row (node, graph or pair) of a batch."""
        network = self.network
        if network is None:
            raise ValueError("the network is made with its data set: call build(signature) or fit first")
        structure = {key: data[key] for key in getattr(network, "needs", ()) if key in data}
        return network(data.x, data.edge_index, data.batch, data.edge_attr, batch_size=data.num_graphs, **structure)

    def training_step(self, data: Data, batch_idx: int = 0) -> Tensor:
        first = first_of_its_kind(self.trainer, "train", batch_idx, data.num_graphs)
        return shared_mean(*self.loss(*self._predict(data, "train", first)))

    def validation_step(self, data: Data) -> None:
        self._predict(data, "val")

    def test_step(self, data: Data) -> None:
        self._predict(data, "test")

    def predict_step(self, data: Data) -> dict[str, Tensor]:
        """The logits of a batch, and of each row its example's number and its place there."""
        return {"logits": self(data), "key": _keys(data, self._signature.task.level)}

    def on_train_epoch_end(self) -> None:
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)
        self._log_split("train")

    def on_validation_epoch_end(self) -> None:
        self._log_split("val")

    def on_test_epoch_end(self) -> None:
        self._log_split("test")

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = torch.optim.AdamW(parameter_groups(self, self.weight_decay), lr=self.lr)
        return [optimizer], [warmup_cosine(optimizer, self.warmup_epochs, self.trainer.max_epochs or 1)]

    @property
    def curves(self) -> tuple[str, str]:
        """What the run folder draws."""
        return "loss", self._signature.task.metric

    def write_predictions(self, batches: list[dict[str, Tensor]], folder: Path, data: GraphDataModule) -> str:
        """Put logits and their keys together into ``predictions.pt`` of a run folder.

        Args:
            batches: what :meth:`predict_step` returned.
            folder: where they go.
            data: what was predicted.

        Returns:
            A sentence that says what is where.
        """
        together = {name: torch.cat([batch[name] for batch in batches]) for name in ("logits", "key")}
        torch.save(together, folder / "predictions.pt")
        return f"predictions of {together['logits'].shape[0]} rows in {folder / 'predictions.pt'}"

    def result(self, data: GraphDataModule) -> dict[str, Any]:
        """What a record of results says about the data and the metric."""
        task = data.benchmark.task
        return {
            "task": f"{task.level} {task.kind}",
            "dataset": data.name,
            "metric": task.metric,
            "maximize": task.maximize,
        }

    @property
    def _signature(self) -> Signature:
        if self.signature is None:
            raise ValueError("the network is made with its data set: call build(signature) or fit first")
        return self.signature

    def _predictions(self, split: str) -> Predictions:
        return cast(Predictions, self.predictions[f"{split}_predictions"])

    def _predict(self, data: Data, split: str, first: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits and targets of the labelled rows of a split, remembered for the metric.

        Examples that are not the first of their kind are left out: they only fill up the share of a process.
        """
        level = self._signature.task.level
        logits = self(data)
        targets = data.edge_label if level == "edge" else data.y
        keys = _keys(data, level)
        masks = [data[key] for key in (f"{split}_mask", "label_mask") if key in data and level == "node"]
        if first is not None and not bool(first.all()):
            masks.append(torch.isin(keys[:, 0], data.example[first.to(data.example.device)]))
        if masks:
            chosen = torch.stack(masks).all(0)
            logits, targets, keys = logits[chosen], targets[chosen], keys[chosen]
        self._predictions(split).update(logits, targets, keys)
        return logits, targets

    def _log_split(self, split: str) -> None:
        task = self._signature.task
        predictions = self._predictions(split)
        logits, targets = predictions.compute()
        predictions.reset()
        total, weight = self.loss(logits, targets)
        value = score(task, logits, targets, self._signature.dataset)
        values: dict[str, float | Tensor] = {
            "loss": total / weight,
            task.metric: value,
            "score": value if task.maximize else -value,
        }
        for name, number in values.items():
            # All processes hold the same numbers by now; their mean is the number itself.
            self.log(f"{split}/{name}", number, prog_bar=name == task.metric, sync_dist=True, batch_size=1)


def _keys(data: Data, level: str) -> Tensor:
    """Of each row, the number of its example in the data set and its place in it."""
    if level == "graph":
        return torch.stack([data.example, torch.zeros_like(data.example)], dim=1)
    if level == "node":
        graph, starts = data.batch, data.ptr
        rows = torch.arange(graph.shape[0], device=graph.device)
    else:
        graph = data.batch[data.edge_label_index[0]]
        rows = torch.arange(graph.shape[0], device=graph.device)
        starts = torch.searchsorted(graph, torch.arange(data.num_graphs, device=graph.device))
    return torch.stack([data.example[graph], rows - starts[graph]], dim=1)
