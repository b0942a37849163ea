"""Arrivals, and their log: numbered from 0 without gaps, in one order for all readers, each topic once.

A number is taken by a put that succeeds for one writer only, and the writer of number n has read all arrivals before
it. So each topic is appended once, however many processes work on it and die, and the log's content depends only on the
order of its topics.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from kgrl.errors import DataError, KgrlError
from kgrl.research.store import Space
from kgrl.research.wording import Wording
from kgrl.system.schemas import Count, NotBelow0, decode_json

__all__ = ["Arrival", "ArrivalLog", "without_passages"]

_CHUNK = 16
"""Entries of the log that are read at a time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrival:
    """A topic that is ready for training: fetched, cleaned, split and embedded.

    Args:
        title: The topic's title.
        category: Its category, `""` if none.
        links: Titles it links to, whether they have arrived or not.
        aliases: Other titles that lead to it.
        texts: Its passages in text order, without near-duplicates of other splits.
        splits: Their `Split` values.
        vectors: Unit vectors of its first few train passages, in order, float32, shape `[embedded, dimensions]`.
        fetched: Time at which the site sent it, seconds since 1970.

    Example:
        >>> arrival = Arrival("Logic", "", ("Reason",), (), ("Logic is …",), (0,), np.ones((1, 2), np.float32), 1.5)
        >>> arrival
        Arrival('Logic': 1 passages, 1 links)
        >>> Arrival.from_json(arrival.to_json()).vectors.tolist()
        [[1.0, 1.0]]
    """

    title: str
    category: str
    links: tuple[str, ...]
    aliases: tuple[str, ...]
    texts: tuple[str, ...]
    splits: tuple[int, ...]
    vectors: NDArray[np.float32]
    fetched: float

    def __repr__(self) -> str:
        return f"Arrival({self.title!r}: {len(self.texts)} passages, {len(self.links)} links)"

    def to_json(self) -> str:
        """Return one line of JSON, which holds the vectors bit for bit."""
        shape, data = self.vectors.shape, base64.b64encode(np.ascontiguousarray(self.vectors, "<f4").tobytes()).decode()
        return json.dumps({**vars(self), "vectors": {"shape": shape, "data": data}}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str | bytes, path: str | Path = "arrivals", number: int | None = None) -> Arrival:
        """Read a line that `to_json` wrote.

        Args:
            line: The line.
            path: The file that messages name.
            number: The number of the line in it.

        Raises:
            DataError: If the line is not an arrival.
        """
        return decode_json(line, _Line, path, number).arrival(path, number)


class _Vectors(Struct, forbid_unknown_fields=True):
    """Vectors as text: their shape, and their numbers in base 64."""

    shape: tuple[Count, Count]
    data: str


class _Line(Struct, forbid_unknown_fields=True):
    """A line of the log."""

    title: str
    category: str
    links: tuple[str, ...]
    aliases: tuple[str, ...]
    texts: tuple[str, ...]
    splits: tuple[Literal[0, 1, 2], ...]
    vectors: _Vectors
    fetched: NotBelow0

    def arrival(self, path: str | Path, number: int | None) -> Arrival:
        """Return the arrival; raise a `DataError` that names the line if its parts do not fit together."""
        if not self.title.strip() or len(self.texts) != len(self.splits):
            raise DataError(path, number, f"{self.title!r} has {len(self.texts)} texts and {len(self.splits)} splits")
        if not all(text.strip() for text in self.texts):
            raise DataError(path, number, "texts: a passage is empty")
        try:
            packed = base64.b64decode(self.vectors.data, validate=True)
            vectors = np.frombuffer(packed, "<f4").reshape(self.vectors.shape)
        except ValueError as error:
            raise DataError(path, number, f"vectors: {error}") from error
        if not np.isfinite(vectors).all():
            raise DataError(path, number, "vectors: a number is not finite")
        values = structs.asdict(self)
        return Arrival(**{**values, "vectors": vectors})


