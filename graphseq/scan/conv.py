"""Causal depthwise convolution that stops at segment bounds: the short memory before a scan."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan.topology import Ragged


def causal_conv(
    x: Float[Tensor, "T d"],
    weight: Float[Tensor, "d width"],
    bias: Float[Tensor, " d"] | None,
    topology: Ragged,
    *,
    silu: bool = False,
) -> Float[Tensor, "T d"]:
    r"""Depthwise convolution over the past of each segment, in scan direction.

    .. math::
        y_t = b + \sum_{j=0}^{k-1} w_{k-1-j} \odot x_{t-j}, \qquad
        y_t \leftarrow \operatorname{silu}(y_t) \text{ (if asked)}

    where :math:`x` before a segment's start is zero: nothing crosses from one segment into the next.

    Args:
        x: packed input.
        weight: taps; the last one multiplies the current entry, as in :class:`torch.nn.Conv1d`.
        bias: added to every entry.
        topology: the segments; with ``topology.reverse()`` the past is what lies after an entry.
        silu: pass the result through SiLU.

    Returns:
        ``y [T, d]`` in the dtype of ``x``; half precision inputs are summed in float32.

    Raises:
        TypeError: if a dtype is not floating, or the dtypes differ.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> x, taps = torch.arange(1.0, 5)[:, None], torch.tensor([[10.0, 1.0]])
        >>> causal_conv(x, taps, None, Ragged(torch.tensor([0, 2, 4]))).squeeze()
        tensor([ 1., 12.,  3., 34.])

    Cost: one pass over ``x``; backward computes the sums again instead of keeping them.
    """
    _check.topology(topology, Ragged)
    _check.tensors(topology, x=x, weight=weight, bias=bias)
    _check.rows(topology, x=x)
    if x.dim() != 2:
        raise ValueError(f"x must have shape [T, d], got {list(x.shape)}")
    if weight.dim() != 2 or weight.shape[0] != x.shape[1] or not weight.shape[1]:
        raise ValueError(f"weight must have shape [d, width] with d = {x.shape[1]}, got {list(weight.shape)}")
    if bias is not None:
        _check.shape("bias", bias, (x.shape[1],))
    out_dtype = x.dtype
    x, weight, bias = _check.widened(x=x, weight=weight, bias=bias)
    y = _dispatch.operation("causal_conv", x)(x, weight, bias, silu, topology)
    return y if y.dtype == out_dtype else y.to(out_dtype)
