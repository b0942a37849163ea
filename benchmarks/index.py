"""Measure a million passages in the index: quality, speed and size, beside exact search in the same run.

    python benchmarks/index.py --json docs/results/index.json

Vectors are those of real passages as far as there are enough: train passages of Wikispeedia and of the vital articles.
The others are made up: a real vector, turned in a random direction by the angle between a real passage and its nearest
neighbour, drawn from the distribution of these angles. Queries are real passages that are not in the index. It takes
about ten minutes once the passages are embedded.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from kgrl.data import load_corpus
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json

_CORPORA = ("wikispeedia", "vital")
_QUERIES, _K = 1_000, 10
_MIB = 2**20
_ROWS_AT_ONCE = 20_000

Vectors = NDArray[np.float32]


def real_vectors() -> Vectors:
    """Return the unit vectors of real passages, each once, float32 `[passages, dimensions]`."""
    found = []
    for name in _CORPORA:
        corpus = load_corpus(name)
        found.append(Encoder("minilm").encode_cached([corpus.texts[i] for i in indexed_passages(corpus)], None))
    return np.unique(np.concatenate(found), axis=0)


def extended(real: Vectors, rows: int, rng: np.random.Generator) -> Vectors:
    """Return real vectors, followed by made-up ones that are as near to a real one as real ones are to each other."""
    nearest = faiss.IndexFlatIP(real.shape[1])
    nearest.add(real)
    # The nearest of a vector in the index is itself; the second one is its neighbour.
    cosines = nearest.search(real[:5_000], 2)[0][:, 1].clip(0.0, 0.999)
    vectors = np.empty((rows, real.shape[1]), dtype=np.float32)
    vectors[: len(real)] = real[:rows]
    for first in range(len(real), rows, _ROWS_AT_ONCE):
        part = vectors[first : first + _ROWS_AT_ONCE]
        origin = real[rng.integers(len(real), size=len(part))]
        away = rng.standard_normal(part.shape, dtype=np.float32)
        # A random direction at right angles to the origin: the made-up vector is then at the drawn cosine.
        away -= np.einsum("ij,ij->i", away, origin)[:, None] * origin
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        cosine = rng.choice(cosines, size=len(part))[:, None]
        part[:] = cosine * origin + np.sqrt(1 - cosine**2) * away
    return vectors


def timed_search(search: Any, queries: Vectors) -> tuple[NDArray[Any], float]:
    """Return what is found, and the seconds of a query in the fastest of three rounds."""
    search(queries[:16])  # threads are started, pages are read
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        found = search(queries)
        seconds.append(time.perf_counter() - began)
    return found, min(seconds) / len(queries)


def measured(
    kind: Any, vectors: Vectors, queries: Vectors, exact: NDArray[Any], exact_seconds: float
) -> dict[str, Any]:
    """Build, search, save and open one kind of index, and return its figures."""
    began = time.perf_counter()
    retriever = FaissRetriever(np.arange(len(vectors)), vectors, kind=kind)
    build_seconds = time.perf_counter() - began
    found, seconds = timed_search(lambda q: retriever.search(q, _K)[0], queries)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "index"
        retriever.save(folder)
        sizes = {path.name: path.stat().st_size / _MIB for path in folder.iterdir()}
        began = time.perf_counter()
        opened = FaissRetriever.open(folder)
        open_seconds = time.perf_counter() - began
        same = bool(np.array_equal(opened.search(queries[:100], _K)[0], found[:100]))
    hits = [len(set(a.tolist()) & set(b.tolist())) / _K for a, b in zip(found, exact, strict=True)]
    return {
        "kind": kind,
        "rows": len(vectors),
        "recall_at_10": float(np.mean(hits)),
        "speedup": exact_seconds / seconds,
        "milliseconds": 1e3 * seconds,
        "exact_milliseconds": 1e3 * exact_seconds,
        "index_mib": sizes["index.faiss"],
        "vectors_mib": sizes.get("vectors.npy", 0.0),
        "build_seconds": build_seconds,
        "open_seconds": open_seconds,
        "opened_finds_the_same": same,
    }


def searched_exactly(vectors: Vectors, queries: Vectors) -> tuple[NDArray[Any], float]:
    """Return what FAISS's exact search finds, and its seconds per query."""
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    return timed_search(lambda q: flat.search(q, _K)[1], queries)


def of_rows(vectors: Vectors, queries: Vectors, kinds: list[str]) -> list[dict[str, Any]]:
    """Return the figures of every kind of index on the same vectors."""
    exact, seconds = searched_exactly(vectors, queries)
    rows = []
    for kind in kinds:
        rows.append(measured(kind, vectors, queries, exact, seconds))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--hnsw-rows", type=int, default=200_000, help="rows of the comparison with hnsw")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    real = rng.permutation(real_vectors())
    queries, real = real[:_QUERIES], real[_QUERIES:]
    print(f"{len(real)} real vectors", flush=True)
    runs = of_rows(real, queries, ["ivfpq"])
    runs += of_rows(extended(real, args.hnsw_rows, rng), queries, ["hnsw", "ivfpq"])
    runs += of_rows(extended(real, args.rows, rng), queries, ["ivfpq"])
    result = {**runs[-1], "real_rows": len(real), "threads": faiss.omp_get_max_threads(), "runs": runs}
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
