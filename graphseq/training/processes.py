"""What makes several processes that train together give the numbers of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, distributed
from torch.utils.data import DistributedSampler

if TYPE_CHECKING:
    import lightning.pytorch as pl


def process_count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return process_count() == 1 or distributed.get_rank() == 0


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over processes, on each of them."""
    total = value.detach().clone()
    if process_count() > 1:
        distributed.all_reduce(total)
    return total


def shared_mean(total: Float[Tensor, ""], weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The loss of a step from its sum and weight on each process.

    Gradients are averaged over processes, whose shares may carry different numbers of labels. So the weight is averaged
    too, and the gradient is that of one process with all examples of the step.

    Args:
        total: the summed loss of this process.
        weight: by which all sums together are divided.
    """
    weight = summed(weight) / process_count()
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def first_of_its_kind(trainer: pl.Trainer, part: str, batch_idx: int, size: int) -> Bool[Tensor, " size"]:
    """Which examples of a batch are not repetitions, made so that all processes have equally many.

    Args:
        trainer: whose loader of the part says how examples are shared out.
        part: ``"train"``, ``"val"`` or ``"test"``.
        batch_idx: number of the batch.
        size: examples in the batch.
    """
    loaders: dict[str, Any] = {
        "train": trainer.train_dataloader,
        "val": trainer.val_dataloaders,
        "test": trainer.test_dataloaders,
    }
    loader = loaders[part]
    sampler = getattr(loader, "sampler", None)
    place = torch.arange(size)
    if not isinstance(sampler, DistributedSampler) or loader.batch_size is None:
        return place >= 0
    place = (batch_idx * loader.batch_size + place) * sampler.num_replicas + sampler.rank
    return place < len(sampler.dataset)  # type: ignore[arg-type]


@torch.no_grad()
def copied_from_first(trainer: pl.Trainer, tensors: Iterable[Tensor]) -> None:
    """Give each process the values of the first, where each is to hold the same."""
    from lightning.pytorch.strategies import DDPStrategy

    if process_count() == 1 or not isinstance(trainer.strategy, DDPStrategy):
        return
    for tensor in tensors:
        # As bytes, since not every backend knows every type.
        values = tensor.detach().reshape(-1).clone().view(torch.uint8)
        distributed.broadcast(values, 0)
        tensor.copy_(values.view(tensor.dtype).view(tensor.shape))


def wrapped_if_trained(trainer: pl.Trainer) -> None:
    """Leave a network without trained parameters as it is, since torch refuses to share gradients of nothing."""
    from lightning.pytorch.strategies import DDPStrategy

    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy):
        return
    wrap = strategy.configure_ddp

    def configure_ddp() -> None:
        if any(parameter.requires_grad for parameter in trainer.lightning_module.parameters()):
            wrap()

    strategy.configure_ddp = configure_ddp  # type: ignore[method-assign]
