"""Shared parts of all measurements: corpora that are prepared once, and a folder that keeps each measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.research_kernels import ResearchTables
from kgrl.curriculum.researcher import Researcher
from kgrl.errors import DataError
from kgrl.learners.base import Learner
from kgrl.retrieval.base import Retriever
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json

__all__ = ["MeasurementFolder", "PreparedCorpus", "Row"]

Row = dict[str, Any]


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus with its retriever, embeddings and research tables, made once for all measurements on it.

    Args:
        corpus: The corpus.
        retriever: Searches its train passages.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        tables: Research tables of its curricula. To compute them takes longer than a scratch learner's curriculum.
    """

    corpus: Corpus
    retriever: Retriever
    embeddings: NDArray[np.float32]
    tables: ResearchTables

    @classmethod
    def load(cls, name: str, encoder: Encoder) -> Self:
        """Load a corpus by name and prepare it."""
        from kgrl.data.load import load_corpus
        from kgrl.retrieval.corpus_index import embed_corpus

        corpus = load_corpus(name)
        return cls.of(corpus, *embed_corpus(corpus, encoder))

    @classmethod
    def of(cls, corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32]) -> Self:
        """Prepare a corpus that is loaded."""
        research = Researcher(corpus, retriever, embeddings, CurriculumConfig().neighbourhood)
        return cls(corpus, retriever, embeddings, research.tables)

    def curriculum(self, learner: Learner, config: CurriculumConfig) -> Curriculum:
        """Return a curriculum without a reward."""
        return Curriculum(self.corpus, learner, self.retriever, self.embeddings, None, config, tables=self.tables)


class _About(Struct, forbid_unknown_fields=True):
    """The origin of a folder's measurements: kgrl's version, and fingerprints of the encoder and of corpora by name."""

    version: str
    encoder: str = ""
    corpora: dict[str, str] = {}


def _read(path: Path) -> Row:
    return read_json(path, dict[str, Any], "delete it, and it is measured again")


class MeasurementFolder:
    """A folder of measurements by name, one JSON file each, so that a killed process loses one at most.

    Args:
        folder: The folder; made when a measurement is written.

    Example:
        >>> import tempfile
        >>> store = MeasurementFolder(Path(tempfile.mkdtemp()))
        >>> store.once("vital/a", lambda: {"loss": 3.0}), store.once("vital/a", lambda: {"loss": 4.0})
        ({'loss': 3.0}, {'loss': 3.0})
        >>> store.rows("vital")
        [{'loss': 3.0}]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def once(self, name: str, measure: Callable[[], Row]) -> Row:
        """Return the measurement of a name; take it and keep it if there is none."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            write_json(path, measure())
        # Read even if it was just written: tuples and NumPy numbers then look the same in the first run and later.
        return _read(path)

    def rows(self, under: str) -> list[Row]:
        """Return the measurements in a subfolder, in the order of their names; none if it does not exist."""
        return [_read(path) for path in sorted((self.folder / under).glob("*.json"))]

    def check(self, corpus: str, fingerprint: str, encoder: str) -> None:
        """Refuse a folder of another version of kgrl, encoder or corpus; note them in a new one.

        Args:
            corpus: The corpus's name.
            fingerprint: The corpus's fingerprint.
            encoder: The encoder's fingerprint.

        Raises:
            DataError: If it holds measurements of another version or encoder, or of a corpus that has changed since.
        """
        path, now = self.folder / "about.json", version("kgrl")
        about = read_json(path, _About, "choose another folder") if path.exists() else _About(now, encoder)
        if about.version != now:
            raise DataError(path, None, f"the folder has results of kgrl {about.version}, not {now}; choose another")
        if about.encoder != encoder:
            raise DataError(path, None, "the folder has results of another encoder; choose another")
        if about.corpora.setdefault(corpus, fingerprint) != fingerprint:
            raise DataError(path, None, f"the folder has results on another {corpus!r}; choose another")
        write_json(path, structs.asdict(about))
