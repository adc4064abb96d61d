"""MambaMixer: what its weights reach, and what a channel mixer sees."""

import pytest
import torch

from graphseq.scan import Ragged
from graphseq.sequence import MambaMixer


def _mixer(layers):
    return MambaMixer(8, layers=layers, piece=2, state_size=3).double()


def test_one_layer_is_a_token_mixer_then_a_channel_mixer():
    mixer, x = _mixer(1), torch.randn(5, 8, dtype=torch.float64)
    topology = Ragged.equal(1, 5)
    h = x + mixer.token_mixers[0](mixer.token_norms[0](x), topology)
    rows = []
    for token in h:
        cut = mixer.channel_norms[0](token).view(1, 4, 2)
        rows.append(token + mixer.channel_mixers[0](cut).view(8))
    torch.testing.assert_close(mixer(x, topology), torch.stack(rows), rtol=1e-10, atol=1e-10)


def test_inputs_are_weighted_sums_of_everything_before():
    """Layer by layer as the paper writes it, with weights of every pair."""
    mixer, x = _mixer(3), torch.randn(5, 8, dtype=torch.float64)
    topology = Ragged.equal(1, 5)
    y_T, y_C = [x], [x]
    for layer in range(1, 4):
        alpha, beta = torch.randn(layer).double(), torch.randn(layer).double()
        theta, gamma = torch.randn(layer + 1).double(), torch.randn(layer).double()
        with torch.no_grad():
            mixer.token_weights[layer - 1].copy_(torch.stack([alpha, beta]))
            mixer.channel_weights[layer - 1].copy_(torch.cat([theta, gamma]))
        h = sum(alpha[i] * y_T[i] + beta[i] * y_C[i] for i in range(layer))
        y_T.append(h + mixer.token_mixers[layer - 1](mixer.token_norms[layer - 1](h), topology))
        h = sum(theta[i] * y_T[i] for i in range(layer + 1)) + sum(gamma[i] * y_C[i] for i in range(layer))
        cut = mixer.channel_norms[layer - 1](h).view(5, 4, 2)
        y_C.append(h + mixer.channel_mixers[layer - 1](cut).view(5, 8))
    torch.testing.assert_close(mixer(x, topology), y_C[-1], rtol=1e-10, atol=1e-10)


def test_pieces_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="piece must divide channels = 8, got 3"):
        MambaMixer(8, piece=3)
