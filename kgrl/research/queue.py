"""The research queue: what is wanted, what is under way, and what has arrived."""

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

__all__ = ["Failure", "ResearchQueue", "Running", "Status"]

_LEASE_SECONDS, _PATIENCE_SECONDS, _MOST_QUEUED = 30.0, 2.0, 256
_CHUNK = 500
_FRESH_SECONDS = 10.0
"""After so long the failures are read again, even if there are as many as before."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A title that will not come.

    Args:
        title: The title.
        stage: The stage that it failed in.
        reason: Why.
        attempts: How often that was tried.
        until: When it may be wanted again, seconds since 1970; never if None.
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
        attempt: How often it was tried before.
    """

    title: str
    stage: str
    worker: str
    attempt: int


@dataclass(frozen=True)
class Status:
    """What there is in a queue.

    Args:
        arrived: Topics that have arrived.
        aliases: Late aliases: titles that turned out to lead to one of those.
        stale: How often a queued title was dropped because it was wanted no longer.
        queued: Titles that wait, by the stage they wait for.
        running: Jobs that are being done.
        failures: Titles that will not come.
        troubled: Why titles that are tried again came to nothing the last time, by title.
    """

    arrived: int
    aliases: int
    stale: int
    queued: Mapping[str, int]
    running: tuple[Running, ...]
    failures: tuple[Failure, ...]
    troubled: Mapping[str, str]


