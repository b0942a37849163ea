"""An index in shards, one for each file of a source: built and searched in parallel, with the results of one index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import Struct

from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import FloatArray
from kgrl.retrieval.building import StoredTexts, build_index
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.faiss_retriever import FaissRetriever, IndexKind
from kgrl.retrieval.sources import PassageSource
from kgrl.system.executors import Executor, SerialExecutor
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json

__all__ = ["ShardedRetriever", "build_shards"]

_SHARDS = "shards.json"


@dataclass(frozen=True)
class _Shard:
    """A shard that is to be built."""

    source: PassageSource
    folder: Path

    @property
    def name(self) -> str:
        """The name of the task for the executor."""
        return self.source.name


@dataclass(frozen=True)
class _HowToBuild:
    """Arguments of `build_index` that all shards share, for another process."""

    model: str | Path
    max_tokens: int
    kind: IndexKind | None
    rebuild: bool


def build_shards(
    sources: Sequence[PassageSource],
    folder: Path,
    encoder: Encoder,
    kind: IndexKind | None = None,
    *,
    executor: Executor | None = None,
    rebuild: bool = False,
    on_shard: Callable[[int], None] = lambda done: None,
) -> int:
    """Build a shard for each source; see `build_index`.

    Args:
        sources: The sources, in the order in which their passages are numbered.
        folder: The folder of the shards.
        encoder: Embeds passages; other processes make an encoder of the same model.
        kind: The kind of index of all shards; by default that of `kind_for`.
        executor: Builds the shards; if None they are built in this process, one after another.
        rebuild: Delete the shards and start over.
        on_shard: Called with the number of shards built so far.

    Returns:
        The number of passages.

    Raises:
        KgrlError: If a shard cannot be built; the message names it. The other shards are kept.
    """
    how = _HowToBuild(encoder.model, encoder.max_tokens, kind, rebuild)
    shards = [_Shard(source, folder / f"{number:05d}") for number, source in enumerate(sources)]
    total = 0
    # The list of shards is written last, so a folder without it is not taken for an index.
    for done, passages in enumerate((executor or SerialExecutor()).map(_build, how, shards), 1):
        total += passages
        on_shard(done)
    write_json(folder / _SHARDS, {"shards": [shard.folder.name for shard in shards]})
    return total


def _build(how: _HowToBuild, shard: _Shard) -> int:
    encoder = Encoder(how.model, max_tokens=how.max_tokens)
    return build_index(shard.source, shard.folder, encoder, how.kind, rebuild=how.rebuild)


@dataclass(frozen=True)
class _ToSearch:
    """A shard that is to be searched, maybe in another process."""

    folder: Path
    encoder: str | None

    @property
    def name(self) -> str:
        """The name of the task for the executor."""
        return str(self.folder)


class _Shards(Struct, forbid_unknown_fields=True):
    """The names of the shards' folders, in the order of their passages."""

    shards: list[str]


class ShardedRetriever:
    """Search of the shards of a folder. Passages are numbered across all shards.

    Args:
        folder: The folder that `build_shards` wrote.
        encoder: Fingerprint of the queries' encoder; not compared if None.
        executor: Searches the shards, and opens them for each search; if None they are searched in this process, one
            after another.

    Raises:
        MissingDataError: If the folder holds no shards.
        DataError: If a shard is damaged.
        SettingError: If a shard was built by another encoder, or there are more passages than numbers for them.
    """

    def __init__(self, folder: Path, encoder: str | None = None, executor: Executor | None = None) -> None:
        path = folder / _SHARDS
        if not path.is_file():
            raise MissingDataError(f"{folder} holds no index; `kgrl research index SOURCE --out {folder}` makes one")
        names = read_json(path, _Shards, "build the index anew").shards
        if foreign := [name for name in names if Path(name).name != name]:
            raise DataError(path, None, f"shards: {foreign[0]!r} is not the name of a folder in this one")
        folders = [folder / name for name in names]
        self._texts = [StoredTexts(shard) for shard in folders]
        self._offsets = np.cumsum([0, *map(len, self._texts)])  # number of the first passage of each shard
        self._check(folder)
        self._executor = executor
        self._shards = [_ToSearch(shard / "index", encoder) for shard in folders]
        self._open = [FaissRetriever.open(shard.folder, encoder) for shard in self._shards]

    def _check(self, folder: Path) -> None:
        """Refuse shards that cannot be searched together."""
        if len({texts.encoder for texts in self._texts}) > 1:
            raise SettingError(
                f"the shards of {folder} were built by several encoders; build them again with --rebuild"
            )
        if len(self) > np.iinfo(np.int32).max:
            raise SettingError(f"{folder} has {len(self):,} passages, more than 32 bits can number: search it in parts")

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def __repr__(self) -> str:
        return f"ShardedRetriever({len(self):,} vectors in {len(self._shards)} shards)"

    def text(self, passage: int) -> str:
        """Return the text of a passage."""
        shard = int(np.searchsorted(self._offsets, passage, side="right")) - 1
        return self._texts[shard][passage - int(self._offsets[shard])]

    def texts(self) -> list[str]:
        """Return the texts of all passages, in order."""
        return [texts[number] for texts in self._texts for number in range(len(texts))]

    def search(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and cosines of the k best passages of all shards; see `Retriever`."""
        if self._executor is None:
            found = [(number, *shard.search(queries, k)) for number, shard in enumerate(self._open)]
        else:
            tasks = self._executor.map(_search, (queries, k), self._shards)
            by_name = {shard.name: number for number, shard in enumerate(self._shards)}
            # Results come in any order; ties between shards must not depend on it.
            found = sorted(((by_name[name], ids, scores) for name, ids, scores in tasks), key=lambda part: part[0])
        ids = np.concatenate(
            [np.where(own >= 0, own + np.int32(self._offsets[number]), -1) for number, own, _ in found], axis=1
        )
        scores = np.concatenate([scores for _, _, scores in found], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # ties go to the lower passage, as in one index
        return np.take_along_axis(ids, order, axis=1).astype(np.int32), np.take_along_axis(scores, order, axis=1)


def _search(asked: tuple[FloatArray, int], shard: _ToSearch) -> tuple[str, IntArray, FloatArray]:
    return (shard.name, *FaissRetriever.open(shard.folder, shard.encoder).search(*asked))
