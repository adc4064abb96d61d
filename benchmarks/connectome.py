"""HALS against tensorly's, restarts in one batch against one by one, and sparse tensors of growing numbers of entries.

HALS and tensorly start from the same factors and make as many sweeps of as many passes; a sweep's time is what more
sweeps take longer, so that neither side's preparation counts. All calls of a comparison run in turn.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import tensorly
import torch
from measure import Call, keep_pages, milliseconds
from tensorly.cp_tensor import CPTensor
from tensorly.decomposition import non_negative_parafac_hals
from torch import Tensor

from graphseq.connectome import NonNegativeCP

SIZES = {"100 x 100 x 200": ((100, 100, 200), 10), "150 x 150 x 500": ((150, 150, 500), 20)}
SIZES |= {"300 x 300 x 300": ((300, 300, 300), 30)}
FEW, MANY, REPEATS = 2, 8, 7
PAIRS, RANK, RESTARTS = (1225, 120, 7), 4, 10
ENTRIES = [20_000, 100_000, 500_000, 1_000_000]
SPARSE = (20_000, 800, 50)


def planted(sizes: tuple[int, ...], rank: int) -> Tensor:
    """Half of all loadings 0, the others exponential; 5 % half-normal noise."""
    torch.manual_seed(0)
    factors = [
        torch.empty(size, rank, dtype=torch.float64).exponential_() * (torch.rand(size, rank) < 0.5) for size in sizes
    ]
    x = torch.einsum("ir,jr,kr->ijk", *factors)
    return x + 0.05 * x.std() * torch.randn(sizes, dtype=torch.float64).abs()


def ours(x: Tensor, start: list[Tensor], sweeps: int) -> float:
    method = NonNegativeCP(start[0].shape[-1], tolerance=0.0, max_sweeps=sweeps)
    return method.fit(x, start=start).relative_error


def theirs(x: Tensor, start: list[Tensor], sweeps: int, backend: str) -> float:
    tensorly.set_backend(backend)
    factors = [f.numpy().copy() if backend == "numpy" else f.clone() for f in start]
    weights = np.ones(factors[0].shape[1]) if backend == "numpy" else torch.ones(factors[0].shape[1], dtype=x.dtype)
    data = x.numpy() if backend == "numpy" else x
    # Without a tolerance tensorly tracks no error, as we do; so it gets one that is never met.
    fit = non_negative_parafac_hals(
        data, factors[0].shape[1], n_iter_max=sweeps, init=CPTensor((weights, factors)), tol=1e-30
    )
    model = torch.einsum("ir,jr,kr->ijk", *(torch.as_tensor(f) for f in fit.factors))
    return float((x - model).norm() / x.norm())


def measure_sweeps(name: str) -> dict:
    sizes, rank = SIZES[name]
    x = planted(sizes, rank)
    start = [torch.rand(size, rank, dtype=torch.float64) for size in sizes]
    kinds = {
        "graphseq": lambda sweeps: ours(x, start, sweeps),
        "tensorly numpy": lambda sweeps: theirs(x, start, sweeps, "numpy"),
        "tensorly pytorch": lambda sweeps: theirs(x, start, sweeps, "pytorch"),
    }
    errors = {kind: call(MANY) for kind, call in kinds.items()}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(REPEATS):
        for kind, call in kinds.items():
            begin = time.perf_counter()
            call(FEW)
            middle = time.perf_counter()
            call(MANY)
            longer = (time.perf_counter() - middle) - (middle - begin)
            times[kind].append(1000 * longer / (MANY - FEW))
    own = statistics.median(times["graphseq"])
    ratios = {kind: statistics.median(t) / own for kind, t in times.items() if kind != "graphseq"}
    shown = "   ".join(f"{kind} x{ratio:.2f}" for kind, ratio in ratios.items())
    print(f"{name}, rank {rank:<3} sweep {own:7.1f} ms   {shown}   errors {list(errors.values())}", flush=True)
    return {
        "rank": rank,
        "sweep_ms": {kind: {"median": statistics.median(t), "min": min(t)} for kind, t in times.items()},
        "relative_error": errors,
        "ratio": ratios,
    }


def measure_restarts() -> dict[str, dict]:
    """Ten fits of a tensor of pairs, windows and animals, whole and with a mask."""
    rows = {}
    x = planted(PAIRS, RANK)
    mask = torch.rand(PAIRS[0], PAIRS[2]) < 0.67
    for name, known in (("whole", None), ("masked", mask)):

        def fit(restarts: int, known: Tensor | None = known) -> None:
            NonNegativeCP(RANK, restarts=restarts, tolerance=0.0, max_sweeps=10).fit(x, known)

        def one_by_one(fit: Call = fit) -> None:
            for _ in range(RESTARTS):
                fit(1)

        times = milliseconds({"together": lambda fit=fit: fit(RESTARTS), "one by one": one_by_one}, REPEATS)
        ratio = times["one by one"].median / times["together"].median
        rows[name] = {
            "median_ms": {label: taken.median for label, taken in times.items()},
            "min_ms": {label: taken.minimum for label, taken in times.items()},
            "ratio": ratio,
        }
        print(f"ten restarts, {name}: together {times['together'].median:.0f} ms   one by one x{ratio:.2f}", flush=True)
    return rows


def measure_entries() -> list[dict[str, float]]:
    """Three sweeps on a tensor that would be 3 GB if it were dense."""
    tensors = {}
    for entries in ENTRIES:
        torch.manual_seed(0)
        indices = torch.stack([torch.randint(size, (entries,)) for size in SPARSE])
        tensors[entries] = torch.sparse_coo_tensor(
            indices, torch.rand(entries), SPARSE, check_invariants=True
        ).coalesce()
    method = NonNegativeCP(10, restarts=1, tolerance=0.0, max_sweeps=3)
    calls = {str(entries): lambda x=x: method.fit(x) for entries, x in tensors.items()}
    rows = []
    for label, taken in milliseconds(calls, 3).items():
        each = 1e6 / 3 * taken.median / int(label)
        rows.append({"entries": int(label), "median_ms": taken.median, "ns_an_entry": each})
        print(f"{int(label):>10,} entries {taken.median:9.1f} ms   {each:.0f} ns an entry and sweep")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=[*SIZES, "restarts", "entries"], help="restarts, entries, or sizes")
    chosen = parser.parse_args().parts
    path = Path(__file__).parents[1] / "docs" / "results" / "connectome.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    result |= {
        "benchmark": "non-negative CP by HALS, float64; the sparse one float32",
        "threads": torch.get_num_threads(),
        "pages_kept": keep_pages(),
        "torch": torch.__version__,
        "tensorly": tensorly.__version__,
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/connectome.py",
    }
    for part in chosen:
        if part in SIZES:
            result.setdefault("sweeps", {})[part] = measure_sweeps(part)
        else:
            result[part] = {"restarts": measure_restarts, "entries": measure_entries}[part]()
        path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
