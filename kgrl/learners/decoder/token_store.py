"""Token ids of a corpus, made once and memory-mapped from then on.

The module knows texts and a tokenizer; it does not know models. Every passage is stored as a document token followed by
its text tokens, so that its first text token is predicted too: a passage of n text tokens has n predicted tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.errors import KgrlError
from kgrl.graph.topic_graph import IntArray
from kgrl.system.cache import cached_arrays
from kgrl.system.files import cache_dir, content_key

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TokenStore", "document_token"]

_BATCH = 4096
"""Passages tokenised at once; bounds the memory that Python's lists of ids take."""


class TokenStore:
    """The token ids of a corpus's passages.

    Args:
        ids: All passages' ids one after the other, each passage led by the document token, shape `[all tokens]`.
        offsets: Start of each passage in `ids`, and the end of the last, int64, shape `[passages + 1]`.

    Example:
        >>> store = TokenStore(np.array([0, 7, 8, 0, 9], dtype=np.uint16), np.array([0, 3, 5]))
        >>> store[0].tolist(), store.count(np.array([1, 0])).tolist()
        ([0, 7, 8], [1, 2])
    """

    def __init__(self, ids: NDArray[Any], offsets: NDArray[np.int64]) -> None:
        self.ids, self.offsets = ids, offsets

    @classmethod
    def of(cls, corpus: Corpus, tokenizer: Tokenizer, document: int, cache: Path | None = None) -> TokenStore:
        """Tokenise a corpus, or map the arrays if this machine has done so before.

        Args:
            corpus: The corpus.
            tokenizer: A fast tokenizer; it adds no special tokens of its own.
            document: The id that leads every passage.
            cache: The folder of the arrays; by default `tokens` in kgrl's cache folder.

        Raises:
            KgrlError: If a passage has no tokens.
        """
        folder = cache if cache is not None else cache_dir() / "tokens"
        key = content_key(corpus.fingerprint, tokenizer.to_str(), str(document))

        def make() -> tuple[NDArray[Any], NDArray[np.int64]]:
            """Tokenise the corpus."""
            made = cls.made(corpus, tokenizer, document)
            return made.ids, made.offsets

        return cls(*cached_arrays(folder / key, ("ids", "offsets"), make))

    @classmethod
    def made(cls, corpus: Corpus, tokenizer: Tokenizer, document: int) -> TokenStore:
        """Tokenise a corpus in memory; arguments and errors are those of `of`."""
        return _tokenise(corpus, tokenizer, document)

    def extended(self, corpus: Corpus, tokenizer: Tokenizer, document: int) -> TokenStore:
        """Return the token ids of a corpus that begins with this one's passages; only the others are tokenised."""
        more = _tokenise(corpus, tokenizer, document, len(self))
        offsets = np.concatenate([self.offsets, more.offsets[1:] + self.offsets[-1]])
        return TokenStore(np.concatenate([self.ids, more.ids]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, passage: int) -> NDArray[Any]:
        """Return a passage's ids, the document token first, as a view."""
        return self.ids[self.offsets[passage] : self.offsets[passage + 1]]

    def count(self, passages: IntArray) -> NDArray[np.int64]:
        """Return the number of predicted tokens of each passage, shape `[passages]`."""
        return self.offsets[passages + 1] - self.offsets[passages] - 1

    def sequences(self, passages: Passages) -> list[NDArray[Any]]:
        """Return the ids of each of some passages, in order."""
        return [self[int(i)] for i in passages.ids]


def document_token(tokenizer: Any) -> int:
    """Return the id that leads every passage: the token before each document in the model's pretraining.

    That is `<|endoftext|>` if the vocabulary has it, else the beginning-of-sequence token, else the end token. A chat
    model's beginning-of-sequence token announces a role instead: led by SmolLM2's `<|im_start|>` mathematics articles
    have a loss of 3.76 nats per token, led by `<|endoftext|>` 3.33, and a curriculum would teach the difference first.

    Raises:
        KgrlError: If it has none of them.
    """
    candidates = (tokenizer.get_vocab().get("<|endoftext|>"), tokenizer.bos_token_id, tokenizer.eos_token_id)
    for token in candidates:
        if token is not None:
            return int(token)
    name = getattr(tokenizer, "name_or_path", "")
    whose = f"the tokenizer of {name!r}" if name else "the tokenizer"
    lacking = "has no token that could lead a passage: neither <|endoftext|> nor a beginning nor an end"
    raise KgrlError(f"{whose} {lacking}; name one of its tokens as bos_token or eos_token in its tokenizer_config.json")


def _tokenise(corpus: Corpus, tokenizer: Tokenizer, document: int, first: int = 0) -> TokenStore:
    """Tokenise all passages from passage `first` on, a batch at a time."""
    # A tokenizer may be set up to pad or cut to its model's context; passages keep their own lengths.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    pieces: list[NDArray[Any]] = []
    lengths: list[int] = []
    for start in range(first, len(corpus), _BATCH):
        encoded = tokenizer.encode_batch_fast(list(corpus.texts[start : start + _BATCH]), add_special_tokens=False)
        pieces += [np.array([document, *passage.ids], dtype=dtype) for passage in encoded]
        lengths += [len(passage.ids) + 1 for passage in encoded]
    if 1 in lengths:  # the document token alone
        raise KgrlError(f"passage {first + lengths.index(1)} of corpus {corpus.name!r} has no tokens")
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return TokenStore(np.concatenate(pieces) if pieces else np.empty(0, dtype=dtype), offsets)