class ResearchQueue:
    """A queue of titles to research. One run says what it wants; any number of workers do the jobs.

    A Redis that is away does no harm: until it is back, nothing arrives and what is wanted stays as it was.

    Args:
        store: Where it is kept.
        most_queued: Most titles that wait to be fetched; what is wanted beyond them is not queued yet.
        lease: Seconds after which the job of a worker that is not heard of is done again.
        patience: Seconds before a job that went wrong is tried again, the first time.

    Example:
        >>> import tempfile
        >>> queue = ResearchQueue.open(tempfile.mkdtemp())
        >>> queue.want(["Logic", "Set"])
        >>> queue.status().queued
        {'fetch': 2}
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
        """Held by a worker of this process while its encoder works."""
        self._messages = Messages(store, refuse)
        self._away = self._missed = False
        self._failed: dict[str, float] = {}
        self._failed_at: tuple[float, ...] = ()

    @classmethod
    def open(cls, where: str | Path, **limits: Any) -> ResearchQueue:
        """Open the queue at a place, and create what is missing.

        Args:
            where: A folder, or the URL of a Redis, `redis://:PASSWORD@HOST:PORT/DB`; each database is one queue.
            limits: What else the class takes.

        Raises:
            DataError: If the folder's SQLite file is damaged.
            MissingDataError: If the package redis is missing.
            SettingError: If the URL is none, or the Redis wants a password.
            QueueAwayError: If nothing answers there.
        """
        return cls(open_store(where), **limits)

    @property
    def settings(self) -> dict[str, Any]:
        """What the queue was configured with; empty if it was not."""
        settings: dict[str, Any] = json.loads(self.store.facts.get("settings") or "{}")
        return settings

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Say what this queue's pages are made with, once and for all.

        Args:
            settings: The page source under `"source"`, the encoder's fingerprint under `"encoder"`, and whatever else
                must be the same for all pages; values that JSON has.

        Raises:
            SettingError: If it was configured otherwise before.
        """
        text = json.dumps(settings, sort_keys=True)
        if self.store.facts.put_new("settings", text):
            return
        there = self.settings
        wanted = json.loads(text)
        if differing := [n for n in sorted({*there, *wanted}) if there.get(n) != wanted.get(n)]:
            pairs = "; ".join(f"{name} {there.get(name)}, not {wanted.get(name)}" for name in differing)
            raise SettingError(f"the queue {self.store.place} is for {pairs}; use another folder or database")

    def check_encoder(self, fingerprint: str) -> None:
        """Refuse an encoder whose vectors do not go with those that are there.

        Raises:
            SettingError: If the queue was configured for another.
        """
        expected = self.settings.get("encoder", fingerprint)
        if expected != fingerprint:
            raise SettingError(
                f"the queue {self.store.place} is for the encoder {expected}, and this is {fingerprint}: use the same "
                "model, number format and token limit, or another queue"
            )

    def want(self, titles: Sequence[str]) -> None:
        """Say which titles are wanted, in place of what was said before.

        What is queued and not among them is dropped; what has been fetched is finished. Titles that have arrived or
        failed are not asked for again.

        Args:
            titles: All that are wanted, best first.

        Raises:
            SettingError: If a title cannot be one of a page.
        """
        if unfit := [title for title in titles if not _fit(title)]:
            raise SettingError(f"{unfit[0]!r} is no title")
        with self._unless_away():
            wanted = list(islice(self._open(titles), self.most_queued))
            self.board.want({title: 1 - rank / (len(wanted) + 1) for rank, title in enumerate(wanted)})
            self._revise(wanted)

    def _open(self, titles: Sequence[str]) -> Iterator[str]:
        """Those of some titles that have neither arrived nor failed, each once."""
        unique = list(dict.fromkeys(titles))
        for first in range(0, len(unique), _CHUNK):
            chunk = unique[first : first + _CHUNK]
            done, now = self.store.done.get_many(chunk), time.time()
            failed = {title: _until(text) for title, text in self.store.failed.get_many(chunk).items()}
            yield from (title for title in chunk if title not in done and failed.get(title, now) <= now)

    def _revise(self, wanted: list[str]) -> None:
        """Put what is wanted under way, drop what is not, and put the queue in order."""
        jobs = {job.title: job for job in self.board.jobs()}
        claims = self.board.claims()
        waiting = {j.title: j for j in jobs.values() if j.stage == STAGES[0] and j.key not in claims}
        fresh = [title for title in wanted if title not in jobs]
        for title in waiting.keys() - set(wanted):
            self.board.drop(waiting.pop(title))
        self.board.open(fresh)
        waiting.update({title: Job(title) for title in fresh})
        now = time.time()
        in_order = [waiting[title].key for title in wanted if title in waiting and waiting[title].due <= now]
        if [key for key in self._messages.waiting() if key.startswith(STAGES[0])] != in_order:
            self._messages.clear()  # whoever dies now leaves it to the workers to send them again
        self.board.tend(self._messages)

    def arrivals(self, since: int = 0) -> list[Arrival]:
        """Return what has arrived, from number `since` on, in the order that never changes.

        Raises:
            KgrlError: If the queue has forgotten what came before; see `restore`.
        """
        arrived: list[Arrival] = []
        with self._unless_away():
            arrived.extend(self.log.read(since))
        return arrived

    def restore(self, arrivals: Iterable[Arrival]) -> int:
        """Put back what a run has and the queue has lost, with its file or in a Redis that keeps none.

        Args:
            arrivals: All that the run has, from number 0 on.

        Returns:
            How many were gone.

        Raises:
            KgrlError: If the queue has others under their numbers: those of another run.
        """
        gone = 0
        for number, arrival in enumerate(arrivals):
            if self.log.put_back(number, arrival):
                gone += 1
                for title in (arrival.title, *arrival.aliases):
                    self.store.done.put(title, arrival.title)
        return gone

    def failed(self) -> Collection[str]:
        """Return the titles that will not come: no article, nothing to train on, given up, or late aliases.

        A late alias leads to a topic that had arrived before anybody knew of this title; see `aliases`. What could not
        be fetched is among them for ten minutes only.
        """
        now, spaces = time.time(), (self.store.failed, self.store.aliases)
        with self._unless_away():
            if (state := (now // _FRESH_SECONDS, *map(len, spaces))) != self._failed_at:
                failed, aliases = (space.items() for space in spaces)
                self._failed = {t: _until(text) for t, text in failed.items()} | dict.fromkeys(aliases, math.inf)
                self._failed_at = state
        return {title for title, until in self._failed.items() if until > now}

    def aliases(self) -> dict[str, str]:
        """Return the late aliases, each with the title of its topic; other aliases are in the arrivals."""
        return self.store.aliases.items()

    def busy(self) -> bool:
        """Return whether titles are under way.

        True while the queue is away, and once after it was: what was wanted then was not heard, so that an empty queue
        does not mean that nothing more comes.
        """
        jobs = 1
        with self._unless_away():
            jobs = len(self.store.jobs)
        missed, self._missed = self._missed, False
        return jobs > 0 or missed

    def status(self) -> Status:
        """Return what there is.

        Raises:
            QueueAwayError: If the queue cannot be reached now.
        """
        jobs, claims = self.board.jobs(), self.board.claims()
        running = [Running(j.title, j.stage, claims[j.key].worker, j.attempt) for j in jobs if j.key in claims]
        queued = Counter(job.stage for job in jobs if job.key not in claims)
        failures = [Failure(title, **json.loads(text)) for title, text in sorted(self.store.failed.items().items())]
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
        """Do without the queue where it is away; a run that has enough to train on goes on."""
        try:
            yield
            self._away = False
        except QueueAwayError as error:
            if not self._away:
                _log.warning("%s; going on with what has arrived", error)
            self._away = self._missed = True


def _until(record: str) -> float:
    """Until when a title that failed is not to be wanted."""
    until: float | None = json.loads(record)["until"]
    return math.inf if until is None else until


def _fit(title: str) -> bool:
    """Whether a title is text that can be written down; half a surrogate pair cannot."""
    return bool(title.strip()) and "\0" not in title and not re.search("[\ud800-\udfff]", title)
