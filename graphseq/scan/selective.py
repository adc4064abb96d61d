"""Selective state space scan (Gu & Dao 2023, Mamba, section 3)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan.topology import Ragged


def selective_scan(
    u: Float[Tensor, "T d"],
    delta: Float[Tensor, "T d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "T n"] | Float[Tensor, "T groups n"],
    C: Float[Tensor, "T n"] | Float[Tensor, "T groups n"],
    D: Float[Tensor, " d"] | None = None,
    z: Float[Tensor, "T d"] | None = None,
    *,
    delta_bias: Float[Tensor, " d"] | None = None,
    delta_softplus: bool = False,
    topology: Ragged,
    initial: Float[Tensor, "segments d n"] | None = None,
    return_last: bool = False,
) -> Float[Tensor, "T d"] | tuple[Float[Tensor, "T d"], Float[Tensor, "segments d n"]]:
    r"""Selective scan over packed segments, the state never held in memory.

    .. math::
        \Delta &\leftarrow \Delta + b \text{ (if given)}, \quad
        \Delta \leftarrow \operatorname{softplus}(\Delta) \text{ (if asked)} \\
        h_t &= e^{\Delta_t A} \odot h_{t-1} + \Delta_t u_t B_t \\
        y_t &= \bigl(h_t C_t + D u_t\bigr) \odot \operatorname{silu}(z_t)

    with zero-order hold for :math:`A` and Euler's rule for :math:`B`, for each channel and each of its ``n`` states.

    Args:
        u: input ``[T, d]``, all segments one after another.
        delta: step size ``[T, d]``.
        A: state matrix ``[d, n]``, diagonal, negative for a state that decays.
        B: input projection ``[T, n]``, or ``[T, groups, n]``: channel ``c`` belongs to group ``c // (d / groups)``.
        C: output projection, in the shape of ``B``.
        D: skip weight ``[d]``.
        z: gate ``[T, d]``.
        delta_bias: added to ``delta`` before softplus, ``[d]``.
        delta_softplus: pass ``delta`` through softplus.
        topology: the segments; ``topology.reverse()`` scans each from its end.
        initial: state before each segment's start, ``[num_segments, d, n]``; zero without it.
        return_last: also return the state after each segment's end (initial or zero for an empty one), before skip
            and gate, with gradient.

    Returns:
        ``y [T, d]`` in the dtype of ``u``, and with ``return_last`` the last states ``[num_segments, d, n]``.
        Half precision inputs keep a float32 state.

    Raises:
        TypeError: if a dtype is not floating, or the dtypes differ.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> one = torch.ones(3, 1)
        >>> selective_scan(one, one, -torch.ones(1, 1), one, one, topology=Ragged(torch.tensor([0, 2, 3]))).squeeze()
        tensor([1.0000, 1.3679, 1.0000])

    Cost: linear in ``T``; backward recomputes the states from a few that were kept.
    """
    tensors = {
        "u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z, "delta_bias": delta_bias, "initial": initial,
    }  # fmt: skip
    _check.topology(topology, Ragged)
    _check.tensors(topology, **tensors)
    _check.rows(topology, u=u, delta=delta, B=B, C=C, z=z)
    if u.dim() != 2:
        raise ValueError(f"u must have shape [T, d], got {list(u.shape)}")
    channels = u.shape[1]
    if A.dim() != 2 or A.shape[0] != channels:
        raise ValueError(f"A must have shape [d, n] with d = {channels}, got {list(A.shape)}")
    for name, tensor in (("delta", delta), ("z", z)):
        if tensor is not None:
            _check.shape(name, tensor, tuple(u.shape))
    for name, tensor in (("D", D), ("delta_bias", delta_bias)):
        if tensor is not None:
            _check.shape(name, tensor, (channels,))
    B, C = (_grouped(name, tensor, A) for name, tensor in (("B", B), ("C", C)))
    if B.shape != C.shape:
        raise ValueError(f"C must have the shape of B {list(B.shape)}, got {list(C.shape)}")
    if initial is not None:
        _check.shape("initial", initial, (topology.num_segments, *A.shape))
    out_dtype = u.dtype
    u, delta, A, B, C, D, z, delta_bias, initial = _check.widened(**{**tensors, "B": B, "C": C})
    run = _dispatch.operation("selective_scan", u)
    y, last = run(u, delta, A, B, C, D, z, delta_bias, delta_softplus, topology, initial)
    y = y if y.dtype == out_dtype else y.to(out_dtype)
    return (y, last) if return_last else y


def _grouped(name: str, tensor: Tensor, A: Tensor) -> Tensor:
    grouped = tensor[:, None, :] if tensor.dim() == 2 else tensor
    channels, size = A.shape
    if grouped.dim() != 3 or grouped.shape[2] != size or grouped.shape[1] == 0 or channels % grouped.shape[1]:
        raise ValueError(
            f"{name} must have shape [T, n] or [T, groups, n] with n = {size} and groups a divisor of d = {channels}, "
            f"got {list(tensor.shape)}"
        )
    return grouped
