"""The static encoder: a text's vector is the mean of its tokens' vectors, brought into MiniLM's space.

It ships in `kgrl/builtin/`, where the model card tells how `benchmarks/builtin_encoder.py` made it. Its vectors can
stand for MiniLM's wherever something was fitted to those: the projection, policies, calibrations. It needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from kgrl.system.files import content_key, file_digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKENIZER_FILE", "WEIGHTS_FILE", "StaticModel", "pack_vectors", "unpack_vectors"]

FloatArray = NDArray[np.float32]

WEIGHTS_FILE, TOKENIZER_FILE = "encoder.safetensors", "encoder-tokenizer.json"
_BUILTIN = Path(__file__).parents[1] / "builtin"
_BATCH = 1024
_CHARACTERS = 8
"""Characters of a text that are read for each token of the limit; hardly a text has longer tokens on average."""
_LARGEST = 7
"""Largest entry of a packed vector, which has 4 bits: -7 to 7, stored as 0 to 14."""


class StaticModel:
    """A table of token vectors, and a matrix that brings their mean into the space of another encoder.

    Args:
        max_tokens: Tokens of a text that are read.
        folder: The folder of the two files.
    """

    def __init__(self, max_tokens: int, folder: Path = _BUILTIN) -> None:
        self.max_tokens, self.folder = max_tokens, folder

    @cached_property
    def fingerprint(self) -> str:
        """Key of both files and the token limit."""
        files = [file_digest(self.folder / name) for name in (WEIGHTS_FILE, TOKENIZER_FILE)]
        return content_key("static", *files, str(self.max_tokens))

    @cached_property
    def dimensions(self) -> int:
        """Number of entries of a vector."""
        return len(self._weights["bias"])

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return unit vectors, float32 `[texts, dimensions]`."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            vectors[start : start + _BATCH] = self._encode_batch(texts[start : start + _BATCH])
        return vectors

    def _encode_batch(self, texts: Sequence[str]) -> FloatArray:
        from scipy.sparse import csr_array  # here, since it takes longer to import than a text to encode

        # Half a surrogate pair is no character, and becomes a question mark.
        heads = [text[: _CHARACTERS * self.max_tokens].encode(errors="replace").decode() for text in texts]
        ids = [found.ids[: self.max_tokens] for found in self._tokenizer.encode_batch_fast(heads)]
        ends = np.cumsum([0, *map(len, ids)])
        shares = np.repeat(1 / np.maximum(np.diff(ends), 1), np.diff(ends)).astype(np.float32)
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(ends[-1]))
        means = csr_array((shares, flat, ends), shape=(len(texts), len(self._table))) @ self._table
        vectors: FloatArray = means @ self._weights["matrix"] + self._weights["bias"]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # a text without tokens has the bias, not zeros
        return vectors

    @cached_property
    def _weights(self) -> dict[str, NDArray[Any]]:
        """The tensors of the file, float32 but for the packed vectors."""
        return {
            name: tensor if name == "vectors" else tensor.astype(np.float32)
            for name, tensor in load_file(self.folder / WEIGHTS_FILE).items()
        }

    @cached_property
    def _table(self) -> FloatArray:
        """The vector of each token, `[tokens, entries]`."""
        return unpack_vectors(self._weights["vectors"], self._weights["scales"])

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.folder / TOKENIZER_FILE))


def pack_vectors(table: FloatArray) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Pack vectors of an even number of entries into 4 bits an entry, with a scale for each.

    Returns:
        Pairs of entries, uint8 `[rows, entries / 2]`, and scales, float16 `[rows]`.

    Example:
        >>> unpack_vectors(*pack_vectors(np.array([[7.0, -3.2], [1.75, 0.1]], dtype=np.float32))).tolist()
        [[7.0, -3.0], [1.75, 0.0]]
    """
    scales = np.maximum(np.abs(table).max(axis=1) / _LARGEST, 1e-4).astype(np.float16)
    steps = np.round(table / scales[:, None].astype(np.float32)).clip(-_LARGEST, _LARGEST).astype(np.int8)
    entries = (steps + _LARGEST).astype(np.uint8)
    return entries[:, ::2] | entries[:, 1::2] << 4, scales


def unpack_vectors(packed: NDArray[np.uint8], scales: NDArray[np.floating]) -> FloatArray:
    """Return the vectors that `pack_vectors` packed, float32 `[rows, entries]`."""
    entries = np.stack([packed & 15, packed >> 4], axis=2).reshape(len(packed), -1)
    table: FloatArray = (entries.astype(np.float32) - _LARGEST) * scales.astype(np.float32)[:, None]
    return table
