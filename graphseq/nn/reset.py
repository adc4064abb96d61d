"""Drawing the parameters of composed modules anew."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn.inits import reset


class ResetsParts(nn.Module):
    """A module whose parameters are all those of its parts."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew, and forget running statistics."""
        for part in self.children():
            reset(part)
