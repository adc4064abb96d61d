"""Tasks that need no download: long range, over-squashing, state tracking and recall, each with exact labels."""

from graphseq.data.generated.arrows import ArrowPointing
from graphseq.data.generated.associative_recall import AssociativeRecall
from graphseq.data.generated.calcium import CalciumRecordings
from graphseq.data.generated.dataset import GeneratedDataset
from graphseq.data.generated.lfr import WeightedLFR
from graphseq.data.generated.modular_arithmetic import ModularArithmetic
from graphseq.data.generated.neighbors_match import TreeNeighborsMatch
from graphseq.data.generated.parity import MarkedParity
from graphseq.data.generated.properties import GraphProperties
from graphseq.data.generated.recall import WalkRecall
from graphseq.data.generated.resettable_memory import ResettableMemory
from graphseq.data.generated.selective_copying import SelectiveCopying
from graphseq.data.generated.switching_network import SwitchingNetwork
from graphseq.data.generated.transfer import CliquePathTransfer, CrossedRingTransfer, RingTransfer, TreeTransfer
from graphseq.data.generated.word_problem import WordProblem
