"""Arrow pointing with a trained model's answers, drawn: ``python examples/images/answers.py runs/NAME/VERSION``."""

import sys
from pathlib import Path

import torch
import yaml
from matplotlib.figure import Figure
from torch_geometric.loader import DataLoader

from graphseq.data import ArrowPointing
from graphseq.training.lightning_cli import GraphCLI

folder = Path(sys.argv[1])
config = yaml.safe_load((folder / "config.yaml").read_text())
cli = GraphCLI({part: config[part] for part in ("model", "data")}, run=False)
task = cli.parser.instantiate(cli.config).model
checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
task.on_load_checkpoint(checkpoint)
task.load_state_dict(checkpoint["state_dict"])
task.eval()

options = {"size": 64, **(cli.config.data.options or {})}
things = {key: options[key] for key in ("padding", "radius", "length", "width", "factor") if key in options}
figure = Figure(figsize=(12, 3.4), layout="constrained")
for row, size in zip(figure.subplots(2, 8), (options["size"], 2 * options["size"]), strict=True):
    dataset = ArrowPointing(size, 200, seed=12345, **things)
    with torch.no_grad():
        chance = torch.cat([task(batch).softmax(1)[:, 1] for batch in DataLoader(dataset, batch_size=50)])
    right = (chance > 0.5) == torch.tensor(dataset.scenes.hits)
    print(f"{size} pixels: {float(right.float().mean()):.3f} of 200 right")
    for axis, data, hit, correct in zip(row, dataset, chance.tolist(), right.tolist(), strict=False):
        axis.imshow(data.x.view(size, size), cmap="gray_r")
        axis.set_title(f"hit: {hit:.2f}", color="tab:green" if correct else "tab:red", fontsize=9)
        axis.set(xticks=[], yticks=[])
figure.savefig(folder / "answers.png", dpi=120)
print(f"picture: {folder / 'answers.png'}")
