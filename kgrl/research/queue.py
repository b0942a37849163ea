"""The research queue: titles that are wanted, under way, arrived or failed."""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kgrl.errors import SettingError
from kgrl.research.board import STAGES, Board, Job, Messages, refuse
from kgrl.research.log import Arrival, ArrivalLog
from kgrl.research.store import QueueAwayError, QueueStore, open_store
from kgrl.system.schemas import checked, decode_json

__all__ = ["Failure", "ResearchQueue", "Running", "Status"]

_LEASE_SECONDS, _PATIENCE_SECONDS, _MOST_QUEUED = 30.0, 2.0, 256
_CHUNK = 500
"""Titles that are looked up at a time."""
_FRESH_SECONDS = 10.0
"""Seconds after which failures are read again, even if their number is unchanged."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A title that has failed.

    Args:
        title: The title.
        stage: The stage that failed.
        reason: The reason.
        attempts: Number of attempts.
        until: Time from which on it may be wanted again, seconds since 1970; never if None.
    """

    title: str
    stage: str
    reason: str
    attempts: int
    until: float | None = None


@dataclass(frozen=True)
class Running:
    """A job that a worker is doing.

    Args:
        title: The title.
        stage: The stage.
        worker: The worker's name.
        attempt: Number of earlier attempts.
    """

    title: str
    stage: str
    worker: str
    attempt: int


@dataclass(frozen=True)
class Status:
    """Contents of a queue.

    Args:
        arrived: Number of topics that have arrived.
        aliases: Number of late aliases: titles that turned out to lead to a topic that had arrived.
        stale: Number of queued titles that were dropped because they were no longer wanted.
        queued: Number of waiting titles by the stage they wait for.
        running: Jobs that are being done.
        failures: Titles that have failed.
        troubled: The reason of the last failed attempt at each title that is tried again.
    """

    arrived: int
    aliases: int
    stale: int
    queued: Mapping[str, int]
    running: tuple[Running, ...]
    failures: tuple[Failure, ...]
    troubled: Mapping[str, str]


