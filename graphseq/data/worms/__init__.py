"""Whole-brain recordings of *C. elegans* with names, behaviour and anatomy."""

from graphseq.data.worms.recordings import Recordings
from graphseq.data.worms.worms import describe_worms, load_worms

__all__ = ["Recordings", "describe_worms", "load_worms"]
