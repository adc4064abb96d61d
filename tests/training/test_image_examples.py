"""The presets for images: networks of one preset are of one size, and train in the same harness."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch

from graphseq.data import load
from graphseq.training import GraphDataModule, GraphTask
from graphseq.training.budget import count_parameters
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.signature import Signature
from graphseq.training.vision import ViT

EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
NETWORKS = sorted(EXAMPLES.glob("networks/*.yaml"))


def _task(*paths):
    cli = GraphCLI([word for path in paths for word in ("--config", str(path))], run=False)
    return cli.parser.instantiate(cli.config).model, cli.config


@pytest.mark.parametrize(("preset", "network"), product(["arrow_pointing", "digits"], [None, *NETWORKS]))
def test_every_network_of_a_preset_has_about_the_same_number_of_parameters(preset, network):
    task, config = _task(EXAMPLES / f"{preset}.yaml", *([] if network is None else [network]))
    task.build(Signature(1, None, load(config.data.name, **_small(config.data.name)).task))
    # Widths are even: half a step of them is up to 6 % of this many parameters.
    assert count_parameters(task) == pytest.approx(config.model.parameters, rel=0.06)


def test_the_paper_s_preset_is_known():
    task, config = _task(EXAMPLES / "arrow_pointing_paper.yaml")
    assert config.data.options["size"] == task.make_network(1, 2).positions.shape[-1] * 16


def _small(name):
    return {"num_train": 4, "num_val": 2, "num_test": 2} if name == "arrow-pointing" else {}


def test_a_vit_mixes_patches_of_one_image_only():
    torch.manual_seed(0)
    model = ViT(1, 2, channels=8, layers=1, patch=2, image=8).double().eval()
    torch.nn.init.normal_(model.head.weight)
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    heard = torch.autograd.grad(model(images)[0].sum(), images)[0].abs().sum((1, 2, 3)) > 0
    assert heard.tolist() == [True, False]
    assert model(torch.randn(2, 1, 16, 12, dtype=torch.float64)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"channels must be a multiple of heads \(3\), got 8"):
        ViT(1, 2, channels=8, heads=3)


@pytest.mark.parametrize("network", ["vit", "plstm_p"])
def test_arrows_train_and_are_tested_at_twice_the_resolution(trainer, network):
    from graphseq.plstm import PLSTMImage

    make = {"vit": ViT, "plstm_p": PLSTMImage}[network]
    data = GraphDataModule("arrow-pointing", options=_small("arrow-pointing"), batch_size=2)
    task = GraphTask(lambda *given, **more: make(*given, channels=8, layers=1, patch=16, image=64, **more))
    run = trainer(1)
    run.fit(task, data)
    run.test(task, data, verbose=False)
    assert 0 <= float(run.callback_metrics["test/accuracy"]) <= 1