class ResearchQueue:
    """A queue of titles to research. One run sets the titles that it wants; any number of workers do the jobs.

    While its Redis is unreachable, nothing arrives and the wish list stays as it was.

    Args:
        store: The store of the queue.
        most_queued: Most titles that wait to be fetched; further wanted titles are queued later.
        lease: Seconds after which the job of a silent worker is done again.
        patience: Seconds before the second attempt at a job.

    Example:
        >>> import tempfile
        >>> queue = ResearchQueue.open(tempfile.mkdtemp())
        >>> queue.want(["Logic", "Set"])
        >>> queue.status().queued
        {'fetch': 2}
        >>> queue
        ResearchQueue('.../queue.db')
    """

    def __init__(
        self,
        store: QueueStore,
        most_queued: int = _MOST_QUEUED,
        lease: float = _LEASE_SECONDS,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self.store, self.most_queued = store, most_queued
        self.board, self.log = Board(store, lease, patience), ArrivalLog(store.log)
        self.encoding = threading.Lock()
        """Lock that a worker of this process holds while its encoder works."""
        self._messages = Messages(store, refuse)
        self._away = self._missed = False  # unreachable now; unreachable since `busy` was asked last
        self._failed: dict[str, float] = {}
        self._failed_at: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return f"ResearchQueue({self.store.place!r})"

    @classmethod
    def open(cls, where: str | Path, **limits: Any) -> ResearchQueue:
        """Open the queue at a place; create it if it is missing.

        Args:
            where: A folder, or the URL of a Redis, `redis://:PASSWORD@HOST:PORT/DB`; each database is one queue.
            limits: Further arguments of the class.

        Raises:
            DataError: If the folder's SQLite file is damaged.
            MissingDataError: If the package redis is missing.
            SettingError: If the URL is malformed, or the Redis wants a password.
            QueueAwayError: If nothing answers there.
        """
        return cls(open_store(where), **limits)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the queue was configured with; empty if it was not."""
        return decode_json(self.store.facts.get("settings") or "{}", dict[str, Any], "settings of the queue")

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Set, once, the settings that all pages of this queue are made with.

        Args:
            settings: The page source under `"source"`, the encoder's name under `"model"`, its fingerprint under
                `"encoder"`, and any others that must be the same for all pages; JSON values.

        Raises:
            SettingError: If it was configured with other settings before.
        """
        text = json.dumps(settings, sort_keys=True)
        # Several processes may configure a queue at once; one of them wins, and the others compare.
        if self.store.facts.put_new("settings", text):
            return
        there = self.settings
        wanted = json.loads(text)
        if differing := [n for n in sorted({*there, *wanted}) if there.get(n) != wanted.get(n)]:
            pairs = "; ".join(f"{name} {there.get(name)}, not {wanted.get(name)}" for name in differing)
            raise SettingError(f"the queue {self.store.place} is for {pairs}; use another folder or database")

    def check_encoder(self, fingerprint: str) -> None:
        """Check that an encoder's vectors fit those of the queue.

        Raises:
            SettingError: If the queue was configured for another encoder.
        """
        expected = self.settings.get("encoder", fingerprint)
        if expected != fingerprint:
            raise SettingError(
                f"the queue {self.store.place} is for the encoder {expected}, and this is {fingerprint}: use the same "
                "model, number format and token limit, or another queue"
            )

    def want(self, titles: Sequence[str]) -> None:
        """Set the titles that are wanted; they replace those set before.

        Queued titles that are not among them are dropped; fetched ones are finished. Titles that have arrived or failed
        are not fetched again.

        Args:
            titles: All wanted titles, best first.

        Raises:
            SettingError: If a title cannot be that of a page.
        """
        if unfit := [title for title in titles if not _fit(title)]:
            raise SettingError(f"{unfit[0]!r} is not a title")
        with self._unless_away():
            wanted = list(islice(self._open(titles), self.most_queued))
            # Worth falls from 1 towards 0 with the rank; it orders the jobs within a stage.
            self.board.want({title: 1 - rank / (len(wanted) + 1) for rank, title in enumerate(wanted)})
            self._revise(wanted)

    def _open(self, titles: Sequence[str]) -> Iterator[str]:
        """Yield the titles that have neither arrived nor failed, each once."""
        unique = list(dict.fromkeys(titles))
        for first in range(0, len(unique), _CHUNK):
            chunk = unique[first : first + _CHUNK]
            # In chunks, and lazily: the caller takes the first titles only.
            done, now = self.store.done.get_many(chunk), time.time()
            failed = {title: _until(text) for title, text in self.store.failed.get_many(chunk).items()}
            yield from (title for title in chunk if title not in done and failed.get(title, now) <= now)

    def _revise(self, wanted: list[str]) -> None:
        """Start work on wanted titles, drop unwanted ones, and put the queue in order."""
        jobs = {job.title: job for job in self.board.jobs()}
        claims = self.board.claims()
        # Titles that wait to be fetched; later stages are finished in any case.
        waiting = {j.title: j for j in jobs.values() if j.stage == STAGES[0] and j.key not in claims}
        fresh = [title for title in wanted if title not in jobs]
        for title in waiting.keys() - set(wanted):
            self.board.drop(waiting.pop(title))
        self.board.open(fresh)
        waiting.update({title: Job(title) for title in fresh})
        now = time.time()
        in_order = [waiting[title].key for title in wanted if title in waiting and waiting[title].due <= now]
        if [key for key in self._messages.waiting() if key.startswith(STAGES[0])] != in_order:
            self._messages.clear()  # if this process dies now, the workers' `tend` sends the messages again
        self.board.tend(self._messages)

    def arrivals(self, since: int = 0) -> list[Arrival]:
        """Return the arrivals from number `since` on, in their order, which never changes.

        Raises:
            KgrlError: If the queue has lost the arrival before; see `restore`.
        """
        arrived: list[Arrival] = []  # stays empty while the queue is unreachable
        with self._unless_away():
            arrived.extend(self.log.read(since))
        return arrived

    def restore(self, arrivals: Iterable[Arrival]) -> int:
        """Put back arrivals that a run has and the queue has lost.

        A queue loses arrivals with its file, or in a Redis without persistence.

        Args:
            arrivals: All arrivals of the run, from number 0 on.

        Returns:
            The number of lost arrivals.

        Raises:
            KgrlError: If the queue has other arrivals under their numbers: those of another run.
        """
        gone = 0
        for number, arrival in enumerate(arrivals):
            if self.log.put_back(number, arrival):
                gone += 1
                # Its records are gone, too; without them its titles would be fetched again.
                for title in (arrival.title, *arrival.aliases):
                    self.store.done.put(title, arrival.title)
        return gone

    def failed(self) -> Collection[str]:
        """Return the titles that will not arrive: no article, nothing to train on, given up, or late aliases.

        A late alias leads to a topic that had arrived before this title was known; see `aliases`. A title that could
        not be fetched is among them for ten minutes only.
        """
        now, spaces = time.time(), (self.store.failed, self.store.aliases)
        with self._unless_away():
            # Reading all records is slow and this is called often: they are read if their number has changed, and every
            # ten seconds, since a record may have been replaced.
            if (state := (now // _FRESH_SECONDS, *map(len, spaces))) != self._failed_at:
                failed, aliases = (space.items() for space in spaces)
                self._failed = {t: _until(text) for t, text in failed.items()} | dict.fromkeys(aliases, math.inf)
                self._failed_at = state
        return {title for title, until in self._failed.items() if until > now}

    def aliases(self) -> dict[str, str]:
        """Return the late aliases, each with the title of its topic. Other aliases are in the arrivals."""
        return self.store.aliases.items()

    def busy(self) -> bool:
        """Return whether titles are under way.

        True while the queue is unreachable, and once afterwards: the titles wanted meanwhile were not queued, so an
        empty queue does not mean that nothing more will arrive.
        """
        jobs = 1  # stays so while the queue is unreachable
        with self._unless_away():
            jobs = len(self.store.jobs)
        missed, self._missed = self._missed, False
        return jobs > 0 or missed

    def status(self) -> Status:
        """Return the contents of the queue.

        Raises:
            QueueAwayError: If the queue cannot be reached now.
        """
        jobs, claims = self.board.jobs(), self.board.claims()
        running = [Running(j.title, j.stage, claims[j.key].worker, j.attempt) for j in jobs if j.key in claims]
        queued = Counter(job.stage for job in jobs if job.key not in claims)
        failures = [_failure(title, text) for title, text in sorted(self.store.failed.items().items())]
        return Status(
            arrived=len(self.store.log),
            aliases=len(self.store.aliases),
            stale=self.store.facts.count("stale", 0),
            queued={stage: queued[stage] for stage in STAGES if queued[stage]},
            running=tuple(running),
            failures=tuple(failures),
            troubled={job.title: job.reason for job in jobs if job.reason},
        )

    @contextmanager
    def _unless_away(self) -> Iterator[None]:
        """Log instead of raising while the queue is unreachable, so that a run with enough to train on goes on."""
        try:
            yield
            self._away = False
        except QueueAwayError as error:
            if not self._away:
                _log.warning("%s; going on with what has arrived", error)
            self._away = self._missed = True


def _failure(title: str, record: str) -> Failure:
    place = "failures of the queue"
    return checked({**decode_json(record, dict[str, Any], place), "title": title}, Failure, place)


def _until(record: str) -> float:
    """Return the time until which a failed title is not fetched again, from its record."""
    until = _failure("", record).until
    return math.inf if until is None else until


def _fit(title: str) -> bool:
    """Return whether a title can be stored; half of a surrogate pair cannot."""
    return bool(title.strip()) and "\0" not in title and not re.search("[\ud800-\udfff]", title)
