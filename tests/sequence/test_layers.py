"""What holds for every layer: packed or dense, streamed or at once, saved, restarted, reset."""

import io

import pytest
import torch

from graphseq.scan import Ragged
from graphseq.sequence import Mamba, episodes
from graphseq.sequence.layer import map_state
from tests.sequence.layers import LAYERS, STREAMING

CHANNELS = 8
# Longer than a chunk of the linear attention layers (64 tokens) and of the delta rule (32), with short and empty ones.
LENGTHS = [70, 0, 9, 1, 131]


def _made(name):
    layer = LAYERS[name](CHANNELS).double()
    # Away from an initialisation that hides terms which start at zero.
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return layer.eval()


def _packed(lengths=LENGTHS):
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    return torch.randn(topology.num_states, CHANNELS, dtype=torch.float64), topology


def _close(one, other):
    # Sums in another order, through layers of a few hundred tokens.
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_packing_changes_nothing(name):
    x, topology = _packed()
    layer = _made(name)
    alone = [layer(part[None])[0] for part in x.split(LENGTHS) if part.shape[0]]
    _close(layer(x, topology), torch.cat(alone))


@pytest.mark.parametrize("name", STREAMING)
def test_steps_equal_the_parallel_form(name):
    layer = _made(name)
    x = torch.randn(2, 75, CHANNELS, dtype=torch.float64)
    state, outputs = layer.initial_state(2), []
    for token in x.unbind(1):
        y, state = layer.step(token, state)
        outputs.append(y)
    _close(torch.stack(outputs, 1), layer(x))


@pytest.mark.parametrize("name", STREAMING)
def test_any_number_of_tokens_may_come_at_once(name):
    """Streams of different lengths, one of which gets nothing at first, then nothing again."""
    layer = _made(name)
    x, topology = _packed()
    first, second = [40, 0, 9, 0, 66], [30, 0, 0, 1, 65]
    parts = [part.split([a, b]) for part, a, b in zip(x.split(LENGTHS), first, second, strict=True)]
    state, outputs = layer.initial_state(len(LENGTHS)), []
    for turn, lengths in enumerate((first, second)):
        piece = Ragged(torch.tensor([0, *lengths]).cumsum(0))
        y, state = layer.advance(torch.cat([part[turn] for part in parts]), state, piece)
        outputs.append(y.split(lengths))
    got = torch.cat([torch.cat(pieces) for pieces in zip(*outputs, strict=True)])
    _close(got, layer(x, topology))


@pytest.mark.parametrize("name", STREAMING)
def test_later_tokens_never_change_earlier_ones(name):
    layer = _made(name)
    x = torch.randn(1, 80, CHANNELS, dtype=torch.float64)
    changed = x.clone()
    changed[:, 70:] += 1
    _close(layer(x)[:, :70], layer(changed)[:, :70])
    assert not torch.allclose(layer(x)[:, 70:], layer(changed)[:, 70:])


@pytest.mark.parametrize("name", STREAMING)
def test_a_reversed_topology_reads_each_segment_from_its_end(name):
    layer = _made(name)
    x, topology = _packed([70, 0, 9])
    flipped = torch.cat([part.flip(0) for part in x.split([70, 0, 9])])
    expected = torch.cat([part.flip(0) for part in layer(flipped, topology).split([70, 0, 9])])
    _close(layer(x, topology.reverse()), expected)


