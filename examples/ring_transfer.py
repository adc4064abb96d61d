"""A message crosses a ring of 20 nodes: Graph Mamba carries it to the other side, a graph convolution cannot."""

import logging
import warnings
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import networkx as nx
import torch
from matplotlib.figure import Figure
from torch_geometric.utils import to_networkx

from graphseq.graph_mamba import GraphMamba
from graphseq.training import EpochSeed, GraphDataModule, GraphTask, RunFolder
from graphseq.training.baselines import GCN
from graphseq.training.curves import read_history

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")
torch.set_num_threads(1)  # graphs as small as these gain nothing from more
folder = Path("runs/ring_transfer")

# One node holds one of five classes; the node opposite, ten steps away, must tell which.
data = GraphDataModule("ring-transfer", options={"num_nodes": 20, "num_train": 400}, batch_size=20)
networks = {"Graph Mamba, 2 layers": partial(GraphMamba, layers=2), "GCN, 5 layers": partial(GCN, layers=5)}
histories = {}
print(f"{'network':<24}{'parameters':>12}{'seconds':>9}{'test accuracy':>15}   (chance: 0.2)")
for name, network in networks.items():
    pl.seed_everything(0, verbose=False)
    run = RunFolder("runs", "ring_transfer", name.split(",")[0].replace(" ", ""))
    trainer = pl.Trainer(
        max_epochs=15, accelerator="cpu", logger=run.loggers(), log_every_n_steps=1, gradient_clip_val=1.0,
        callbacks=[EpochSeed(), run, *run.checkpoints()], enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(GraphTask(network, parameters=40_000, lr=3e-3), data)
    trainer.test(datamodule=data, ckpt_path=run.best_checkpoint, weights_only=True, verbose=False)
    histories[name] = read_history(run.path / "metrics.csv")
    end = run.outcome
    print(f"{name:<24}{end['parameters']:>12,}{end['seconds']:>9.1f}{end['test']['accuracy']:>15.3f}")

figure = Figure(figsize=(9.5, 3.5), layout="constrained")
picture, curves = figure.subplots(1, 2, width_ratios=[3.5, 6])
ring = to_networkx(example := data.benchmark.test[0], to_undirected=True)
nx.draw(ring, places := nx.circular_layout(ring), ax=picture, node_size=100, node_color="0.8", edge_color="0.6")
for role, colour in {"holder": "tab:orange", "reader": "tab:green"}.items():
    node = example[f"{role}_index"].tolist()
    nx.draw_networkx_nodes(ring, places, node, ax=picture, node_size=200, node_color=colour, label=role)
picture.set_title("The reader must name the holder's class", fontsize=10)
picture.set_aspect("equal")
picture.legend(loc="center", frameon=False, markerscale=0.6, labelspacing=0.8)
for name, history in histories.items():
    curves.plot(history.index + 1, history["val/accuracy"], marker="o", markersize=3, label=name)
curves.axhline(0.2, color="0.6", linestyle="--", label="chance")
curves.set(title="Ring transfer, 20 nodes", xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1.05))
curves.legend(loc="upper left", frameon=False)
figure.savefig(folder / "ring_transfer.png", dpi=120)
print(f"picture: {folder / 'ring_transfer.png'}")
