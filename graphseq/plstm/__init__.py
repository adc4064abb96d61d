"""pLSTM (Pöppel et al. 2025): source, transition and mark gates on sequences, images and graphs."""

from graphseq.plstm.scan import plstm_scan, plstm_scan_four_ways

__all__ = ["plstm_scan", "plstm_scan_four_ways"]
