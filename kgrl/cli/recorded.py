"""The corpus of a recorded run, found where the run says or where it was moved to, and known by its fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kgrl.errors import DataError, MissingDataError, UnknownNameError

if TYPE_CHECKING:
    from kgrl.corpus import Corpus

__all__ = ["FINGERPRINT", "corpus_of_run", "load_recorded"]

FINGERPRINT = "corpus_fingerprint"
"""The entry of `config.yaml` by which a run's corpus is known; runs of earlier versions have none."""
_SHOWN = 12
"""Characters of a fingerprint that messages show."""


def corpus_of_run(folder: Path, corpus: str | None = None, root: Path | None = None) -> Corpus:
    """Load the corpus that a run learned from.

    Args:
        folder: The run's folder.
        corpus: Name or folder of the corpus, if it is not where the run says.
        root: Folder of its source files, if they are not where the run says.

    Raises:
        MissingDataError: If there is no corpus; the message says how to name another place.
        DataError: If the corpus there is another one.
    """
    from kgrl.benchmark.tasks import corpus_of_task
    from kgrl.data.load import load_corpus
    from kgrl.runs.run import Run

    config = Run.read_config(folder)
    name, told = str(corpus or config["corpus"]), config.get("root")
    if config.get("task"):  # its traps are laid in the corpus that is named
        name = corpus_of_task(config["task"], name)
    source = root or (None if told is None else Path(told))
    return load_recorded(folder, name, lambda: load_corpus(name, root=source))


def load_recorded(folder: Path, place: str, load: Callable[[], Corpus]) -> Corpus:
    """Load a corpus, and refuse it unless it is the one that a run learned from.

    Args:
        folder: The run's folder.
        place: Name or folder of the corpus that is loaded, for messages.
        load: Loads it.

    Raises:
        MissingDataError: If there is no corpus; the message says how to name another place.
        DataError: If it is another one than the run's.
    """
    from kgrl.runs.run import Run

    config = Run.read_config(folder)
    try:
        corpus = load()
    except (UnknownNameError, MissingDataError) as error:
        if isinstance(error, UnknownNameError) and error.kind != "corpus":
            raise
        gone = f"the corpus {place!r} that this run learned from cannot be found: {error}"
        way_out = "if it was moved, name its place by --corpus (that of source files by --root)"
        raise MissingDataError(f"{folder / 'config.yaml'}: {gone}; {way_out}") from error
    known = config.get(FINGERPRINT)
    if known is not None and known != corpus.fingerprint:
        own = f"the corpus {config.get('corpus')!r} with the fingerprint {str(known)[:_SHOWN]}…"
        other = f"{place!r} has {corpus.fingerprint[:_SHOWN]}…, so it is another corpus or was changed"
        why = f"this run learned from {own}; {other}: name the place of the former by --corpus"
        raise DataError(folder / "config.yaml", None, why)
    return corpus
