"""Transformers as sentence encoders, as sentence-transformers saves them, on plain torch and transformers.

The states of the last layer are pooled, and the vectors go through further layers, as the model's folder says
(`kgrl.retrieval.encoder_folder`). Without a word in it they are averaged. At the end they are normalised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import DataError
from kgrl.retrieval.encoder_folder import EncoderFolder, folder_of, read_encoder_folder
from kgrl.system.devices import CPU
from kgrl.system.files import content_key

if TYPE_CHECKING:
    from torch import nn

    from kgrl.retrieval.encoder_parts import Tokens, Transformer

__all__ = ["TransformerModel"]

FloatArray = NDArray[np.float32]

_BESIDE_MINILM = "9ade591c7215df17bc04dd3e9b7889d2"
"""Digest of what lies beside the weights of the package's MiniLM. Its fingerprint leaves it out, so that vectors and
results from before the tokenizer counted stay valid."""
_DTYPE = "float32"
"""Number format on every machine. bfloat16 is faster on some, but its vectors differ so much that `vital` got other
links there, and calibrations fitted on one kind of machine were refused on another."""
_BATCH_TOKENS = 2048
"""Tokens of a batch on a CPU. Larger batches leave the processor's caches, smaller ones multiply slower."""
_DEVICE_TOKENS = 2**15
"""Tokens of a batch elsewhere."""


class TransformerModel:
    """A transformer that encodes texts in batches of the same number of tokens, each of texts of similar length.

    Args:
        model: A folder or a Hugging Face name.
        max_tokens: Tokens of a text that are read.
        device: Name of the device to compute on.
    """

    def __init__(self, model: str | Path, max_tokens: int, device: str = CPU) -> None:
        self.model, self.max_tokens, self.device = model, max_tokens, device

    @cached_property
    def fingerprint(self) -> str:
        """Key of the model's files, the number format and the token limit."""
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

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return unit vectors, float32 `[texts, dimensions]`."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        if len(texts):
            tokens = self._loaded[0].tokens(texts, self.max_tokens)
            for rows in _batches([len(own["input_ids"]) for own in tokens], self._batch_tokens):
                vectors[rows] = self._encode_batch([tokens[row] for row in rows])
        return vectors

    @property
    def _batch_tokens(self) -> int:
        """Tokens of a batch, padding included."""
        return _BATCH_TOKENS if self.device == CPU else _DEVICE_TOKENS

    @cached_property
    def _told(self) -> EncoderFolder:
        """The model's folder, and what it says about the vectors."""
        return read_encoder_folder(folder_of(self.model))

    def _encode_batch(self, batch: list[Tokens]) -> FloatArray:
        import torch  # here, since it takes two seconds that reading a corpus can save

        from kgrl.retrieval.encoder_parts import pool

        transformer, layers = self._loaded
        with torch.inference_mode():
            pooled = layers(pool(*transformer.states(batch), self._told.pooling))
            vectors: FloatArray = torch.nn.functional.normalize(pooled[:, : self._told.kept], dim=1).cpu().numpy()
        if vectors.shape[1] != self.dimensions:
            what = f"the encoder makes vectors of {vectors.shape[1]} entries, and its folder says {self.dimensions}"
            raise DataError(self._told.folder, None, what)
        return vectors

    @cached_property
    def _loaded(self) -> tuple[Transformer, nn.Module]:
        """The transformer, and the layers behind the pooling."""
        # Imported here, since it takes seconds, and most runs find all their vectors in the cache.
        from kgrl.retrieval.encoder_parts import Transformer, make_layers

        return Transformer(self._told, _DTYPE, self.device), make_layers(self._told.layers).to(self.device)


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[NDArray[np.intp]]:
    """Yield texts of similar length, longest first, as many as have so many tokens when they are padded."""
    ordered, start = np.argsort(-np.asarray(lengths), kind="stable"), 0
    while start < len(ordered):
        end = start + max(1, tokens // max(1, lengths[ordered[start]]))
        yield ordered[start:end]
        start = end
