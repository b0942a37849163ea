"""Corpora and traces by name.

`load_corpus` takes the name of a registered corpus or a corpus folder; `load_traces` takes the name of a source of
traces, a trace file, or the folder of a run. Sources bring readers and downloaders, and are imported when they are
asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kgrl.corpus import Corpus
from kgrl.data.folder import open_folder
from kgrl.data.invented.corpus import is_invented, load_invented
from kgrl.data.processed import processed
from kgrl.data.reading import OnError
from kgrl.data.traps.deception import Deceived, deceptive
from kgrl.data.traps.planted import FOREIGN, Planted, noisy
from kgrl.data.wikimedia.vital import LANGUAGES, find_leads, load_vital, vital_name
from kgrl.errors import SettingError, UnknownNameError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.files import absolute, file_digest
from kgrl.system.registry import Registry

if TYPE_CHECKING:
    from kgrl.traces.source import TraceSource

__all__ = ["DERIVED", "absolute_corpus", "corpora", "load_corpus", "load_traces", "traced_corpus"]

_TRACE_FILE = ".parquet"
_CORPORA_OF_TRACES = {"wikispeedia": "wikispeedia", "clickstream": "vital"}
"""Named sources of traces, and the corpus on which each is read by default."""

corpora: Registry[Corpus] = Registry("corpus", group="kgrl.sources")
"""Corpora by name. Their factories take `root` (a `Path` or None) and `on_error` (`"fail"` or `"skip"`)."""

DERIVED: dict[str, Callable[[Corpus], Planted | Deceived]] = {"noisy": noisy, "deceptive": deceptive}
"""Corpora made from others by laying traps, by the word before the colon of their names: `noisy:vital`."""


def load_corpus(name: str | Path, *, root: str | Path | None = None, on_error: OnError = "fail") -> Corpus:
    """Load a corpus by name, or from a corpus folder.

    Args:
        name: `"vital"`, `"vital-fr"`, `"vital-es"`, `"wikispeedia"`, `"fictional"`, `"invented:2000"` or
            `"invented:2000:7"` (a world of 2,000 topics made from seed 7), or a folder that `kgrl.data.folder`
            describes. With `"noisy:"` or `"deceptive:"` before it, the corpus with the traps of `DERIVED`.
        root: Folder of the source files, for a corpus that is not packaged: that of Wikispeedia's archives, or of the
            file of Fictional Knowledge.
        on_error: What to do with a record that cannot be used: `"fail"`, or `"skip"` and log how many were skipped.

    Raises:
        UnknownNameError: If it is neither a name nor a folder; the message suggests the nearest name.
        MissingDataError: If the source files are not on this machine and cannot be downloaded.
        DataError: If a record cannot be used and `on_error` is `"fail"`.

    Example:
        >>> load_corpus("vitla")
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown corpus 'vitla'; did you mean 'vital'? Known: ..., vital, ..., wikispeedia
    """
    if name not in corpora and Path(name).is_dir():  # a registered name wins over a folder of that name
        return open_folder(name, on_error=on_error)
    derived, _, origin = str(name).partition(":")
    if derived in DERIVED and origin:
        return _derived(derived, load_corpus(origin, root=root, on_error=on_error))
    kind = "invented" if is_invented(str(name)) else str(name)
    options = {"world": str(name)} if kind == "invented" else {}
    return corpora.make(kind, root=None if root is None else Path(root), on_error=on_error, **options)


def absolute_corpus(name: str) -> str:
    """Return a corpus's name with the absolute path of its folder, if it is one; as it is else.

    Example:
        >>> absolute_corpus("noisy:vital")
        'noisy:vital'
    """
    if name not in corpora and Path(name).is_dir():
        return absolute(name)
    derived, _, origin = name.partition(":")
    return f"{derived}:{absolute_corpus(origin)}" if derived in DERIVED and origin else name


def _derived(kind: str, origin: Corpus) -> Corpus:
    """Lay traps in a corpus, or open it with them; planted topics take their text from other leads, too."""
    content = [kind, origin.name, origin.fingerprint, file_digest(find_leads(FOREIGN)) if kind == "noisy" else ""]
    return processed(f"{origin.name}-{kind}", content, lambda: DERIVED[kind](origin).corpus)


def _register_vital(name: str, language: str) -> None:
    @corpora.register(name)
    def load(*, root: Path | None, on_error: OnError) -> Corpus:
        """Load the vital articles; none of their records is skipped, so `on_error` has no effect."""
        if root is not None:
            raise SettingError(f"{name} is read from an installed package; it has no root")
        return load_vital(language)


for _language in LANGUAGES:
    _register_vital(vital_name(_language), _language)


@corpora.register("wikispeedia")
def _load_wikispeedia(*, root: Path | None, on_error: OnError) -> Corpus:
    from kgrl.data.wikispeedia.corpus import load_wikispeedia

    return load_wikispeedia(root, on_error=on_error)


@corpora.register("fictional")
def _load_fictional(*, root: Path | None, on_error: OnError) -> Corpus:
    """Load Fictional Knowledge; its one file is read as a whole, so `on_error` has no effect."""
    from kgrl.data.fictional.corpus import load_fictional

    return load_fictional(root)


@corpora.register("invented")
def _load_invented(*, root: Path | None, on_error: OnError, world: str = "invented") -> Corpus:
    if root is not None:
        raise SettingError("an invented corpus is made from its name; it has no root")
    return load_invented(world)


def load_traces(
    source: str | Path,
    *,
    root: str | Path | None = None,
    corpus: str | Path | None = None,
    walks: int = 10_000,
    seed: int = 0,
) -> TraceSource:
    """Open a source of traces.

    Args:
        source: `"wikispeedia"`; `"clickstream"`; a trace file, ending in `.parquet`; or the folder of a run.
        root: For the clickstream its file, for example `clickstream-enwiki-2026-10.tsv.gz`; otherwise the folder of the
            source files, as for `load_corpus`.
        corpus: The corpus whose topic graph the traces are on. If None, the one that the file or the run names, and
            `"vital"` for the clickstream. Wikispeedia has its own graph.
        walks: Number of walks sampled from the clickstream.
        seed: Seeds that sampling.

    Raises:
        UnknownNameError: If the source is none of these.
        SettingError: If the graph of the traces is unknown, or the clickstream has no file.
        MissingDataError: If the source files are not on this machine and cannot be downloaded.
        DataError: If a file is damaged, of another version or of another graph.

    Example:
        >>> load_traces("wikispedia")
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown trace source 'wikispedia'; did you mean 'wikispeedia'? ...
    """
    # Named sources first: a folder of that name in the working folder does not hide them.
    path, folder = Path(source), None if root is None else Path(root)
    if source == "wikispeedia":
        from kgrl.data.wikispeedia.archives import traces_folder
        from kgrl.data.wikispeedia.traces import WikispeediaTraces

        return WikispeediaTraces(folder or traces_folder())
    named = traced_corpus(source)  # raises for an unknown source
    corpus = corpus or named
    if source == "clickstream":
        from kgrl.data.wikimedia.clickstream import ClickstreamWalks, read_clickstream

        if folder is None:
            raise SettingError("the clickstream is read from a file; root names it")
        return ClickstreamWalks(read_clickstream(folder, _graph(corpus, None)), walks, seed=seed)
    graph = _graph(corpus, folder)
    if path.suffix == _TRACE_FILE:
        from kgrl.data.traces.trace_store import StoredTraces

        return StoredTraces(path, graph)
    from kgrl.data.traces.run_traces import RunTraces

    return RunTraces(path, graph)


def traced_corpus(source: str | Path) -> str:
    """Return the name of the corpus of a source's traces, `""` if a trace file does not name it.

    Args:
        source: As for `load_traces`; errors are the same.
    """
    path = Path(source)
    if source in _CORPORA_OF_TRACES:
        return _CORPORA_OF_TRACES[str(source)]
    if path.suffix == _TRACE_FILE:
        from kgrl.data.traces.trace_store import recorded_corpus

        return recorded_corpus(path)
    if path.is_dir():
        from kgrl.runs.run import Run

        return str(Run.read_config(path)["corpus"])
    raise UnknownNameError("trace source", str(source), [*_CORPORA_OF_TRACES, "FILE.parquet", "RUN_FOLDER"])


def _graph(corpus: str | Path, root: Path | None) -> TopicGraph:
    if not corpus:
        raise SettingError("the traces do not say which corpus their topics are from; name it")
    if corpus == "wikispeedia":  # its links are in a file, so its text need not be processed
        from kgrl.data.wikispeedia.corpus import read_graph

        return read_graph(root)
    return load_corpus(corpus, root=root).graph
