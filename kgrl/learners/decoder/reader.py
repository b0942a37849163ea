"""The part of a learner that knows a corpus by its token ids, and can turn to another corpus."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.decoder.token_store import TokenStore

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["PassageReader", "rows_of"]


def rows_of(groups: IntArray) -> list[NDArray[np.int64]]:
    """Return the places of the members of each group, given the group of each; those of a group are in a row.

    Example:
        >>> [rows.tolist() for rows in rows_of(np.array([4, 4, 2]))]
        [[0, 1], [2]]
    """
    return np.split(np.arange(len(groups)), np.flatnonzero(np.diff(groups)) + 1)


class PassageReader(ABC):
    """A learner that reads text: passages of its corpus, and statements of any other.

    Attributes:
        corpus: The corpus whose passages are read.
        tokenizer: The tokenizer.
        tokens: The token ids of the corpus's passages.
    """

    corpus: Corpus
    tokenizer: Tokenizer
    tokens: TokenStore
    _document: int
    _known: set[str]

    def count_tokens(self, passages: Passages) -> NDArray[np.int64]:
        """Return the number of predicted tokens of each passage, shape `[passages]`."""
        self._check_corpus(passages)
        return self.tokens.count(passages.ids)

    @abstractmethod
    def compare(self, passages: Passages, groups: IntArray) -> NDArray[np.float32]:
        """Return the total loss of each passage in nats, up to a number that all passages of its group have in common.

        Args:
            passages: Passages, those of a group in a row and on one topic.
            groups: The group of each passage of the corpus, `[passages of the corpus]`.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names the passage.
        """

    def first_likeliest(self, passages: Passages, groups: IntArray) -> tuple[NDArray[np.bool_], int]:
        """Return of each group of passages whether its first is likelier than every other, and the tokens read.

        A first one that ties with another is not.

        Args:
            passages: Passages, those of a group in a row and on one topic.
            groups: The group of each passage of the corpus, `[passages of the corpus]`.

        Returns:
            The answers, `[groups]`, and the number of tokens read for them.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names the passage.
        """
        losses = self.compare(passages, groups)
        answers = [bool((losses[row[0]] < losses[row[1:]]).all()) for row in rows_of(groups[passages.ids])]
        return np.array(answers), int(self.count_tokens(passages).sum())

    def reading(self, corpus: Corpus, *, once: bool = False) -> Self:
        """Return a learner of the same weights and plug-ins, shared and not copied, that reads another corpus.

        Args:
            corpus: The corpus.
            once: Whether this corpus will not be read again, so that its tokens need not be kept on disk.
        """
        reader = copy.copy(self)
        reader._read(corpus, once=once)
        return reader

    def extend(self, corpus: Corpus) -> None:
        """Read a corpus that begins with the present one: the same passages, and more after them."""
        self.tokens = self.tokens.extended(corpus, self.tokenizer, self._document)
        self.corpus = corpus
        self._known.add(corpus.fingerprint)  # passages of the former corpus have the same ids: they are still read

    def _read(self, corpus: Corpus, *, once: bool = False) -> None:
        """Tokenise a corpus, and know its passages from now on."""
        self.corpus, self._known = corpus, {corpus.fingerprint}
        tokenise = TokenStore.made if once else TokenStore.of
        self.tokens = tokenise(corpus, self.tokenizer, self._document)

    def _sequences(self, passages: Passages) -> list[NDArray[Any]]:
        """Token ids of passages, checked to be of the learner's corpus."""
        self._check_corpus(passages)
        return self.tokens.sequences(passages)

    def _check_corpus(self, passages: Passages) -> None:
        """Refuse passages of another corpus, whose ids mean other texts."""
        if passages.corpus.fingerprint not in self._known:
            raise ValueError(f"this learner reads {self.corpus!r}, not {passages.corpus!r}")
