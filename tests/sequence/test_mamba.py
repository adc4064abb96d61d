"""Mamba blocks: golden parity, streaming, and segments that know nothing of one another."""

import pytest
import torch

from graphseq.scan import Ragged, causal_conv
from graphseq.sequence import BiMamba, Mamba, Mamba2


def _packed(lengths, channels=6):
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    return torch.randn(topology.num_states, channels, dtype=torch.float64), topology


def _golden_layer(g):
    config = {key[4:]: g[key].item() for key in g if key.startswith("cfg_")}
    channels = g["x"].shape[-1]
    sizes = {"state_size": int(config["d_state"]), "conv_size": int(config["d_conv"]), "expand": int(config["expand"])}
    if "headdim" in config:
        layer = Mamba2(
            channels,
            **sizes,
            head_size=int(config["headdim"]),
            groups=int(config["ngroups"]),
            norm_eps=config["norm_eps"],
        )
    else:
        layer = Mamba(channels, **sizes, dt_rank=int(config["dt_rank"]))
    layer.double().load_state_dict({key[6:]: g[key] for key in g if key.startswith("param.")}, strict=True)
    return layer


@pytest.mark.parametrize("name", ["mamba1_layer_dev", "mamba2_layer_dev"])
def test_golden_layer(backend, golden, name):
    """The state dict of the golden layer has the upstream names, and loads unchanged."""
    g = golden(f"mamba/{name}")
    layer = _golden_layer(g)
    x = g["x"].clone().requires_grad_()
    y = layer(x)
    torch.testing.assert_close(y, g["y"], rtol=1e-10, atol=1e-10)
    (y * g["cot_y"]).sum().backward()
    torch.testing.assert_close(x.grad, g["grad_x"], rtol=1e-10, atol=1e-10)
    for parameter_name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, g[f"grad_param.{parameter_name}"], rtol=1e-10, atol=1e-10)


def test_published_initialisation():
    layer = Mamba(64, state_size=16)
    assert layer.dt_rank == 4
    dt = torch.nn.functional.softplus(layer.dt_proj.bias)
    assert (dt >= 1e-3 * (1 - 1e-4)).all()
    assert (dt <= 0.1 * (1 + 1e-4)).all()
    # Log-uniform, so its logarithm has the mean of the two ends' (standard error 0.12 here).
    assert abs(dt.log().mean().item() - torch.tensor([1e-3, 0.1]).log().mean().item()) < 0.5
    assert layer.dt_proj.weight.abs().max() <= 0.5
    torch.testing.assert_close(layer.A_log.exp()[3], torch.arange(1.0, 17.0))
    assert (layer.D == 1).all()
    assert {n for n, p in layer.named_parameters() if getattr(p, "_no_weight_decay", False)} == {
        "A_log",
        "D",
        "dt_proj.bias",
    }


@pytest.mark.parametrize("make", [Mamba, BiMamba, lambda c: Mamba2(c, head_size=4, state_size=8)])
def test_packing_changes_nothing(backend, make):
    x, topology = _packed([4, 0, 9, 1])
    layer = make(6).double()
    alone = [layer(part, Ragged.equal(1, part.shape[0])) for part in x.split([4, 0, 9, 1])]
    torch.testing.assert_close(layer(x, topology), torch.cat(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [Mamba, BiMamba, lambda c: Mamba2(c, head_size=4, state_size=8)])
def test_dense_input_is_packed_input_of_equal_lengths(make):
    layer = make(6).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x).flatten(0, 1), layer(x.flatten(0, 1), Ragged.equal(3, 5)))


def test_steps_equal_the_scan(backend):
    layer = Mamba(6, conv_size=3).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    state, outputs = layer.initial_state(2), []
    for token in x.unbind(1):
        y, state = layer.step(token, state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), layer(x), rtol=1e-12, atol=1e-12)