@pytest.mark.parametrize("name", STREAMING)
def test_a_saved_state_goes_on_where_it_was(name):
    layer = _made(name)
    x = torch.randn(2, 6, CHANNELS, dtype=torch.float64)
    _, state = layer.advance(x[:, :5], layer.initial_state(2))
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert type(loaded) is type(state)
    torch.testing.assert_close(layer.step(x[:, 5], loaded)[0], layer.step(x[:, 5], state)[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", STREAMING)
def test_a_step_leaves_the_state_it_got_unchanged(name):
    layer = _made(name)
    x = torch.randn(2, 4, CHANNELS, dtype=torch.float64)
    _, state = layer.advance(x[:, :3], layer.initial_state(2))
    kept = map_state(torch.clone, state)
    layer.step(x[:, 3], state)
    map_state(lambda one, other: torch.testing.assert_close(one, other, rtol=0, atol=0), kept, state)


@pytest.mark.parametrize("name", STREAMING)
def test_episodes_know_nothing_of_one_another(name):
    """The learner's scan over a rollout with episode starts equals the actor's steps with restarts."""
    layer = _made(name)
    x = torch.randn(2, 9, CHANNELS, dtype=torch.float64)
    starts = torch.zeros(2, 9, dtype=torch.bool)
    starts[0, 4] = starts[1, 0] = starts[1, 7] = starts[1, 8] = True
    state, outputs = layer.initial_state(2), []
    for token, start in zip(x.unbind(1), starts.unbind(1), strict=True):
        y, state = layer.step(token, layer.restart(state, start))
        outputs.append(y)
    scanned = layer(x.flatten(0, 1), episodes(starts.flatten(), Ragged.equal(2, 9)))
    _close(torch.stack(outputs, 1).flatten(0, 1), scanned)
    assert not torch.allclose(scanned, layer(x).flatten(0, 1))


@pytest.mark.parametrize("name", LAYERS)
def test_every_parameter_gets_a_gradient(name):
    layer = _made(name).train()
    x, topology = _packed([5, 0, 3])
    layer(x, topology).square().sum().backward()
    for parameter_name, parameter in layer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert (parameter.grad != 0).any(), parameter_name


@pytest.mark.parametrize("name", LAYERS)
def test_resetting_starts_again_from_another_draw_of_the_same_kind(name):
    torch.manual_seed(3)
    layer = LAYERS[name](CHANNELS)
    made = {key: value.clone() for key, value in layer.state_dict().items()}
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1)
    torch.manual_seed(3)
    layer.reset_parameters()
    fresh = LAYERS[name](CHANNELS)
    for key, value in layer.state_dict().items():
        # Drawn or constant, all of it was written again: what is constant is what it was.
        assert value.isfinite().all()
        if torch.equal(made[key], fresh.state_dict()[key]):
            torch.testing.assert_close(value, made[key])
        else:
            assert not torch.equal(value, made[key] + 1), key


@pytest.mark.parametrize("name", LAYERS)
def test_repr_names_the_class_and_its_width(name):
    layer = LAYERS[name](CHANNELS)
    assert repr(layer).startswith(f"{type(layer).__name__}({CHANNELS}")


@pytest.mark.parametrize("name", LAYERS)
def test_no_tokens_at_all(name):
    layer = LAYERS[name](CHANNELS)
    assert layer(torch.zeros(0, CHANNELS), Ragged(torch.tensor([0, 0, 0]))).shape == (0, CHANNELS)


def test_episodes_are_named_when_they_do_not_fit(unchecked):
    with pytest.raises(ValueError, match="starts must have shape \\[4\\], got \\[3\\]"):
        episodes(torch.zeros(3, dtype=torch.bool), Ragged.equal(1, 4))
    with pytest.raises(ValueError, match="topology must run forward"):
        episodes(torch.zeros(4, dtype=torch.bool), Ragged.equal(1, 4).reverse())


def test_a_layer_on_half_precision_states_keeps_its_window_in_the_dtype_of_the_input():
    layer = Mamba(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer.advance(torch.randn(1, 5, 8), layer.initial_state(1))
        y, state = layer.step(torch.randn(1, 8), state)
    assert y.dtype == torch.bfloat16
    assert state.ssm.dtype == torch.float32


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_input_is_named(unchecked, name):
    layer, topology, x = LAYERS[name](CHANNELS).eval(), Ragged(torch.tensor([0, 3, 5])), torch.randn(5, CHANNELS)
    for wrong, error, message in (
        ((x[:, :7], topology), ValueError, r"x must have shape \[T, 8\] with a topology, got \[5, 7\]"),
        ((x[:, 0], topology), ValueError, r"x must have shape \[T, 8\] with a topology, got \[5\]"),
        ((x,), ValueError, r"x must have shape \[B, L, 8\] without a topology, got \[5, 8\]"),
        ((x[:4], topology), ValueError, r"one row for each of the 5 tokens of topology, got shape \[4, 8\]"),
        ((torch.cat([x, x]), topology), ValueError, r"each of the 5 tokens of topology, got shape \[10, 8\]"),
        ((x.double(), topology), TypeError, r"dtype of the layer's weights \(torch.float32\), got torch.float64"),
        ((x.long(), topology), TypeError, "x must have the dtype of the layer's weights .*, got torch.int64"),
        ((x.to("meta"), topology), ValueError, r"x must be on the device of topology \(cpu\), got meta"),
        ((x.tolist(), topology), TypeError, "x must be a dense tensor, got list"),
        ((x.to_sparse(), topology), TypeError, "x must be a dense tensor, got a tensor in the layout torch.sparse_coo"),
        ((x, topology.ptr), TypeError, "topology must be a Ragged, got Tensor"),
    ):
        with pytest.raises(error, match=message):
            layer(*wrong)


@pytest.mark.parametrize("name", STREAMING)
def test_a_state_of_other_streams_is_named(unchecked, name):
    layer = LAYERS[name](CHANNELS).eval()
    for streams, of_state in ((3, 2), (3, 1), (1, 3)):
        message = f"state must have one row for each of {streams} streams, got {of_state}"
        with pytest.raises(ValueError, match=message):
            layer.step(torch.randn(streams, CHANNELS), layer.initial_state(of_state))
        with pytest.raises(ValueError, match=message):
            layer.advance(torch.randn(streams, 2, CHANNELS), layer.initial_state(of_state))
    with pytest.raises(ValueError, match=r"x must have shape \[streams, 8\], got \[2, 1, 8\]"):
        layer.step(torch.randn(2, 1, CHANNELS), layer.initial_state(2))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e38])
@pytest.mark.parametrize("name", STREAMING)
def test_a_restarted_stream_reads_nothing_of_what_was(name, value):
    """One stream of two has diverged; after its restart both go on as if it never had."""
    layer, x = LAYERS[name](CHANNELS).eval(), torch.randn(2, 9, CHANNELS)
    broken, done = x.clone(), torch.tensor([True, False])
    broken[0, :6] = value

    def after(tokens):
        for parameter in layer.parameters():
            parameter.grad = None
        with torch.no_grad():
            _, state = layer.advance(tokens[:, :6], layer.initial_state(2))
        state, outputs = layer.restart(state, done), []
        for token in tokens[:, 6:].unbind(1):
            y, state = layer.step(token, state)
            outputs.append(y)
        torch.stack(outputs).square().sum().backward()
        return [torch.stack(outputs).detach(), *(parameter.grad for parameter in layer.parameters())]

    for found, expected in zip(after(broken), after(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
