"""Attention against its equation, and its cache."""

import math

import pytest
import torch

from graphseq.scan import Ragged
from graphseq.sequence import Attention


def test_attention_is_its_equation():
    layer, x = Attention(8, heads=2).double(), torch.randn(12, 8, dtype=torch.float64)
    q, k, v = (x @ layer.in_proj.weight.t()).view(12, 3, 2, 4).unbind(1)
    outputs = torch.zeros(12, 2, 4, dtype=torch.float64)
    for head in range(2):
        # A pair of channels is a complex number, which its place turns.
        turn = torch.exp(1j * torch.arange(12)[:, None] * torch.tensor([1.0, 0.01], dtype=torch.float64))
        query, key = (torch.complex(part[:, head, :2], part[:, head, 2:]) * turn for part in (q, k))
        for t in range(12):
            scores = torch.stack([(query[t] * key[s].conj()).real.sum() for s in range(t + 1)]) / math.sqrt(4)
            outputs[t, head] = scores.softmax(0) @ v[: t + 1, head]
    expected = outputs.flatten(1) @ layer.out_proj.weight.t()
    torch.testing.assert_close(layer(x, Ragged.equal(1, 12)), expected, rtol=1e-10, atol=1e-10)
    # Of two segments the shorter one is padded.
    packed = layer(torch.cat([x, x[:5]]), Ragged(torch.tensor([0, 12, 17])))
    torch.testing.assert_close(packed, torch.cat([expected, expected[:5]]), rtol=1e-10, atol=1e-10)


def test_only_differences_of_places_matter():
    """Cut off what came before, and the rest of a sequence that attends to itself alone is the same."""
    layer, x = Attention(8, heads=2).double(), torch.randn(1, 9, 8, dtype=torch.float64)
    state = layer.initial_state(1)
    _, state = layer.advance(x[:, :4], state)
    moved = state._replace(keys=state.keys[:, :, :0], values=state.values[:, :, :0], length=torch.tensor([0]))
    torch.testing.assert_close(layer.advance(x[:, 4:], moved)[0], layer(x[:, 4:]), rtol=1e-10, atol=1e-10)


def test_a_restarted_cache_shrinks_to_what_counts():
    layer = Attention(8, heads=2)
    _, state = layer.advance(torch.randn(2, 50, 8), layer.initial_state(2))
    state = layer.restart(state, torch.tensor([True, True]))
    _, state = layer.step(torch.randn(2, 8), state)
    assert state.keys.shape[2] == 1


def test_no_pairs_of_tokens_are_held_without_a_past(monkeypatch):
    """Also not where all streams were restarted, and what they held lies behind what they read now."""
    layer = Attention(8, heads=2).double()
    lengths = torch.tensor([7, 0, 3])
    topology, x = Ragged(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])), torch.randn(10, 8, dtype=torch.float64)
    _, state = layer.advance(torch.randn(3, 20, 8, dtype=torch.float64), layer.initial_state(3))
    state = layer.restart(state, torch.tensor([True, True, True]))
    monkeypatch.setattr("graphseq.sequence.attention._seen", None)
    y, state = layer.advance(x, state, topology)
    torch.testing.assert_close(y, layer(x, topology), rtol=1e-10, atol=1e-10)
    assert torch.equal(state.length, lengths)
    with pytest.raises(TypeError, match="not callable"):
        layer.advance(x, state, topology)


def test_heads_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="heads must divide channels = 6 into even sizes, got 2"):
        Attention(6, heads=2)