def test_a_step_leaves_the_state_it_got_unchanged():
    layer = Mamba(4)
    state = layer.initial_state(1)
    layer.step(torch.randn(1, 4), state)
    assert (state.ssm == 0).all()
    assert (state.conv == 0).all()


def test_later_tokens_never_change_earlier_ones(backend):
    layer = Mamba(6).double()
    x, topology = _packed([12])
    changed = x.clone()
    changed[7:] += 1
    assert torch.equal(layer(x, topology)[:7], layer(changed, topology)[:7])
    assert not torch.allclose(layer(x, topology)[7:], layer(changed, topology)[7:])


def test_bidirectional_sees_both_ways_and_no_other_segment():
    layer = BiMamba(6).double()
    x, topology = _packed([5, 4])
    x.requires_grad_()
    layer(x, topology)[2].sum().backward()
    reached = x.grad.abs().sum(1) > 0
    assert reached.tolist() == [True] * 5 + [False] * 4


def test_reversing_a_segment_swaps_the_directions():
    layer = BiMamba(6).double()
    swapped = BiMamba(6).double()
    swapped.load_state_dict(layer.state_dict())
    swapped.ahead, swapped.back = swapped.back, swapped.ahead
    x, topology = _packed([7])
    torch.testing.assert_close(layer(x, topology).flip(0), swapped(x.flip(0), topology))


def test_shared_A_is_one_parameter():
    layer = BiMamba(4, share_A=True)
    assert layer.back.A_log is layer.ahead.A_log
    assert sum(name.endswith("A_log") for name, _ in layer.named_parameters()) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_convolution_equals_torch_on_each_segment(reverse):
    lengths = [5, 1, 0, 8]
    x, topology = _packed(lengths)
    weight, bias = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, dtype=torch.float64)

    def alone(part):
        part = part.flip(0) if reverse else part
        padded = torch.nn.functional.pad(part.t(), (3, 0))[None]
        y = torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=6)[0].t()
        return y.flip(0) if reverse else y

    expected = torch.cat([alone(part) for part in x.split(lengths) if part.shape[0]])
    got = causal_conv(x, weight, bias, topology.reverse() if reverse else topology)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_no_nan_crosses_a_segment_bound():
    x, topology = _packed([3, 4])
    x[1] = float("nan")
    for layer in (Mamba(6).double(), BiMamba(6).double()):
        assert layer(x, topology)[3:].isfinite().all()


@pytest.mark.parametrize(("expand", "inner"), [(0.3, 3), (0.01, 1), (1.5, 15)])
def test_the_inner_width_may_be_any_share_of_the_outer(expand, inner):
    """And a stream carries as much as that."""
    layer = Mamba(10, expand=expand).double()
    assert layer.A_log.shape == (inner, 16)
    x = torch.randn(1, 5, 10, dtype=torch.float64)
    state = layer.initial_state(1)
    for token, expected in zip(x.unbind(1), layer(x).unbind(1), strict=True):
        y, state = layer.step(token, state)
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("shape", [(5,), (5, 6), (2, 5, 7)])
def test_wrong_shapes_are_named(shape, unchecked):
    with pytest.raises(ValueError, match="x must have shape"):
        Mamba(6)(torch.zeros(shape))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="state_size must be at least 1, got 0"):
        Mamba(4, state_size=0)
    for layer in (Mamba, Mamba2):
        with pytest.raises(ValueError, match="expand must be positive, got 0"):
            layer(4, expand=0)
    with pytest.raises(ValueError, match="head_size must divide expand \\* channels = 8, got 3"):
        Mamba2(4, head_size=3)


@pytest.mark.parametrize("make", [Mamba, BiMamba])
def test_mixed_precision_keeps_the_state_in_float32(make):
    """In bfloat16 a state of 500 tokens would lose more than the inputs' own rounding."""
    layer = make(8)
    x = torch.randn(1, 500, 8)
    exact = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    # A few roundings of 2^-8 along the block's products.
    torch.testing.assert_close(y.float(), exact, rtol=0, atol=0.03 * exact.abs().max().item())
    y.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
