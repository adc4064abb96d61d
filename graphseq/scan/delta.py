"""The delta rule: a matrix state under Householder transitions (Schlag et al. 2021; Yang et al. 2024)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan.topology import Ragged


def delta_scan(
    q: Float[Tensor, "T heads dk"],
    k: Float[Tensor, "T heads dk"] | Float[Tensor, "T heads n dk"],
    v: Float[Tensor, "T heads dv"] | Float[Tensor, "T heads n dv"],
    beta: Float[Tensor, "T heads"] | Float[Tensor, "T heads n"],
    *,
    log_decay: Float[Tensor, "T heads"] | None = None,
    topology: Ragged,
    initial: Float[Tensor, "segments heads dk dv"] | None = None,
    return_last: bool = False,
) -> Float[Tensor, "T heads dv"] | tuple[Float[Tensor, "T heads dv"], Float[Tensor, "segments heads dk dv"]]:
    r"""Delta-rule scan over packed segments.

    .. math::
        S_t &= e^{g_t} \Bigl( \textstyle\prod_{j=n}^{1} (I - \beta_{t,j} k_{t,j} k_{t,j}^\top) \Bigr) S_{t-1} + W_t \\
        o_t &= S_t^\top q_t

    token by token: :math:`S \leftarrow e^{g_t} S`; for each of the ``n`` steps
    :math:`S \leftarrow S - \beta k (k^\top S) + \beta k v^\top`; then the read-out. One step is DeltaNet, with
    ``log_decay`` Gated DeltaNet (Yang et al. 2025), several steps DeltaProduct (Siems et al. 2025).

    Args:
        q: query, used as it is (no :math:`1/\sqrt{d_k}`).
        k: key of each step; of unit norm for a stable state.
        v: value of each step.
        beta: how much of the old value under the key is replaced; in [0, 2] for a stable state, and above 1 for
            eigenvalues below zero.
        log_decay: logarithm :math:`g` of the gate, once a token.
        topology: the segments; ``topology.reverse()`` scans each from its end.
        initial: state before each segment's start; zero without it.
        return_last: also return the state after each segment's end (initial or zero for an empty one), with gradient.

    Returns:
        ``o`` in the dtype of ``q``, and with ``return_last`` the last states. Half precision keeps a float32 state.

    Raises:
        TypeError: if a dtype is not floating, or the dtypes differ.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> key = torch.eye(2)[:, None]
        >>> value = torch.tensor([[[3.0]], [[4.0]]])
        >>> delta_scan(torch.ones(2, 1, 2), key, value, torch.ones(2, 1), topology=Ragged.equal(1, 2)).squeeze()
        tensor([3., 7.])
    """
    tensors = {"q": q, "k": k, "v": v, "beta": beta, "log_decay": log_decay, "initial": initial}
    _check.topology(topology, Ragged)
    _check.tensors(topology, **tensors)
    _check.rows(topology, q=q, k=k, v=v, beta=beta, log_decay=log_decay)
    if q.dim() != 3:
        raise ValueError(f"q must have shape [T, heads, dk], got {list(q.shape)}")
    if k.dim() == 3 and v.dim() == 3 and beta.dim() == 2:
        k, v, beta = k.unsqueeze(2), v.unsqueeze(2), beta.unsqueeze(2)
    if k.dim() != 4 or k.shape[2] == 0:
        raise ValueError(
            f"k must have shape [T, heads, dk] or [T, heads, n, dk] with n at least 1, got {list(k.shape)}"
        )
    _check.shape("k", k, (*q.shape[:2], k.shape[2], q.shape[2]))
    _check.shape("beta", beta, tuple(k.shape[:3]))
    if v.dim() != 4 or v.shape[:3] != k.shape[:3]:
        raise ValueError(f"v must have the axes {list(k.shape[:3])} of k, then dv, got {list(v.shape)}")
    if log_decay is not None:
        _check.shape("log_decay", log_decay, tuple(q.shape[:2]))
    if initial is not None:
        _check.shape("initial", initial, (topology.num_segments, q.shape[1], q.shape[2], v.shape[3]))
    out_dtype = q.dtype
    q, k, v, beta, log_decay, initial = _check.widened(q=q, k=k, v=v, beta=beta, log_decay=log_decay, initial=initial)
    o, last = _dispatch.operation("delta_scan", q)(q, k, v, beta, log_decay, topology, initial)
    o = o if o.dtype == out_dtype else o.to(out_dtype)
    return (o, last) if return_last else o
