"""Search of embedded passages with FAISS: exact for few passages, approximate for many.

The index by the number of passages (two cores, 384 dimensions; docs/results/index.md has the measurements):

    up to 50,000     flat     every cosine is computed: exact, and milliseconds a query
    up to 250,000    hnsw     a graph of near neighbours (Malkov and Yashunin 2018): nearly exact, no training
    more             ivfpq    inverted lists of product-quantised codes (Jégou et al. 2011), 4 bits for two dimensions

Candidates of `ivfpq` are ranked again by the vectors themselves, which are kept in half precision beside the index and
mapped into memory. So its cosines are those of the vectors; only the choice of candidates is approximate.
"""

from __future__ import annotations

import logging
import operator
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import FloatArray
from kgrl.retrieval.index_store import StoredIndex, open_index, save_index

__all__ = ["FaissRetriever", "IndexKind", "kind_for"]

IndexKind = Literal["flat", "hnsw", "ivfpq"]

MOST_FLAT, MOST_HNSW = 50_000, 250_000
_HNSW_LINKS, _HNSW_BUILD, _HNSW_SEARCH = 32, 100, 128
"""Links of a node, and candidates kept while building and while searching (M, efConstruction and efSearch)."""
_TRAINED_ON = 100
"""Most training vectors for each inverted list; FAISS warns below 39."""
_MOST_TRAINED = 150_000
_PROBED = 48
"""Inverted lists that a query searches (nprobe)."""
_LOOKED_AT = 20
"""Candidates that are ranked again by their vectors, for each wanted passage."""
_LEAST_LOOKED_AT = 160
_SEED = 20
_CODEWORDS = 16
"""Values of a code of 4 bits, each of which is learned from a vector at least."""
_MOST_ID = np.iinfo(np.int32).max

_log = logging.getLogger(__name__)


def kind_for(rows: int) -> IndexKind:
    """Return the kind of index for a number of passages.

    Example:
        >>> [kind_for(rows) for rows in (10_000, 100_000, 1_000_000)]
        ['flat', 'hnsw', 'ivfpq']
    """
    return "flat" if rows <= MOST_FLAT else "hnsw" if rows <= MOST_HNSW else "ivfpq"


