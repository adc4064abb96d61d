"""Multivariate time series: values, gaps, splits, scaling and windows."""

from graphseq.data.series.catalogue import SeriesManifest, describe_series, load_series, series_names
from graphseq.data.series.flow import Flow, flow_series
from graphseq.data.series.scaling import Scaling
from graphseq.data.series.series import Borders, Series
from graphseq.data.series.windows import Window, Windows

__all__ = [
    "Borders",
    "Flow",
    "Scaling",
    "Series",
    "SeriesManifest",
    "Window",
    "Windows",
    "describe_series",
    "flow_series",
    "load_series",
    "series_names",
]
