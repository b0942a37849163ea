"""The six jobs that make an arrival of a title: fetch, clean, split, deduplicate, embed, index.

Each takes the result of the one before, as text, and returns its own. The last one appends to the log, which keeps each
topic once; the others have no side effects. So a job may be done twice.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split, cut, near_duplicates, split_passages
from kgrl.errors import KgrlError
from kgrl.research.log import Arrival, ArrivalLog, without_passages
from kgrl.research.page import Page, PageSource
from kgrl.retrieval.corpus_index import INDEXED_PER_TOPIC
from kgrl.retrieval.encoder import Encoder
from kgrl.system.prose import clean_line, clean_text
from kgrl.system.schemas import decode_json

__all__ = ["HopelessError", "Jobs"]

_MOST_CHARACTERS = 1_000_000
"""Characters of a page's text that are read; the longest articles of Wikipedia have about half as many."""

_log = logging.getLogger(__name__)


class HopelessError(KgrlError):
    """A job that would fail however often it is tried."""


class Jobs:
    """The jobs, with the objects that they use.

    Args:
        source: The source of pages.
        encoder: Embeds passages.
        log: The log that topics are appended to.
        encoding: Lock held while the encoder works; threads that share an encoder share it.
    """

    def __init__(self, source: PageSource, encoder: Encoder, log: ArrivalLog, encoding: threading.Lock) -> None:
        self.source, self.encoder, self.log, self._encoding = source, encoder, log, encoding

    def run(self, stage: str, title: str, given: str) -> str:
        """Do a job.

        Args:
            stage: One of `STAGES`.
            title: The title.
            given: The result of the stage before; empty for the first.

        Returns:
            The result; that of the last stage is the title under which the topic has arrived.

        Raises:
            HopelessError: If trying again would fail, too.
            KgrlError: If trying again may help.
        """
        jobs: dict[str, Callable[[str, str], str]] = {
            "fetch": self._fetch,
            "clean": self._clean,
            "split": self._split,
            "deduplicate": self._deduplicate,
            "embed": self._embed,
            "index": self._index,
        }
        return jobs[stage](title, given)

    def _fetch(self, title: str, _: str) -> str:
        page = self.source.page(title)
        if page is None:
            raise HopelessError("no such article")
        if len(page.text) > _MOST_CHARACTERS:
            _log.warning("%r has %d characters; the first %d are read", title, len(page.text), _MOST_CHARACTERS)
        # Sources that do not say when they fetched a page have done so now.
        return json.dumps({**vars(page), "text": page.text[:_MOST_CHARACTERS], "fetched": page.fetched or time.time()})

    def _clean(self, title: str, given: str) -> str:
        page = _page(given)
        known = replace(
            page,
            title=clean_line(page.title) or title,
            text=clean_text(page.text),
            links=_clean_titles(page.links),
            categories=_clean_titles(page.categories),
            redirects=_clean_titles(page.redirects),
        )
        return json.dumps(vars(known))

    def _split(self, title: str, given: str) -> str:
        page = _page(given)
        texts = tuple(cut(page.text, language=page.language))
        splits = tuple(split_passages(page.title, texts).tolist())
        category = page.categories[0] if page.categories else ""
        aliases = tuple(name for name in dict.fromkeys([title, *page.redirects]) if name != page.title)
        # No vectors yet: passages are embedded once repeated ones are gone.
        none = np.zeros((0, self.encoder.dimensions), dtype=np.float32)
        draft = Arrival(page.title, category, page.links, aliases, texts, splits, none, page.fetched)
        return _trainable(draft, "has no text").to_json()

    def _deduplicate(self, _: str, given: str) -> str:
        draft = Arrival.from_json(given)
        # First within the page, then against all arrivals.
        repeats = near_duplicates(draft.texts, np.array(draft.splits, dtype=np.uint8))
        draft = self.log.without_repeats(without_passages(draft, repeats))
        return _trainable(draft, "repeats itself or what has arrived").to_json()

    def _embed(self, _: str, given: str) -> str:
        draft = Arrival.from_json(given)
        return replace(draft, vectors=self._encode(_embedded(draft))).to_json()

    def _index(self, _: str, given: str) -> str:
        draft = Arrival.from_json(given)

        def finish(final: Arrival) -> Arrival:
            """Encode again if a passage that was embedded is gone, because a later arrival has its wording."""
            # All passages again, not only the new one: vectors depend on the batch in their last bits, and must be the
            # same whenever they are computed.
            if _embedded(_trainable(final, "repeats itself or what has arrived")) == _embedded(draft):
                return final
            return replace(final, vectors=self._encode(_embedded(final)))

        return self.log.append(draft, finish)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        with self._encoding:
            return self.encoder.encode(texts)


def _clean_titles(titles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(clean_line, titles))))


def _page(given: str) -> Page:
    return decode_json(given, Page, "pages of the queue")


def _trainable(draft: Arrival, otherwise: str) -> Arrival:
    """Return the draft; raise if it has no train passage."""
    if Split.TRAIN not in draft.splits:
        raise HopelessError(f"no passage to train on: the page {otherwise}")
    return draft


def _embedded(draft: Arrival) -> list[str]:
    """Return the passages that are embedded: the first few train passages."""
    train = [text for text, split in zip(draft.texts, draft.splits, strict=True) if split == Split.TRAIN]
    return train[:INDEXED_PER_TOPIC]