class FaissRetriever:
    """Search for the passages whose vectors have the largest cosines with a query's.

    Args:
        ids: The passage id of each row, each once, shape `[rows]`.
        vectors: Unit vectors, float32, shape `[rows, dimensions]`.
        kind: The kind of index; by default that of `kind_for` for the initial number of rows. Of fewer than 16 rows
            `ivfpq` cannot be trained: they get a flat index, which finds as much, and stays flat.

    Raises:
        UnknownNameError: If the kind is unknown.
        SettingError: See `add`.

    Attributes:
        ids: The passage id of each row.
        kind: The kind of index.

    Example:
        >>> retriever = FaissRetriever(np.array([5, 9]), np.eye(2, dtype=np.float32))
        >>> retriever.add(np.array([7]), np.array([[0.6, 0.8]], dtype=np.float32))
        >>> retriever
        FaissRetriever(3 vectors of 2 dimensions, flat)
        >>> retriever.search(np.array([[0.0, 1.0]], dtype=np.float32), 2)[0].tolist()
        [[9, 7]]
    """

    def __init__(self, ids: NDArray[np.integer], vectors: FloatArray, kind: IndexKind | None = None) -> None:
        if kind is not None and kind not in get_args(IndexKind):
            raise UnknownNameError("index", kind, get_args(IndexKind))
        if kind == "ivfpq" and len(vectors) < _CODEWORDS:
            _log.warning("%d vectors are too few to train an ivfpq index: it is flat", len(vectors))
            kind = "flat"
        self.ids = np.empty(0, dtype=np.int32)
        self.kind: IndexKind = kind or kind_for(len(vectors))
        self._vectors: NDArray[np.float16] | None = None  # for ivfpq alone, to rank candidates by
        self._index = _made(self.kind, np.ascontiguousarray(vectors, dtype=np.float32))
        self.add(ids, vectors)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"FaissRetriever({len(self):,} vectors of {self._index.d} dimensions, {self.kind})"

    def add(self, ids: NDArray[np.integer], vectors: FloatArray) -> None:
        """Add passages. The index keeps its kind, and an `ivfpq` index its training.

        Args:
            ids: Their ids, from 0 to 2^31 - 1, none of which is in the index, shape `[rows]`.
            vectors: Unit vectors, float32, shape `[rows, dimensions]`.

        Raises:
            KgrlError: If an id is in the index already.
            SettingError: If an id is out of range, or a vector has a NaN or an infinity.
            ValueError: If the shapes disagree.
        """
        if np.shape(vectors) != (len(ids), self._index.d):
            raise ValueError(
                f"{len(ids)} ids need vectors of shape {(len(ids), self._index.d)}, not {np.shape(vectors)}"
            )
        _check_ids(np.asarray(ids))
        if not np.isfinite(vectors).all():
            raise SettingError("a vector has a NaN or an infinity: nothing could find its passage")
        together = np.concatenate([self.ids, np.asarray(ids, dtype=np.int32)])
        unique, counts = np.unique(together, return_counts=True)
        if len(unique) < len(together):
            raise KgrlError(f"passage {unique[counts > 1][0]} is in the index already")
        if self.kind == "ivfpq":
            half = np.asarray(vectors, dtype=np.float16)
            self._vectors = half if self._vectors is None else np.concatenate([self._vectors, half])
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self.ids = together

    def search(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and cosines of the k best passages for each query; see `Retriever`.

        Raises:
            SettingError: If `k` is not positive, or the queries have another width than the passages' vectors.
        """
        queries, k = np.ascontiguousarray(queries, dtype=np.float32), operator.index(k)
        if k < 1:
            raise SettingError(f"a search is for 1 passage at least, not {k}")
        if queries.ndim != 2 or queries.shape[1] != self._index.d:
            made = f"queries of shape {queries.shape} for vectors of {self._index.d} entries"
            raise SettingError(f"{made}: both must be made by the same encoder, a row each")
        if self._vectors is None:
            scores, rows = self._index.search(queries, k)
        else:
            scores, rows = self._ranked_again(queries, k)
        found = np.where(rows >= 0, self.ids[rows] if len(self) else -1, np.int32(-1)).astype(np.int32)
        return found, np.where(rows >= 0, scores, -np.inf).astype(np.float32)

    def _ranked_again(self, queries: FloatArray, k: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return scores and rows of the best of more candidates than wanted, ranked by their vectors."""
        assert self._vectors is not None
        wanted = min(max(_LEAST_LOOKED_AT, _LOOKED_AT * k), max(k, len(self)))
        if wanted >= len(self):  # rank all of them: a search of some lists might return fewer than k
            rows = np.broadcast_to(np.arange(len(self)), (len(queries), len(self)))
        else:
            rows = self._index.search(queries, wanted)[1]
        # [queries, candidates]; padded with -1 and -inf to k columns if there are fewer rows.
        scores: FloatArray = np.full((len(queries), max(k, rows.shape[1])), -np.inf, dtype=np.float32)
        for number, (query, own) in enumerate(zip(queries, rows, strict=True)):
            with np.errstate(invalid="ignore", over="ignore"):  # a damaged vector is no candidate
                found = self._vectors[own].astype(np.float32) @ query
            scores[number, : len(own)] = np.where(np.isfinite(found), found, -np.inf)
        scores[:, : rows.shape[1]][rows < 0] = -np.inf
        padded = np.pad(rows, [(0, 0), (0, scores.shape[1] - rows.shape[1])], constant_values=-1)
        # Ties go to the lower row, so that the results for a smaller k are the first of those for a larger one.
        order = np.lexsort((padded, -scores), axis=1)[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(padded, order, axis=1)

    def save(self, folder: str | Path, encoder: str = "") -> None:
        """Write the index to a folder, whole or not at all; an index in it is replaced.

        Args:
            folder: A folder that is missing, empty or a saved index.
            encoder: Fingerprint of the encoder that made the vectors.
        """
        save_index(Path(folder), StoredIndex(self.kind, encoder, self._index, self.ids, self._vectors))

    @classmethod
    def open(cls, folder: str | Path, encoder: str | None = None) -> Self:
        """Open a saved index; vectors are mapped into memory, not read.

        Args:
            folder: The folder.
            encoder: Fingerprint of the queries' encoder; not compared if None.

        Raises:
            MissingDataError: If the folder holds no index.
            DataError: If a file is missing, cut off or of another version.
            SettingError: If it was built by another encoder.
        """
        stored = open_index(Path(folder), encoder)
        retriever = cls.__new__(cls)
        retriever.kind, retriever.ids = stored.kind, stored.ids  # type: ignore[assignment]
        retriever._index, retriever._vectors = stored.index, stored.vectors
        _set_search(retriever._index)
        return retriever


def _check_ids(ids: NDArray[Any]) -> None:
    """Refuse ids that would be other ids in 32 bits, and negative ones, which stand for no passage."""
    if len(ids) and (ids.dtype.kind not in "iu" or not 0 <= int(ids.min()) <= int(ids.max()) <= _MOST_ID):
        found = f"{ids.min()} to {ids.max()}" if ids.dtype.kind in "iuf" else str(ids.dtype)
        raise SettingError(f"ids of passages are whole numbers from 0 to {_MOST_ID:,}, not {found}")


def _made(kind: IndexKind, vectors: FloatArray) -> Any:
    """Return an empty index of a kind; `ivfpq` is trained on the vectors."""
    import faiss  # here and below, since commands that search nothing import this module

    dimensions = vectors.shape[1]
    index: Any
    if kind == "flat":
        return faiss.IndexFlatIP(dimensions)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _HNSW_BUILD
    else:
        index = _trained(vectors)
    _set_search(index)
    return index


def _trained(vectors: FloatArray) -> Any:
    """Return inverted lists with a product quantiser, trained on a sample of the vectors."""
    import faiss

    # The largest power of two up to 4 sqrt(n); FAISS's guidelines advise 4 to 16 sqrt(n).
    lists = max(1, min(4096, 2 ** int(np.log2(max(1, 4 * np.sqrt(len(vectors)))))))
    # A quantiser of 4 bits has 16 codewords; if lists would hold fewer vectors, one list takes all.
    if len(vectors) < _CODEWORDS * lists:
        lists = 1
    size = vectors.shape[1]
    # A code for each two dimensions, or for the next number of them that all dimensions can be divided into.
    codes = next(count for count in range(max(1, size // 2), 0, -1) if size % count == 0)
    index: Any = faiss.index_factory(size, f"IVF{lists},PQ{codes}x4fs", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.pq.cp.seed = _SEED, _SEED
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    most = min(_MOST_TRAINED, _TRAINED_ON * max(lists, 256))
    if len(vectors) > most:
        vectors = vectors[np.random.default_rng(_SEED).choice(len(vectors), most, replace=False)]
    index.train(vectors)
    return index


def _set_search(index: Any) -> None:
    """Set the effort of a search; FAISS does not save it for every index."""
    import faiss

    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = _HNSW_SEARCH
    elif isinstance(index, faiss.IndexIVFFastScan | faiss.IndexIVF):
        index.nprobe = min(_PROBED, index.nlist)
