"""What a network answers to the questions of one pass over a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphseq.semba.counts import count_features, count_model
from graphseq.semba.timelines import Timelines


class Answers(NamedTuple):
    """Questions of a pass in the order of the stream, what was answered, and what is right.

    Args:
        logits: outputs of the network.
        target: see :meth:`graphseq.data.EventTask.labels`.
        pairs: source and destination.
        t: when.
        event: number of the event that a question belongs to.
    """

    logits: Float[Tensor, "questions outputs"]
    target: Float[Tensor, " questions"] | Int[Tensor, " questions"]
    pairs: Int[Tensor, "2 questions"]
    t: Float[Tensor, " questions"]
    event: Int[Tensor, " questions"]

    def where(self, chosen: Tensor) -> Answers:
        """Those questions alone."""
        return Answers(
            self.logits[chosen], self.target[chosen], self.pairs[:, chosen], self.t[chosen], self.event[chosen]
        )


@torch.no_grad()
def answer(network: Callable[[Data], Tensor], chunks: Iterable[Data]) -> Answers:
    """Put the questions of a pass to a network, chunk after chunk.

    Args:
        network: answers a chunk, as a trained :class:`graphseq.training.GraphTask` in evaluation mode does.
        chunks: ``train``, ``val`` or ``test`` of a :func:`graphseq.data.signed_benchmark`.
    """
    found = []
    for chunk in chunks:
        logits = network(Batch.from_data_list([chunk]))  # type: ignore[arg-type]
        found.append(_answers(chunk, logits.double()))
    return Answers(
        torch.cat([part.logits for part in found]),
        torch.cat([part.target for part in found]),
        torch.cat([part.pairs for part in found], dim=1),
        torch.cat([part.t for part in found]),
        torch.cat([part.event for part in found]),
    )


class Counted(NamedTuple):
    """The questions of a pass, not answered yet, and what was counted strictly before each; see :func:`counted`."""

    questions: Answers
    features: Float[Tensor, "questions 14"]


def counted(chunks: Iterable[Data]) -> Counted:
    """The questions of a pass and the counts before them, :func:`count_features`."""
    chunks = list(chunks)
    src, dst = torch.cat([chunk.edge_index for chunk in chunks], dim=1)
    t, sign = (torch.cat([chunk[name] for chunk in chunks]) for name in ("event_t", "event_sign"))
    lines = Timelines(src, dst, t, sign, int(chunks[0].num_nodes))
    questions = answer(lambda chunk: chunk.edge_label_t.new_empty(len(chunk.edge_label_t), 0), chunks)
    return Counted(questions, count_features(lines, questions.pairs, questions.t))


def answer_by_counts(
    name: str, task: str, train: Counted, asked: Mapping[str, Counted], seed: int = 0
) -> dict[str, Answers]:
    """The answers of a classifier on past counts, fitted on the questions of the training pass.

    Args:
        name: see :func:`count_model`.
        task: ``"sign"``, ``"existence"``, ``"joint"`` or ``"weight"``.
        train: the training pass.
        asked: passes by name.
        seed: of the classifier.

    Returns:
        Answers by name of the pass.
    """
    model = count_model(name, "regression" if task == "weight" else "classification", seed)
    model.fit(train.features.numpy(), train.questions.target.numpy())
    return {split: _predicted(model, *known) for split, known in asked.items()}


def _answers(chunk: Data, logits: Tensor) -> Answers:
    return Answers(
        logits, chunk.edge_label.flatten(), chunk.edge_label_index, chunk.edge_label_t, chunk.edge_label_event
    )


def _predicted(model: Any, questions: Answers, features: Tensor) -> Answers:
    if not hasattr(model, "predict_proba"):
        outputs = torch.from_numpy(model.predict(features.numpy()))[:, None]
    else:
        outputs = torch.from_numpy(model.predict_proba(features.numpy())).log()
        if outputs.shape[1] == 2:
            outputs = outputs[:, 1:] - outputs[:, :1]
    return questions._replace(logits=outputs.double())