class ArrivalLog:
    """Reader and writer of the log; threads may share one.

    Args:
        space: The store of the entries.
    """

    def __init__(self, space: Space) -> None:
        self._space, self._lock = space, threading.Lock()
        self._last: str | None = None
        self._forget()

    def read(self, since: int = 0) -> Iterator[Arrival]:
        """Yield the arrivals from number `since` on, in order.

        Raises:
            KgrlError: If the log has lost the arrival before, which was read once.
        """
        # The entry before is read, too: if it is missing, the log was lost and must not be taken for one without news.
        entries = self._texts(max(0, since - 1))
        if since and next(entries, None) is None:
            why = "its file was lost, or it is in a Redis without an append-only file"
            raise KgrlError(f"the queue has forgotten arrival {since - 1}: {why}; resume the run, which puts it back")
        return map(Arrival.from_json, entries)

    def put_back(self, number: int, arrival: Arrival) -> bool:
        """Put an arrival back under its number; return whether it was missing.

        Raises:
            KgrlError: If another arrival has that number.
        """
        text = arrival.to_json()
        if self._space.put_new(str(number), text):
            return True
        if self._space.get(str(number)) != text:
            raise KgrlError(
                f"arrival {number} of the queue is not {arrival.title!r} as in the run: it is the queue of another run"
            )
        return False

    def without_repeats(self, arrival: Arrival) -> Arrival:
        """Return the arrival without the passages that repeat those of other splits in the log."""
        with self._lock:
            self._catch_up()
            return self._distinct(arrival)

    def append(self, draft: Arrival, finish: Callable[[Arrival], Arrival]) -> str:
        """Append an arrival, unless its topic is in the log under this or another title.

        Args:
            draft: The arrival.
            finish: Makes the final arrival of the draft without repeated passages.

        Returns:
            The topic's title in the log.
        """
        with self._lock:
            while True:
                self._catch_up()
                # Again after each lost race: the winner may have appended the same topic.
                if draft.title in self._numbers:
                    return self._titles[self._numbers[draft.title]]
                final = finish(self._distinct(draft))
                text = final.to_json()
                # If another writer took the number, read its arrival and try the next number.
                if self._space.put_new(str(len(self._titles)), text):
                    self._take(final, text)
                    return draft.title

    def knows(self, title: str) -> bool:
        """Return whether a title is that of an arrival or one of its aliases."""
        with self._lock:
            return title in self._numbers

    def _distinct(self, arrival: Arrival) -> Arrival:
        repeats = self._wording.repeats(arrival.texts, arrival.splits)
        return without_passages(arrival, repeats)

    def _texts(self, since: int) -> Iterator[str]:
        while True:
            # Several entries with one request, since a Redis may be far away.
            keys = [str(number) for number in range(since, since + _CHUNK)]
            found = self._space.get_many(keys)
            for key in keys:
                if key not in found:
                    return
                yield found[key]
            since += _CHUNK

    def _catch_up(self) -> None:
        """Read new entries; read all entries if the store lost some, as a Redis without an append-only file may."""
        known = len(self._titles)
        entries = self._texts(max(0, known - 1))
        if known and next(entries, None) != self._last:
            _log.warning("the queue's log has lost its last entries; reading it again")
            self._forget()
            entries = self._texts(0)
        for text in entries:
            self._take(Arrival.from_json(text), text)

    def _take(self, arrival: Arrival, text: str) -> None:
        for title in (arrival.title, *arrival.aliases):
            self._numbers.setdefault(title, len(self._titles))  # an alias of two topics stays with the first
        self._titles.append(arrival.title)
        self._wording.add(arrival.texts, arrival.splits)
        self._last = text

    def _forget(self) -> None:
        self._titles: list[str] = []
        self._numbers: dict[str, int] = {}
        self._wording = Wording()
        self._last = None


def without_passages(arrival: Arrival, dropped: NDArray[np.bool_]) -> Arrival:
    """Return the arrival without some of its passages.

    Args:
        arrival: The arrival.
        dropped: Mask of the passages to drop, bool `[passages]`.
    """
    kept = np.flatnonzero(~dropped).tolist()
    texts, splits = tuple(arrival.texts[row] for row in kept), tuple(arrival.splits[row] for row in kept)
    return replace(arrival, texts=texts, splits=splits)
