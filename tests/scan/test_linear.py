"""linear_scan: every backend gives the numbers of the reference, and so do the gradients."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Ragged, available_backends, last_states, linear_scan, use_backend
from tests.scan.strategies import topologies

FAST = [name for name in available_backends() if name not in ("triton", "reference")]


def _inputs(topology, decay_channels, channels, dtype, with_initial, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, generator=generator)

    decay = draw(topology.num_states, *decay_channels)
    decay = (decay / (1 + decay.abs())).requires_grad_()
    source = draw(topology.num_states, *channels).requires_grad_()
    initial = draw(topology.num_segments, *channels).requires_grad_() if with_initial else None
    return decay, source, initial


def _outcome(backend, decay, source, initial, topology, weight):
    leaves = [tensor for tensor in (decay, source, initial) if tensor is not None]
    with use_backend(backend):
        states = linear_scan(decay, source, topology, initial=initial)
        last = last_states(states, topology, initial)
        value = (states * weight).sum().real + last.abs().square().sum()
        # Unused leaves (a decay that nothing reads) have gradient zero.
        return [states, last, *torch.autograd.grad(value + 0 * sum(leaf.sum().real for leaf in leaves), leaves)]


@pytest.mark.parametrize("backend", FAST)
@given(
    topology=topologies(),
    channels=st.sampled_from([(), (1,), (3,), (17,), (2, 3)]),
    shared=st.integers(0, 2),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
    with_initial=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_fast_backends_equal_the_reference(backend, topology, channels, shared, dtype, with_initial):
    decay_channels = channels[: max(0, len(channels) - shared)] if shared < 2 else tuple(1 for _ in channels)
    decay, source, initial = _inputs(topology, decay_channels, channels, dtype, with_initial)
    weight = torch.linspace(-1, 1, source.numel(), dtype=torch.float64).reshape(source.shape)
    expected = _outcome("reference", decay, source, initial, topology, weight)
    got = _outcome(backend, decay, source, initial, topology, weight)
    for a, b in zip(expected, got, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


def test_golden_complex_scan_with_resets(backend, golden):
    g = golden("sequence/complex_scan_reset_1")
    batch, length = g["reset"].shape
    for direction in ("fwd", "rev"):
        # A reset is a segment bound; what enters a row's first segment is h0 there and nothing elsewhere.
        starts = g["reset"].clone() if direction == "fwd" else g["reset"].roll(1, 1)
        starts[:, 0] = True
        flat = starts.flatten().nonzero().squeeze(1)
        topology = Ragged(torch.cat([flat, torch.tensor([batch * length])]))
        a, b, h0 = (g[key].clone().requires_grad_() for key in ("a", "b", "h0"))
        row = flat // length
        at_edge = (
            flat % length == 0 if direction == "fwd" else torch.cat([flat[1:], flat.new_tensor([0])]) % length == 0
        )
        reset_there = (g["reset"][:, 0] if direction == "fwd" else g["reset"][:, -1])[row]
        enters = (at_edge & ~reset_there)[:, None]
        initial = torch.where(enters, h0[row], torch.zeros_like(h0[row]))
        h = linear_scan(a.flatten(0, 1), b.flatten(0, 1), topology, initial=initial, reverse=direction == "rev")
        h = h.view(batch, length, -1)
        (h.real * g["cot_h"].real + h.imag * g["cot_h"].imag).sum().backward()
        torch.testing.assert_close(h, g[f"{direction}_h"], rtol=1e-10, atol=1e-10)
        for leaf, key in ((a, "grad_a"), (b, "grad_b"), (h0, "grad_h0")):
            torch.testing.assert_close(leaf.grad, g[f"{direction}_{key}"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["ssd_1", "ssd_2_init_state"])
def test_golden_state_space_duality(backend, golden, name):
    """Mamba-2's recurrence is the scan with one decay a head and a matrix state."""
    g = golden(f"mamba/{name}")
    batch, length = g["X"].shape[:2]
    leaves = {key: g[key].clone().requires_grad_() for key in ("X", "A", "B", "C", "initial_states") if key in g}
    flat = {key: tensor.flatten(0, 1) for key, tensor in leaves.items() if key != "initial_states"}
    initial = leaves["initial_states"].squeeze(1) if "initial_states" in leaves else None
    topology = Ragged.equal(batch, length)
    states = linear_scan(flat["A"].exp(), flat["X"][..., None] * flat["B"][:, :, None, :], topology, initial=initial)
    y = (states * flat["C"][:, :, None, :]).sum(-1).view(g["Y"].shape)
    last = last_states(states, topology, initial)
    torch.testing.assert_close(y, g["Y"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last, g["final_state"], rtol=1e-10, atol=1e-10)
    ((y * g["cot_Y"]).sum() + (last * g["cot_state"]).sum()).backward()
    for key, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad, g[f"grad_{key}"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("reverse", [False, True])
def test_decay_at_a_start_is_never_read(backend, bad, reverse):
    topology = Ragged(torch.tensor([0, 3, 70]))
    decay, source, _ = _inputs(topology, (2,), (2,), torch.float64, False)
    clean = linear_scan(decay, source, topology, reverse=reverse)
    starts = torch.tensor([2, 69]) if reverse else torch.tensor([0, 3])
    broken = decay.detach().index_fill(0, starts, bad).requires_grad_()
    states = linear_scan(broken, source, topology, reverse=reverse)
    torch.testing.assert_close(states, clean)
    states.square().sum().backward()
    assert broken.grad.isfinite().all()
    assert (broken.grad[starts] == 0).all()
    assert source.grad.isfinite().all()


def test_later_input_never_changes_earlier_states(backend):
    topology = Ragged(torch.tensor([0, 50]))
    decay, source, _ = _inputs(topology, (4,), (4,), torch.float64, False)
    changed = source.detach().clone()
    changed[30:] += 1
    assert torch.equal(linear_scan(decay, source, topology)[:30], linear_scan(decay, changed, topology)[:30])


def test_packing_changes_nothing(backend):
    lengths = [5, 0, 60, 1]
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    decay, source, initial = _inputs(topology, (3,), (3,), torch.float64, True)
    packed = linear_scan(decay, source, topology, initial=initial)
    alone = [
        linear_scan(d, s, Ragged.equal(1, n), initial=i[None])
        for d, s, i, n in zip(decay.split(lengths), source.split(lengths), initial, lengths, strict=True)
    ]
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-13, atol=1e-13)


def test_reverse_equals_flipping_each_segment(backend):
    lengths = [4, 7]
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    decay, source, initial = _inputs(topology, (3,), (3,), torch.float64, True)

    def flip(tensor):
        return torch.cat([part.flip(0) for part in tensor.split(lengths)])

    expected = flip(linear_scan(flip(decay), flip(source), topology, initial=initial))
    torch.testing.assert_close(linear_scan(decay, source, topology, initial=initial, reverse=True), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("decay_channels", [(2,), (1,)])
def test_derivatives_of_both_orders(backend, dtype, decay_channels):
    topology = Ragged(torch.tensor([0, 3, 3, 7]))
    inputs = _inputs(topology, decay_channels, (2,), dtype, True)
    for reverse in (False, True):

        def scan(decay, source, initial, reverse=reverse):
            return linear_scan(decay, source, topology, initial=initial, reverse=reverse)

        assert torch.autograd.gradcheck(scan, inputs)
        assert torch.autograd.gradgradcheck(scan, inputs)


def test_vmap_over_a_batch_equals_a_loop():
    topology = Ragged(torch.tensor([0, 2, 6]))
    decay, source = torch.rand(5, 6, 3), torch.randn(5, 6, 3)
    with use_backend("torch"):
        mapped = torch.func.vmap(lambda d, s: linear_scan(d, s, topology))(decay, source)
        shared = torch.func.vmap(lambda s: linear_scan(decay[0], s, topology))(source)
        torch.testing.assert_close(
            mapped, torch.stack([linear_scan(d, s, topology) for d, s in zip(decay, source, strict=True)])
        )
        torch.testing.assert_close(shared, torch.stack([linear_scan(decay[0], s, topology) for s in source]))


def test_growing_states_survive_being_cut_into_pieces():
    """Decays above one: products over a piece stay finite, those over the whole length would not."""
    topology = Ragged.equal(1, 4000)
    decay = torch.full((4000, 1), 1.5, dtype=torch.float64)
    decay[::50] = 1e-9
    source = torch.randn(4000, 1, dtype=torch.float64)
    with use_backend("reference"):
        expected = linear_scan(decay, source, topology)
    with use_backend("torch"):
        torch.testing.assert_close(linear_scan(decay, source, topology), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_a_float32_state(backend, half):
    topology = Ragged.equal(1, 300)
    decay, source = torch.full((300, 2), 0.99).to(half), torch.full((300, 2), 0.01).to(half)
    states = linear_scan(decay, source, topology)
    assert states.dtype == half
    exact = linear_scan(decay.double(), source.double(), topology)
    # Half a unit in the last place of the result alone; a state in half precision would stall far below.
    torch.testing.assert_close(states.double(), exact, rtol=2 * torch.finfo(half).eps, atol=0)


def test_thread_count_changes_no_more_than_rounding(backend):
    topology = Ragged(torch.tensor([0, 900, 1000]))
    decay, source, _ = _inputs(topology, (8,), (8,), torch.float64, False)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        results.append(linear_scan(decay, source, topology))
    torch.set_num_threads(before)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"source": torch.ones(4, 2)}, ValueError, "ptr must end at the number of rows of source: ptr ends at 5"),
        ({"decay": torch.ones(6, 2)}, ValueError, "ptr must end at the number of rows of decay: ptr ends at 5"),
        ({"decay": torch.ones(5, 3)}, ValueError, "decay must have the channel axes of source [2]"),
        ({"decay": torch.ones(5, 2, 1)}, ValueError, "decay must have the channel axes of source [2]"),
        ({"source": torch.ones(5, 2).long()}, TypeError, "source must have a floating or complex dtype"),
        ({"source": torch.ones(5, 2).double()}, TypeError, "source must have the dtype of decay (torch.float32)"),
        ({"initial": torch.ones(3, 2)}, ValueError, "initial must have shape [2, 2], got [3, 2]"),
        ({"source": torch.ones(5, 2, device="meta")}, ValueError, "source must be on the device of topology (cpu)"),
        ({"topology": torch.tensor([0, 5])}, TypeError, "topology must be a Ragged or Grid or Dag, got Tensor"),
        ({"decay": 0.5}, TypeError, "decay must be a tensor, got float"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(change, error, words, unchecked):
    given_ = {"decay": torch.ones(5, 2), "source": torch.ones(5, 2), "topology": Ragged(torch.tensor([0, 2, 5]))}
    with pytest.raises(error) as caught:
        linear_scan(**{**given_, **change})
    assert words in str(caught.value)


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend 'cuda' is unknown; available:"), use_backend("cuda"):
        pass


def test_the_choice_of_backend_ends_with_the_block():
    """Also when the block ends by an error."""
    from graphseq.scan import _dispatch

    with pytest.raises(KeyError), use_backend("reference"):
        raise KeyError
    assert _dispatch._chosen.get() is None


def test_missing_kernels_are_said_once(monkeypatch):
    from graphseq.scan import _dispatch

    monkeypatch.setattr(_dispatch.native, "AVAILABLE", False)
    _dispatch._tell_once.cache_clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            linear_scan(torch.ones(2), torch.ones(2), Ragged.equal(1, 2))
    assert [str(warning.message)[:26] for warning in told] == ["graphseq's C++ kernels are"]


@pytest.mark.parametrize("decay_channels", [0, 1])
def test_no_channels_are_no_work(backend, decay_channels):
    decay = torch.ones(3, decay_channels, requires_grad=True)
    states = linear_scan(decay, torch.ones(3, 0), Ragged.equal(1, 3))
    assert states.shape == (3, 0)
    (grad,) = torch.autograd.grad(states.sum(), decay)
    assert torch.equal(grad, torch.zeros_like(decay))
