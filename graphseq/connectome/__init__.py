"""Which neurons act together, and when: affinities, factors, communities, and hidden states of the network."""

from graphseq.connectome.hmm import Path, Posterior, forward_backward, log_evidence, viterbi

__all__ = ["Path", "Posterior", "forward_backward", "log_evidence", "viterbi"]
