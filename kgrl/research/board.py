"""The board: all jobs of a queue, the workers that hold them, and their results.

huey carries messages and forgets a message when it is taken. The board remembers: it has a record for each title that
is under way, and a claim with an expiry time for each job that a worker has taken. A job without a message, or with an
expired claim, is sent out again (`tend`). So every job is done at least once; doing a job twice does no harm.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from huey import Huey  # type: ignore[import-untyped]

from kgrl.errors import KgrlError
from kgrl.research.store import JsonSerializer, QueueStore
from kgrl.system.schemas import checked, decode_json

__all__ = ["STAGES", "Board", "Claim", "Job", "Messages"]

STAGES = ("fetch", "clean", "split", "deduplicate", "embed", "index")
"""Stages of the work on a title, in order; each is one job."""

MOST_ATTEMPTS = 5
_GROWTH = 4.0
"""Growth of the waits between attempts: 2, 8, 32, 128 seconds."""
_FORGIVEN_SECONDS = 600.0
"""Seconds after which a page that could not be fetched may be wanted again."""

_CLAIMS = "claims of the queue"

_log = logging.getLogger(__name__)

Handle = Callable[[str, str, int], None]


@dataclass(frozen=True)
class Job:
    """The next work on a title.

    Args:
        title: The title.
        stage: One of `STAGES`.
        attempt: Number of earlier attempts.
        due: Earliest time for it, seconds since 1970.
        reason: The reason why the last attempt failed.
    """

    title: str
    stage: str = STAGES[0]
    attempt: int = 0
    due: float = 0.0
    reason: str = ""

    @property
    def key(self) -> str:
        """Identifier of this attempt."""
        return f"{self.stage}:{self.attempt}:{self.title}"


@dataclass(frozen=True)
class Claim:
    """A worker's claim on a job that it is doing.

    Args:
        worker: The worker's name.
        until: Expiry time unless it is renewed, seconds since 1970 by that worker's clock. If clocks differ by more
            than a lease, jobs are done twice.
    """

    worker: str
    until: float


class Messages:
    """Messages in huey: one task for each stage, with a title and an attempt as arguments.

    Args:
        store: The store of the messages.
        handle: Function that does a job; takes stage, title and attempt.
    """

    def __init__(self, store: QueueStore, handle: Handle) -> None:
        self._store = store
        self.huey = Huey("kgrl", results=False, serializer=JsonSerializer(), storage_class=lambda *_: store.messages)
        self._tasks = {stage: self.huey.task(name=stage)(_task(stage, handle)).task_class for stage in STAGES}

    def send(self, job: Job, worth: float) -> None:
        """Put a job into the queue. Later stages go first, to finish what is started; then titles by their worth."""
        with self._store.explained():
            task = self._tasks[job.stage](args=(job.title, job.attempt), priority=STAGES.index(job.stage) + worth)
            self.huey.enqueue(task)

    def waiting(self) -> list[str]:
        """Return the keys of the jobs in the queue, next one first."""
        with self._store.explained():
            tasks = [self.huey.deserialize_task(data) for data in self._store.messages.enqueued_items()]
        return [Job(task.args[0], task.name, task.args[1]).key for task in tasks]

    def clear(self) -> None:
        """Drop every message."""
        with self._store.explained():
            self._store.messages.flush_queue()

    def step(self) -> bool:
        """Do the next job and return True; return False if the queue is empty."""
        with self._store.explained():
            task = self.huey.dequeue()
            if task is not None:
                self.huey.execute(task)
        return task is not None


class Board:
    """The jobs and claims of a queue.

    Args:
        store: The store of the records.
        lease: Seconds until a claim expires unless it is renewed, and so until the job of a dead worker is done again.
        patience: Seconds before the second attempt at a job, four times as long before each further one.
    """

    def __init__(self, store: QueueStore, lease: float, patience: float) -> None:
        self.store, self.lease, self.patience = store, lease, patience

    def job(self, title: str) -> Job | None:
        """Return the next job of a title, None if it is not under way."""
        text = self.store.jobs.get(title)
        return None if text is None else _job(title, text)

    def jobs(self) -> list[Job]:
        """Return the jobs of all titles that are under way."""
        return [_job(title, text) for title, text in self.store.jobs.items().items()]

    def claims(self) -> dict[str, Claim]:
        """Return the claims that have not expired, by the jobs' keys."""
        found = {key: decode_json(text, Claim, _CLAIMS) for key, text in self.store.claims.items().items()}
        # Expired ones are still in the store until `tend` deletes them.
        return {key: claim for key, claim in found.items() if claim.until >= time.time()}

    def open(self, titles: Iterable[str]) -> None:
        """Start work on titles that are not under way."""
        for title in titles:
            self.store.jobs.put_new(title, _text(Job(title)))

    def claim(self, job: Job, worker: str) -> bool:
        """Claim a job; return False if another worker has it."""
        return self.store.claims.put_new(job.key, self._claim_text(worker))

    def renew(self, job: Job, worker: str) -> None:
        """Renew a claim if it still exists."""
        if self.store.claims.get(job.key) is not None:
            self.store.claims.put(job.key, self._claim_text(worker))

    def release(self, job: Job) -> None:
        """Delete the claim on a job."""
        self.store.claims.delete(job.key)

    def part(self, job: Job) -> str | None:
        """Return the result of the stage before a job's, None if it is missing."""
        return self.store.parts.get(_part(job.title, STAGES[STAGES.index(job.stage) - 1]))

    def advance(self, job: Job, made: str) -> Job:
        """Store the result of a job, and return the title's next job."""
        # The result before the job: if this process dies in between, the stage is done again.
        self.store.parts.put(_part(job.title, job.stage), made)
        following = Job(job.title, STAGES[STAGES.index(job.stage) + 1])
        self.store.jobs.put(job.title, _text(following))
        return following

    def again(self, job: Job, reason: str, stage: str | None = None, *, at_once: bool = False) -> Job | None:
        """Schedule another attempt, at once or after a while, and return it; None if the title failed for good.

        Args:
            job: The job.
            reason: The reason why it failed.
            stage: The stage to repeat; the job's own if None.
            at_once: Whether the attempt is due now.
        """
        if job.attempt + 1 >= MOST_ATTEMPTS:
            # A site that could not be reached may recover. A page that kills workers or cannot be read stays as it is.
            until = time.time() + _FORGIVEN_SECONDS if job.stage == STAGES[0] and not at_once else None
            self.fail(job, f"gave up after {MOST_ATTEMPTS} attempts: {reason}", until)
            return None
        due = time.time() + (0.0 if at_once else self.patience * _GROWTH**job.attempt)
        repeated = replace(job, stage=stage or job.stage, attempt=job.attempt + 1, due=due, reason=reason)
        self.store.jobs.put(job.title, _text(repeated))
        return repeated

    def fail(self, job: Job, reason: str, until: float | None = None) -> None:
        """Record that a title has failed, for good or until a time in seconds since 1970."""
        record = {"stage": job.stage, "reason": reason, "attempts": job.attempt + 1, "until": until}
        self.store.failed.put(job.title, json.dumps(record))
        self._close(job)

    def finish(self, job: Job, topic: str, known: bool) -> None:
        """Record that a title has arrived.

        Args:
            job: The title's last job.
            topic: The title of the topic that it leads to.
            known: Whether the log lists the title. If not, the topic had arrived before, without this title among its
                aliases.
        """
        if not known:
            self.store.aliases.put(job.title, topic)
        self.store.done.put(topic, topic)
        self.store.done.put(job.title, topic)
        self.store.failed.delete(job.title)  # if it was given up before
        self._close(job)

    def drop(self, job: Job) -> None:
        """Stop work on a title that is no longer wanted."""
        self.store.facts.count("stale", 1)
        self._close(job)

    def _close(self, job: Job) -> None:
        """Delete the records of a title's work, that of the job last: without it nothing would delete the others."""
        self.store.parts.delete(*(_part(job.title, stage) for stage in STAGES))
        self.store.jobs.delete(job.title)

    def want(self, worth: Mapping[str, float]) -> None:
        """Set the worth of titles, between 0 and 1; it replaces the worth set before."""
        self.store.facts.put("worth", json.dumps(worth))

    def worth(self) -> dict[str, float]:
        """Return the worth of titles."""
        return decode_json(self.store.facts.get("worth") or "{}", dict[str, float], "worths of the queue")

    def tend(self, messages: Messages) -> None:
        """Send out each job that is due and has neither message nor claim; delete expired claims."""
        # Messages are read before claims: a job that is taken in between is then in one of the two, never in neither.
        sent = Counter(messages.waiting())
        jobs, worth = self.jobs(), self.worth()
        found = {key: decode_json(text, Claim, _CLAIMS) for key, text in self.store.claims.items().items()}
        for job in jobs:
            claim = found.pop(job.key, None)
            if claim is None and not sent[job.key] and job.due <= time.time():
                messages.send(job, worth.get(job.title, 0.0))
            elif claim is not None and claim.until < time.time():
                _log.info("%s has not been heard of; %s of %r is done again", claim.worker, job.stage, job.title)
                # It counts as an attempt, so a page that kills workers is given up in the end.
                repeated = self.again(job, f"the worker {claim.worker} stopped in the middle", at_once=True)
                self.release(job)
                if repeated is not None:
                    messages.send(repeated, worth.get(job.title, 0.0))
        # The remaining claims are of jobs that are no longer on the board.
        self.store.claims.delete(*(key for key, claim in found.items() if claim.until < time.time()))

    def _claim_text(self, worker: str) -> str:
        return json.dumps(asdict(Claim(worker, time.time() + self.lease)))


def _task(stage: str, handle: Handle) -> Callable[[str, int], None]:
    """Return the function that huey calls for a stage."""

    def task(title: str, attempt: int) -> None:
        """Do the stage's job."""
        handle(stage, title, attempt)

    return task


def refuse(stage: str, title: str, attempt: int) -> None:
    """Raise: the handler of a process that only sends messages."""
    raise KgrlError(f"{stage} of {title!r} came to a process that does no jobs")


def _text(job: Job) -> str:
    fields: dict[str, Any] = asdict(job)
    del fields["title"]
    return json.dumps(fields)


def _part(title: str, stage: str) -> str:
    return f"{stage}:{title}"


def _job(title: str, text: str) -> Job:
    place = "jobs of the queue"
    return checked({**decode_json(text, dict[str, Any], place), "title": title}, Job, place)
