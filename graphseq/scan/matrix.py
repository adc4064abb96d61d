"""Products of dense matrices along packed segments: hidden Markov models, best paths, switching systems."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan._attached import attached_to
from graphseq.scan.product_tree import Scaled, scaled
from graphseq.scan.semiring import Semiring, SumProduct
from graphseq.scan.topology import Ragged


def matrix_scan(
    matrices: Float[Tensor, "T n n"],
    topology: Ragged,
    *,
    log_scale: Float[Tensor, " T"] | None = None,
    initial: Float[Tensor, "segments k n"] | Float[Tensor, "segments n k"] | None = None,
    semiring: Semiring | None = None,
    reverse: bool = False,
) -> Scaled:
    r"""Products of all matrices from a segment's start up to each position, in normal form.

    .. math::
        e^{s_t} V_t = e^{\lambda_t} I \, M_{\mathrm{start}} \cdots M_{t-1} M_t, \qquad \max |V_t| = 1,
        \qquad \lambda_t = \sum_{u \le t} \ell_u

    Factors stand in the order of their rows in either direction, so a reversed scan gives what is ahead,
    :math:`M_t M_{t+1} \cdots M_{\mathrm{end}} \, I`. With one row (or column) in ``initial`` this is the vector
    recurrence :math:`v_t = v_{t-1} M_t`, at a fraction of the cost of the full products.

    Args:
        matrices: the factors :math:`M_t`; logarithms if the semiring wants them.
        topology: the segments.
        log_scale: logarithms :math:`\ell_t` of factors that the matrices are to be multiplied by; zero without it.
        initial: what stands at the start of each product: on the left ``[num_segments, k, n]``, in a reversed scan on
            the right ``[num_segments, n, k]``; the identity without it.
        semiring: :class:`SumProduct` (the default), :class:`MaxPlus` or :class:`LogSumExp`.
        reverse: scan each segment from its end, the same as ``topology.reverse()``.

    Returns:
        ``values`` :math:`V_t` in the dtype of ``matrices``, and ``log_scale`` :math:`s_t` in float64. A product that
        is zero has ``values`` zero (minus infinity in logarithms) and a finite scale. Every function of
        :math:`e^{s_t} V_t` is differentiable any number of times; how a product is divided between its two parts
        counts as constant.

    Raises:
        TypeError: if a dtype is not floating, or the dtypes differ.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> step = torch.tensor([[0.5, 0.5], [0.0, 1.0]]).expand(3, 2, 2)
        >>> values, log_scale = matrix_scan(step, Ragged.equal(1, 3))
        >>> values[-1] * log_scale[-1].exp().float()
        tensor([[0.1250, 0.8750],
                [0.0000, 1.0000]])

    Cost: at most :math:`2T` matrix products in about :math:`4 \log_2 T` batched steps; :math:`T` of them, and as many
    products with ``k`` rows, with ``initial``. All errors are those of a sum over a tree, so that the scale of a long
    product is more accurate than by a loop.
    """
    _check.topology(topology, Ragged)
    topology = topology.reverse() if reverse else topology
    return _scans(matrices, topology, log_scale, semiring, [("initial", topology.reversed, initial)])[0]


def two_way_matrix_scan(
    matrices: Float[Tensor, "T n n"],
    topology: Ragged,
    *,
    log_scale: Float[Tensor, " T"] | None = None,
    initial: Float[Tensor, "segments k n"] | None = None,
    final: Float[Tensor, "segments n m"] | None = None,
    semiring: Semiring | None = None,
) -> tuple[Scaled, Scaled]:
    r"""What is behind each position and what is ahead of it, at little more than the cost of one of them.

    .. math::
        I \, M_{\mathrm{start}} \cdots M_t \qquad\text{and}\qquad M_t \cdots M_{\mathrm{end}} \, F

    The same as two calls of :func:`matrix_scan`, which share the tree of partial products: the forward and backward
    pass of a hidden Markov model. Rows are in their own order whatever the direction of ``topology``.

    Args:
        matrices, topology, log_scale, semiring: as in :func:`matrix_scan`.
        initial: left of the products from the start, ``[num_segments, k, n]``; the identity without it.
        final: right of the products to the end, ``[num_segments, n, m]``; the identity without it.

    Returns:
        The products from the start, and those to the end.

    Raises:
        TypeError: if a dtype is not floating, or the dtypes differ.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> step = torch.tensor([[0.5, 0.5], [0.0, 1.0]]).expand(3, 2, 2)
        >>> behind, ahead = two_way_matrix_scan(step, Ragged.equal(1, 3), final=torch.ones(1, 2, 1))
        >>> behind.values.shape, ahead.values.shape
        (torch.Size([3, 2, 2]), torch.Size([3, 2, 1]))
    """
    _check.topology(topology, Ragged)
    behind, ahead = _scans(
        matrices, topology, log_scale, semiring, [("initial", False, initial), ("final", True, final)]
    )
    return behind, ahead


def _scans(
    matrices: Tensor,
    topology: Ragged,
    log_scale: Tensor | None,
    semiring: Semiring | None,
    starts: list[tuple[str, bool, Tensor | None]],
) -> list[Scaled]:
    semiring = SumProduct() if semiring is None else semiring
    given = {"matrices": matrices, **{name: start for name, _, start in starts}}
    _check.tensors(topology, **given, log_scale=log_scale)
    for name, tensor in (*given.items(), ("log_scale", log_scale)):
        if tensor is not None and tensor.is_complex():
            raise TypeError(f"{name} must have a real dtype, got {tensor.dtype}")
    _check.rows(topology, matrices=matrices, log_scale=log_scale)
    size = matrices.shape[-1]
    _check.shape("matrices", matrices, (topology.num_states, size, size))
    if size == 0:
        raise ValueError(f"matrices must have at least one row and column, got shape {list(matrices.shape)}")
    if log_scale is not None:
        _check.shape("log_scale", log_scale, (topology.num_states,))
    for name, reversed, start in starts:
        if start is not None:
            free = start.shape[2 if reversed else 1] if start.dim() == 3 else "k"
            inner = (size, free) if reversed else (free, size)
            _check.shape(name, start, (topology.num_segments, *inner))  # type: ignore[arg-type]
    out_dtype = matrices.dtype
    wide = dict(zip(given, _check.widened(**given), strict=True))
    if topology.occupied.numel() < topology.num_segments:
        # What would enter a segment without a row is not read: in normal form it might be NaN, and so its gradient.
        empty = topology.lengths.eq(0).view(-1, 1, 1)
        wide = {name: x if name == "matrices" or x is None else x.masked_fill(empty, 0) for name, x in wide.items()}
    leaves = scaled(wide["matrices"], semiring, log_scale)
    ends = [(reversed, None if start is None else scaled(wide[name], semiring)) for name, reversed, start in starts]
    found = _dispatch.operation("matrix_scan", leaves.values)(leaves, topology, semiring, ends)
    return [Scaled(attached_to(values.to(out_dtype), *wide.values()), log) for values, log in found]
