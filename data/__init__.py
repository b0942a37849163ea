"""Where topic graphs and text come from.

`load_corpus` takes the name of a registered corpus or a folder of files; `save_folder` writes such a folder.
"""

from __future__ import annotations

from pathlib import Path

from kgrl.corpus import Corpus
from kgrl.data.folder import load_folder, save_folder
from kgrl.data.reading import OnError
from kgrl.data.vital import LANGUAGES, load_vital, vital_name
from kgrl.data.wikispeedia import load_wikispeedia
from kgrl.registry import Registry

__all__ = ["corpora", "load_corpus", "load_folder", "save_folder"]

corpora: Registry[Corpus] = Registry("corpus")
"""Corpora by name. Their factories take `root` (a `Path` or None) and `on_error` (`"fail"` or `"skip"`)."""


def load_corpus(name: str | Path, *, root: str | Path | None = None, on_error: OnError = "fail") -> Corpus:
    """Load a corpus by name, or from a folder of your own.

    Args:
        name: `"vital"`, `"vital-fr"`, `"vital-es"`, `"wikispeedia"`, or a folder that `kgrl.data.folder` describes.
        root: Where the source files of a corpus are that is not packaged: the folder of Wikispeedia's archives.
        on_error: What to do with a record that cannot be used: `"fail"`, or `"skip"` and log how many were skipped.

    Raises:
        UnknownNameError: If it is neither; the message suggests the nearest name.
        MissingDataError: If the source files are not on this machine and cannot be downloaded.
        DataError: If a record cannot be used and `on_error` is `"fail"`.

    Example:
        >>> load_corpus("vitla")
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown corpus 'vitla'; did you mean 'vital'? Known: vital, ..., wikispeedia
    """
    if name not in corpora and Path(name).is_dir():
        return load_folder(name, on_error=on_error)
    return corpora.make(str(name), root=None if root is None else Path(root), on_error=on_error)


def _register_vital(name: str, language: str) -> None:
    @corpora.register(name)
    def load(*, root: Path | None, on_error: OnError) -> Corpus:
        if root is not None:
            raise ValueError(f"{name} is read from an installed package; it has no root")
        return load_vital(language)


for _language in LANGUAGES:
    _register_vital(vital_name(_language), _language)


@corpora.register("wikispeedia")
def _load_wikispeedia(*, root: Path | None, on_error: OnError) -> Corpus:
    return load_wikispeedia(root, on_error=on_error)
