"""SEMBA (Sharma et al. 2023): memories of friends and foes on continuous-time signed networks."""

from graphseq.semba.answers import Answers, Counted, answer, answer_by_counts, counted
from graphseq.semba.attention import TemporalAttention
from graphseq.semba.counts import count_features, count_model
from graphseq.semba.decoder import LinearDecoder, PairDecoder
from graphseq.semba.evaluation import (
    SignScores,
    best_threshold,
    reciprocal_rank,
    score_answers,
    score_signs,
    score_unseen,
    unseen_ends,
)
from graphseq.semba.gru import GRUUpdater, HalfEvents, LastAggregator, ReleasedGRUUpdater
from graphseq.semba.memory import GRUStore, ScanStore, SignedMemory, row_features
from graphseq.semba.model import GRUSEMBA, TGN, EventNetwork, ScanSEMBA
from graphseq.semba.rules import Balance, Separate, SignRule
from graphseq.semba.scan import SignedScan
from graphseq.semba.scan_state import ScanState
from graphseq.semba.timelines import Timelines

__all__ = [
    "GRUSEMBA",
    "TGN",
    "Answers",
    "Balance",
    "Counted",
    "EventNetwork",
    "GRUStore",
    "GRUUpdater",
    "HalfEvents",
    "LastAggregator",
    "LinearDecoder",
    "PairDecoder",
    "ReleasedGRUUpdater",
    "ScanSEMBA",
    "ScanState",
    "ScanStore",
    "Separate",
    "SignRule",
    "SignScores",
    "SignedMemory",
    "SignedScan",
    "TemporalAttention",
    "Timelines",
    "answer",
    "answer_by_counts",
    "best_threshold",
    "count_features",
    "count_model",
    "counted",
    "reciprocal_rank",
    "row_features",
    "score_answers",
    "score_signs",
    "score_unseen",
    "unseen_ends",
]
