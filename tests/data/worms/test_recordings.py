"""Recordings of one's own: sizes, names and traces agree, or are refused by name."""

import pytest
import torch

from graphseq.data.worms import Recordings


def _recordings(**changes):
    """Two animals, three neurons of which the last was not seen in the second, four frames."""
    traces = torch.arange(24.0).view(2, 3, 4)
    traces[1, 2] = torch.nan
    made = {
        "traces": traces,
        "observed": torch.tensor([[True, True, True], [True, True, False]]),
        "dt": 0.5,
        "neurons": ("AVAL", "AVAR", "RID"),
        "animals": ("first", "second"),
        "behaviour": {"velocity": torch.zeros(2, 4)},
        "chemical": torch.zeros(3, 3, dtype=torch.long),
        "gap": torch.zeros(3, 3, dtype=torch.long),
        "position": torch.zeros(3, 3),
        "kind": ("inter",) * 3,
    }
    return Recordings(**made | changes)


def _spoilt(animal, neuron, frame, value):
    traces = _recordings().traces.clone()
    traces[animal, neuron, frame] = value
    return traces


def test_recordings_of_one_s_own_are_taken():
    assert _recordings().homologues() == [(0, 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traces": _spoilt(1, 0, 2, torch.nan)}, "finite where observed, got another trace of 'AVAL' in 'second'"),
        ({"traces": _spoilt(0, 2, 3, torch.inf)}, "finite where observed, got another trace of 'RID' in 'first'"),
        ({"traces": _spoilt(1, 2, 0, 1.0)}, "NaN where not observed, got another trace of 'RID' in 'second'"),
        ({"neurons": ("AVAL", "AVAL", "RID")}, "neurons must have different names, got 'AVAL' twice"),
        ({"neurons": ("AVAL", "RID")}, r"neurons must have shape \[3\], as traces \[2, 3, 4\] say, got \[2\]"),
        ({"kind": ("inter",)}, r"kind must have shape \[3\]"),
        ({"behaviour": {"speed": torch.zeros(2, 5)}}, r"behaviour 'speed' must have shape \[2, 4\], .* got \[2, 5\]"),
        ({"gap": torch.zeros(2, 2, dtype=torch.long)}, r"gap must have shape \[3, 3\]"),
        ({"dt": 0.0}, "dt must be positive, got 0.0"),
        ({"dt": float("nan")}, "dt must be positive, got nan"),
    ],
)
def test_what_does_not_agree_is_named(unchecked, changes, message):
    with pytest.raises(ValueError, match=message):
        _recordings(**changes)
