"""The six jobs that make an arrival of a title: fetch, clean, split, deduplicate, embed, index.

Each takes what the one before made, as text, and returns what the next one takes. A job changes nothing else, but for
the last, which appends to the log; so it may be done twice.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split, cut, near_duplicates, split_passages
from kgrl.errors import KgrlError
from kgrl.research.log import Arrival, ArrivalLog, without_passages
from kgrl.research.page import Page, PageSource
from kgrl.retrieval.corpus_index import INDEXED_PER_TOPIC
from kgrl.retrieval.encoder import Encoder

__all__ = ["HopelessError", "Jobs", "clean_text"]

_MOST_CHARACTERS = 1_000_000
"""Of a page's text; the longest articles of Wikipedia have about half of that."""
_MOST_SENTENCE = 1_000
"""Characters without the end of a sentence after which a paragraph ends, so that no passage gets huge."""
_HEADING_WORDS, _HEADING_CHARACTERS = 8, 80
"""A line that is shorter than both and does not end as a sentence does is a heading or an item of a list."""

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\ufeff\ud800-\udfff]")
_MARKED_HEADING = re.compile(r"=+[^=]*=+")
_SENTENCE_END = re.compile(r"[.!?:;…。！？؟।][\"'”’»)\]]*$")
_NO_END = re.compile(r"[^.!?。！？؟।]++")  # possessive: a run is read once, however long it is

_log = logging.getLogger(__name__)


class HopelessError(KgrlError):
    """A job that would come to nothing however often it is tried."""


class Jobs:
    """Does jobs.

    Args:
        source: Gives pages.
        encoder: Embeds passages.
        log: Where topics arrive.
        encoding: Held while the encoder works; threads that share an encoder share it.
    """

    def __init__(self, source: PageSource, encoder: Encoder, log: ArrivalLog, encoding: threading.Lock) -> None:
        self.source, self.encoder, self.log, self._encoding = source, encoder, log, encoding

    def run(self, stage: str, title: str, given: str) -> str:
        """Do a job.

        Args:
            stage: One of `STAGES`.
            title: The title.
            given: What the stage before made; empty for the first.

        Returns:
            What it made; the last stage: the title under which the topic has arrived.

        Raises:
            HopelessError: If trying again is of no use.
            KgrlError: If it may be.
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
        return json.dumps({**vars(page), "text": page.text[:_MOST_CHARACTERS], "fetched": page.fetched or time.time()})

    def _clean(self, title: str, given: str) -> str:
        page = _page(given)
        known = replace(
            page,
            title=_clean_line(page.title) or title,
            text=clean_text(page.text),
            links=_clean_titles(page.links),
            categories=_clean_titles(page.categories),
            redirects=_clean_titles(page.redirects),
        )
        return json.dumps(vars(known))

    def _split(self, title: str, given: str) -> str:
        page = _page(given)
        texts = tuple(cut(page.text))
        splits = tuple(split_passages(page.title, texts).tolist())
        category = page.categories[0] if page.categories else ""
        aliases = tuple(name for name in dict.fromkeys([title, *page.redirects]) if name != page.title)
        none = np.zeros((0, self.encoder.dimensions), dtype=np.float32)
        draft = Arrival(page.title, category, page.links, aliases, texts, splits, none, page.fetched)
        return _trainable(draft, "has no text").to_json()

    def _deduplicate(self, _: str, given: str) -> str:
        draft = Arrival.from_json(given)
        repeats = near_duplicates(draft.texts, np.array(draft.splits, dtype=np.uint8))
        draft = self.log.without_repeats(without_passages(draft, repeats))
        return _trainable(draft, "repeats itself or what has arrived").to_json()

    def _embed(self, _: str, given: str) -> str:
        draft = Arrival.from_json(given)
        return replace(draft, vectors=self._encode(_embedded(draft))).to_json()

    def _index(self, _: str, given: str) -> str:
        draft = Arrival.from_json(given)

        def finish(final: Arrival) -> Arrival:
            # What arrived meanwhile may have taken a passage that was embedded: the vectors are always those that
            # encoding the first passages at once gives, bit for bit, whenever that was done.
            if _embedded(_trainable(final, "repeats itself or what has arrived")) == _embedded(draft):
                return final
            return replace(final, vectors=self._encode(_embedded(final)))

        return self.log.append(draft, finish)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        with self._encoding:
            return self.encoder.encode(texts)


def clean_text(text: str) -> str:
    r"""Return the prose of a page, one paragraph a line: no control characters, no headings, white space made even.

    Takes time and memory in proportion to the text, whatever is in it.

    Args:
        text: Plain text, paragraphs parted by line feeds.

    Example:
        >>> clean_text("== History ==\n Logic  is old. \n\nSee also")
        'Logic is old.'
    """
    lines = (_clean_line(line) for line in text.replace("\r", "\n").split("\n"))
    return "\n\n".join(_NO_END.sub(_broken, line) for line in lines if _is_prose(line))


def _clean_line(line: str) -> str:
    return " ".join(_CONTROL.sub(" ", line).split())


def _clean_titles(titles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(_clean_line, titles))))


def _is_prose(line: str) -> bool:
    if _MARKED_HEADING.fullmatch(line):
        return False
    short = len(line) < _HEADING_CHARACTERS and len(line.split()) < _HEADING_WORDS
    return bool(line) and (not short or _SENTENCE_END.search(line) is not None)


def _broken(run: re.Match[str]) -> str:
    """Break a run without sentence end into paragraphs, at spaces where there are any."""
    text, pieces, at = run[0], list[str](), 0
    while len(text) - at > _MOST_SENTENCE:
        end = text.rfind(" ", at + 1, at + _MOST_SENTENCE) + 1 or at + _MOST_SENTENCE
        pieces.append(text[at:end].rstrip())
        at = end
    return "\n\n".join([*pieces, text[at:]])


def _page(given: str) -> Page:
    values: dict[str, Any] = json.loads(given)
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Page(**fields)


def _trainable(draft: Arrival, otherwise: str) -> Arrival:
    """The draft, unless nothing of it can be trained on."""
    if Split.TRAIN not in draft.splits:
        raise HopelessError(f"no passage to train on: the page {otherwise}")
    return draft


def _embedded(draft: Arrival) -> list[str]:
    """The passages whose vectors an arrival has: its first few to train on."""
    train = [text for text, split in zip(draft.texts, draft.splits, strict=True) if split == Split.TRAIN]
    return train[:INDEXED_PER_TOPIC]
