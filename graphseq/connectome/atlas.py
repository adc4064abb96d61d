"""What was on when: a table of stimuli or behaviours, motifs and communities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Bool
from torch import Tensor

from graphseq.connectome.dynamic import DynamicCommunities
from graphseq.extras import needed_by

if TYPE_CHECKING:
    import pandas as pd


def atlas(
    found: DynamicCommunities,
    epochs: Mapping[str, Bool[Tensor, " windows"]],
    *,
    names: Sequence[str] | None = None,
    animal: int | None = None,
) -> pd.DataFrame:
    """One row for each epoch, motif and community: how far the motif rises then, and who is in the community.

    Args:
        found: what :meth:`DynamicConnectome.fit` returned.
        epochs: by name, in which windows a stimulus or a behaviour was on.
        names: of the neurons; their numbers if not given.
        animal: its number; the mean over animals if not given.

    Returns:
        Columns ``epoch``, ``motif``, ``community``, ``rise`` (mean over the windows of the epoch), ``contrast`` (that
        less the mean over all other windows) and ``neurons``. An epoch without windows has no rows.

    Raises:
        ValueError: if an epoch or ``names`` does not fit in length.

    Example:
        >>> from graphseq.connectome import DynamicConnectome, Louvain, NonNegativeCP
        >>> from graphseq.data import CalciumRecordings
        >>> recordings = CalciumRecordings(num_neurons=12, num_frames=120)
        >>> found = DynamicConnectome(NonNegativeCP(2, restarts=1), Louvain()).fit(recordings.traces)
        >>> atlas(found, {"first minute": found.starts < 60}).columns.tolist()
        ['epoch', 'motif', 'community', 'rise', 'contrast', 'neurons']
    """
    with needed_by("atlas"):
        import pandas as pd

    rise = found.rise(animal)
    names = [str(number) for number in range(found.num_neurons)] if names is None else names
    if len(names) != found.num_neurons:
        raise ValueError(f"names must have one entry for each of {found.num_neurons} neurons, got {len(names)}")
    rows = []
    for epoch, windows in epochs.items():
        if windows.shape != found.starts.shape:
            raise ValueError(f"epochs[{epoch!r}] must have shape {list(found.starts.shape)}, got {list(windows.shape)}")
        if not bool(windows.any()):
            continue
        inside = rise[windows].mean(0)
        outside = rise[~windows].mean(0) if bool((~windows).any()) else inside
        for motif, labels in enumerate(found.labels):
            for community in range(int(labels.max()) + 1):
                members = [names[number] for number in (labels == community).nonzero().flatten().tolist()]
                rows.append(
                    {
                        "epoch": epoch,
                        "motif": motif,
                        "community": community,
                        "rise": float(inside[motif]),
                        "contrast": float(inside[motif] - outside[motif]),
                        "neurons": ", ".join(members),
                    }
                )
    return pd.DataFrame(rows, columns=["epoch", "motif", "community", "rise", "contrast", "neurons"])
