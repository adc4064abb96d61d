"""Streams of signed events: your own table, the Bitcoin trust networks, a generated network, and what to predict."""

from graphseq.data.signed.chunks import signed_benchmark
from graphseq.data.signed.events import SignedStream, events_from_table, signed_events
from graphseq.data.signed.formats import read_bitcoin, read_konect, read_wiki_rfa
from graphseq.data.signed.named import load_events
from graphseq.data.signed.negatives import draw_negatives
from graphseq.data.signed.network import SignedNetwork
from graphseq.data.signed.tasks import EVENT_TASKS, EventTask, ExistenceTask, JointTask, SignTask, WeightTask
