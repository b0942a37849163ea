"""Processed corpora in the cache: memory-mapped texts, splits and links, made once and opened at once.

An entry is a folder of NumPy files and `corpus.json`, and `questions.json` if the corpus has questions. Texts lie end
to end as UTF-8 and are decoded when they are asked for, so an opened corpus takes little memory, and several processes
share it. It reads nothing but the entry: a change of the source files is another key, and does not reach corpora that
are open.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kgrl.corpus import Cloze, Corpus
from kgrl.graph.storage import StoredStrings, pack_strings
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.arrays import read_array
from kgrl.system.cache import cached
from kgrl.system.files import cache_dir, content_key, new_folder, write_json, write_npy
from kgrl.system.schemas import read_json

__all__ = ["processed"]

_VERSION = "10"
"""Part of the key of every entry; raise it when format, cutting, cleaning, linking, traps or invented text change."""
_ABOUT, _QUESTIONS = "corpus.json", "questions.json"
_GRAPH = "graph"
_LONGEST_NAME = 60
_DAMAGED = "remove it from the cache, and it is made again"

_OPEN: WeakValueDictionary[tuple[Path, str], Corpus] = WeakValueDictionary()
"""Corpora of this process by entry and name. What is derived from one is then shared by all who load it."""
_LATEST: deque[Corpus] = deque(maxlen=2)
"""The corpora opened last, which stay open when nobody uses them: the next environment may be of the same one."""

_log = logging.getLogger(__name__)


class _About(Struct):
    """The content of `corpus.json`."""

    fingerprint: str


class _Questions(Struct):
    """The content of `questions.json`: the questions, and which of them train passages tell word for word."""

    questions: list[Cloze]
    told: list[bool]


def processed(name: str, content: Sequence[str], build: Callable[[], Corpus]) -> Corpus:
    """Open a corpus from the cache; build it and put it there the first time.

    While somebody in this process uses the corpus, or it is one of the two opened last, the same object is returned. It
    goes on working if the cache folder is removed.

    Args:
        name: The corpus's name.
        content: Digests of the source files, and parameters; they are the key of the cache entry.
        build: Builds the corpus.

    Raises:
        KgrlError: If the cache folder cannot be written to.
    """
    key = content_key(_VERSION, *content)
    entry = cache_dir() / "corpora" / f"{re.sub(r'[^A-Za-z0-9.-]', '_', name)[:_LONGEST_NAME]}-{key}"
    corpus = _OPEN.get((entry, name))
    if corpus is None:

        def make() -> None:
            """Build the corpus and write it to the entry."""
            start = time.perf_counter()
            _write(build(), entry)
            _log.info("%s: processed in %.0f s, kept in %s", name, time.perf_counter() - start, entry)

        cached(entry, make=make)
        corpus = _OPEN[entry, name] = _open(entry, name)
    if not any(corpus is latest for latest in _LATEST):
        _LATEST.append(corpus)
    return corpus


def _write(corpus: Corpus, entry: Path) -> None:
    """Write a corpus to a new folder, whole or not at all."""
    texts, starts = pack_strings(corpus.texts)
    arrays: dict[str, NDArray[Any]] = {"texts": texts, "starts": starts}
    arrays |= {"topics": corpus.topics, "splits": corpus.splits, "word_counts": corpus.word_counts}
    with new_folder(entry) as temporary:
        corpus.graph.save(temporary / _GRAPH)
        for part, array in arrays.items():
            write_npy(temporary / f"{part}.npy", array)
        if corpus.questions:
            asked = [asdict(question) for question in corpus.questions]
            write_json(temporary / _QUESTIONS, {"questions": asked, "told": corpus.told.tolist()})
        write_json(temporary / _ABOUT, {"fingerprint": corpus.fingerprint})


def _open(entry: Path, name: str) -> Corpus:
    """Map the corpus of an entry into memory; `cached` has compared its checksums."""
    about = read_json(entry / _ABOUT, _About, _DAMAGED)
    types = {"texts": np.uint8, "starts": np.int64, "topics": np.int32, "splits": np.uint8, "word_counts": np.int32}
    arrays = {key: read_array(entry / f"{key}.npy", kind, None, way_out=_DAMAGED) for key, kind in types.items()}
    graph = TopicGraph.open(entry / _GRAPH, verify=False)
    texts = StoredStrings(arrays["texts"], arrays["starts"])
    path = entry / _QUESTIONS
    asked = read_json(path, _Questions, _DAMAGED) if path.exists() else _Questions([], [])
    corpus = Corpus(name, graph, texts, arrays["topics"], arrays["splits"], asked.questions)
    # Set in place of what the cached properties would compute.
    corpus.fingerprint, corpus.word_counts = about.fingerprint, arrays["word_counts"]
    corpus.told = np.array(asked.told, dtype=bool)
    return corpus
