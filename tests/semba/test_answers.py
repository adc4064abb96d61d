"""Answers of a pass, their scores against scikit-learn's and by hand, and the classifiers on counts."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from sklearn import metrics
from torch_geometric.data import Data

from graphseq.data import ExistenceTask, JointTask, SignedNetwork, SignTask, WeightTask, signed_benchmark
from graphseq.semba import Answers, answer, answer_by_counts, counted, score_answers, score_unseen

ROOT = Path(__file__).parents[2]
TASKS = {"sign": SignTask(), "existence": ExistenceTask(4), "joint": JointTask(1), "weight": WeightTask()}


def _bench(task, chunk=None):
    events = SignedNetwork(num_nodes=30, num_events=600, drift=0.0, noise=0.0).events
    return signed_benchmark(events, TASKS[task], chunk=chunk)


def _told(chunk):
    """The time, which tells whether questions keep their order."""
    return chunk.edge_label_t[:, None]


@pytest.mark.parametrize("chunk", [7, 100])
def test_chunks_come_back_as_one_pass_in_the_order_of_the_stream(chunk):
    whole, parts = (answer(_told, _bench("existence", size).test) for size in (None, chunk))
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whole.logits[:, 0], whole.t)
    assert bool((whole.event.diff() >= 0).all())


def test_a_joint_answer_holds_one_about_existence_and_one_about_the_sign():
    torch.manual_seed(0)
    target = torch.tensor([0, 2, 1, 2, 1, 1, 0, 2])
    logits = torch.randn(8, 3, dtype=torch.float64)
    answers = Answers(logits, target, torch.zeros(2, 8, dtype=torch.int64), torch.zeros(8), torch.zeros(8))
    scores, probability = score_answers("joint", answers, answers), logits.softmax(1)
    called = logits.argmax(1)
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(target, called, average="macro"))
    assert scores["weighted_f1"] == pytest.approx(metrics.f1_score(target, called, average="weighted"))
    assert scores["existence_rocauc"] == pytest.approx(metrics.roc_auc_score(target != 2, 1 - probability[:, 2]))
    real = target != 2
    share = probability[real, 1] / (1 - probability[real, 2])
    assert scores["sign_rocauc"] == pytest.approx(metrics.roc_auc_score(target[real], share))


def test_each_event_is_ranked_among_the_pairs_drawn_for_it():
    logits = torch.tensor([3.0, 1.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0])[:, None].double()
    target = torch.tensor([1.0, 0, 0, 1, 0, 0, 1, 0, 0])
    answers = Answers(logits, target, torch.zeros(2, 9, dtype=torch.int64), torch.zeros(9), torch.zeros(9))
    assert score_answers("existence", answers, answers)["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_sign_scores_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 1, dtype=torch.float64, generator=generator)
    target = (logits[:, 0] + torch.randn(200, generator=generator) > -1).float()
    answers = Answers(logits, target, torch.zeros(2, 200, dtype=torch.int64), logits[:, 0], torch.arange(200))
    scores = score_answers("sign", answers, answers)
    assert scores["rocauc"] == pytest.approx(metrics.roc_auc_score(target, logits))
    # The rare class is what is to be found: large where the logit is small.
    assert scores["ap_negative"] == pytest.approx(metrics.average_precision_score(1 - target, -logits))


def test_the_threshold_comes_from_validation():
    logits = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64)[:, None]
    val = Answers(
        logits, torch.tensor([0.0, 0, 0, 1]), torch.zeros(2, 4, dtype=torch.int64), logits[:, 0], logits[:, 0]
    )
    test = val._replace(target=torch.tensor([0.0, 0, 1, 1]))
    assert score_answers("sign", val, test)["macro_f1"] == pytest.approx(
        metrics.f1_score([0, 0, 1, 1], [0, 0, 0, 1], average="macro")
    )


@pytest.mark.parametrize("task", list(TASKS))
def test_past_counts_tell_something_about_a_balanced_network(task):
    bench = _bench(task)
    asked = {"val": counted(bench.val), "test": counted(bench.test)}
    found = answer_by_counts("logistic", task, counted(bench.train), asked)
    scores = score_answers(task, found["val"], found["test"])
    assert all(value == value for value in scores.values())
    known = answer(_told, bench.test)
    assert torch.equal(found["test"].target, known.target)
    assert found["test"].logits.shape == (len(known.target), 3 if task == "joint" else 1)
    better_than_chance = {"sign": "rocauc", "existence": "rocauc", "joint": "existence_rocauc", "weight": "pearson"}
    assert scores[better_than_chance[task]] > (0.0 if task == "weight" else 0.5)


@pytest.mark.parametrize("task", list(TASKS))
def test_scores_by_unseen_ends_are_those_of_the_events_alone(task):
    """Users 0 to 4 are in training; the pairs drawn for an event go with it, whoever they are."""
    per_event, events = 1 + TASKS[task].negatives, 60
    train = [Data(edge_index=torch.tensor([[0, 1, 2], [3, 4, 0]]))]
    src, dst = torch.randint(10, (2, events), generator=torch.Generator().manual_seed(0))
    pairs = torch.randint(10, (2, events, per_event), generator=torch.Generator().manual_seed(1))
    pairs[:, :, 0] = torch.stack([src, dst])
    event = (torch.arange(events) + 7).repeat_interleave(per_event)
    sign = torch.where(torch.arange(events) % 3 == 0, -1, 1)
    target = TASKS[task].labels(sign, torch.ones(events)).flatten()
    logits = torch.randn(len(event), 3 if task == "joint" else 1, generator=torch.Generator().manual_seed(2))
    test = Answers(logits.double(), target, pairs.flatten(1), event.double(), event)
    found = score_unseen(task, test, test, train)
    assert sorted(found) == [0, 1, 2]
    for number, scores in found.items():
        chosen = ((src > 4).long() + (dst > 4).long() == number).repeat_interleave(per_event)
        assert scores == score_answers(task, test, test.where(chosen))


def test_a_task_that_does_not_exist_is_named():
    answers = answer(_told, _bench("sign").test)
    with pytest.raises(ValueError, match=r"task must be one of .*joint.* got 'class'"):
        score_answers("class", answers, answers)


def test_tables_on_record_are_made_of_their_own_rows():
    spec = importlib.util.spec_from_file_location("table", ROOT / "examples" / "bitcoin" / "table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    paths = sorted((ROOT / "docs" / "results" / "bitcoin").glob("table-*.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        assert record["table"].startswith(table.markdown(record["rows"]))
