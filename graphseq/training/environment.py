"""Where a run took place: what one needs to know to explain a number that does not repeat."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

import torch

from graphseq.training.seeding import global_seed

_PACKAGES = ("graphseq", "torch", "torch_geometric", "lightning", "torchmetrics", "numpy", "scipy", "ogb")


def environment() -> dict[str, Any]:
    """Versions, machine, threads, seed and commit, as plain values."""
    return {
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(device) for device in range(torch.cuda.device_count())],
        "seed": global_seed(),
        "commit": _commit(),
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the working directory, marked if there are changes on top; none outside a repository."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
