"""Which memory of a peer an event reads, and which memory of its owner it reaches."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


class SignRule:
    """How the sign of an event acts on the two memories, friend and foe, of its owner."""

    def reads(
        self, memory: Float[Tensor, "halves 2 channels"], sign: Int[Tensor, " halves"]
    ) -> Float[Tensor, "halves 2 channels"]:
        """What of the peer's two memories reaches the owner's friend and foe memory."""
        raise NotImplementedError

    def receives(self, sign: Int[Tensor, " halves"]) -> Float[Tensor, "halves 2"]:
        """1 where the event reaches the owner's friend and foe memory, else 0."""
        raise NotImplementedError

    def coefficients(self, sign: Int[Tensor, " halves"]) -> Float[Tensor, "halves 2"]:
        """What multiplies the inputs of the two recurrences of a scan."""
        raise NotImplementedError

    def friend_and_foe(self, states: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows 2"]:
        """Friend and foe memory from the states of the two recurrences."""
        raise NotImplementedError


class Balance(SignRule):
    r"""Balance theory (Heider 1946; Cartwright & Harary 1956), as in Sharma et al. 2023.

    A positive event reads straight: the friend's friend is a friend, the friend's foe a foe. A negative one reads
    crossed: the foe's foe is a friend, the foe's friend a foe.

    In a scan the two memories are carried as :math:`c = P + Q` and :math:`D = P - Q`: reading straight keeps both,
    reading crossed keeps :math:`c` and negates :math:`D`, so that the crossing becomes the factor :math:`s` in one
    recurrence.
    """

    def reads(
        self, memory: Float[Tensor, "halves 2 channels"], sign: Int[Tensor, " halves"]
    ) -> Float[Tensor, "halves 2 channels"]:
        return torch.where((sign > 0)[:, None, None], memory, memory.flip(1))

    def receives(self, sign: Int[Tensor, " halves"]) -> Float[Tensor, "halves 2"]:
        return torch.ones(len(sign), 2, device=sign.device)

    def coefficients(self, sign: Int[Tensor, " halves"]) -> Float[Tensor, "halves 2"]:
        return torch.stack([torch.ones_like(sign), sign], dim=1).to(torch.get_default_dtype())

    def friend_and_foe(self, states: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows 2"]:
        total, difference = states.unbind(-1)
        return torch.stack([total + difference, total - difference], dim=-1) / 2


class Separate(SignRule):
    """Without balance theory: positive events feed the friend memory, negative ones the foe memory, all read straight.

    Sign then says which memory is meant, and nothing about the peer's friends and foes.
    """

    def reads(
        self, memory: Float[Tensor, "halves 2 channels"], sign: Int[Tensor, " halves"]
    ) -> Float[Tensor, "halves 2 channels"]:
        return memory

    def receives(self, sign: Int[Tensor, " halves"]) -> Float[Tensor, "halves 2"]:
        return torch.stack([sign > 0, sign < 0], dim=1).to(torch.get_default_dtype())

    def coefficients(self, sign: Int[Tensor, " halves"]) -> Float[Tensor, "halves 2"]:
        return self.receives(sign)

    def friend_and_foe(self, states: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows 2"]:
        return states
