"""The board: which jobs there are, who works on them, and what becomes of them.

huey carries messages and forgets one when it is taken. The board remembers: a record for each title that is under way,
a claim for each job that a worker has taken, with a time until which it holds. Whatever is found without a message or
with a claim that has run out is sent out again (`tend`), so every job is done at least once; jobs do no harm when they
are done twice.
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

__all__ = ["STAGES", "Board", "Claim", "Job", "Messages"]

STAGES = ("fetch", "clean", "split", "deduplicate", "embed", "index")
"""What is done to a title, in order; each is one job."""

MOST_ATTEMPTS = 5
_GROWTH = 4.0
"""Waits between attempts grow by this factor: 2, 8, 32, 128 seconds."""
_FORGIVEN_SECONDS = 600.0
"""After so long a page that could not be fetched may be wanted again."""

_log = logging.getLogger(__name__)

Handle = Callable[[str, str, int], None]


@dataclass(frozen=True)
class Job:
    """What is to be done next to a title.

    Args:
        title: The title.
        stage: One of `STAGES`.
        attempt: How often it was tried before.
        due: Not to be done before then, seconds since 1970.
        reason: Why the last attempt came to nothing.
    """

    title: str
    stage: str = STAGES[0]
    attempt: int = 0
    due: float = 0.0
    reason: str = ""

    @property
    def key(self) -> str:
        """Names this attempt."""
        return f"{self.stage}:{self.attempt}:{self.title}"


@dataclass(frozen=True)
class Claim:
    """A worker's word that it is doing a job.

    Args:
        worker: Its name.
        until: When the claim ends unless it is renewed, seconds since 1970 by that worker's clock; where clocks
            disagree by more than a lease, jobs are done twice.
    """

    worker: str
    until: float


class Messages:
    """huey, with one task for each stage, whose arguments are a title and an attempt.

    Args:
        store: Where messages are kept.
        handle: Does a job: takes stage, title and attempt.
    """

    def __init__(self, store: QueueStore, handle: Handle) -> None:
        self._store = store
        self.huey = Huey("kgrl", results=False, serializer=JsonSerializer(), storage_class=lambda *_: store.messages)
        self._tasks = {stage: self.huey.task(name=stage)(_task(stage, handle)).task_class for stage in STAGES}

    def send(self, job: Job, worth: float) -> None:
        """Put a job in the queue. Later stages go first, since the effort is made already; then what is worth most."""
        with self._store.explained():
            task = self._tasks[job.stage](args=(job.title, job.attempt), priority=STAGES.index(job.stage) + worth)
            self.huey.enqueue(task)

    def waiting(self) -> list[str]:
        """Return the keys of the jobs in the queue, first those that are next."""
        with self._store.explained():
            tasks = [self.huey.deserialize_task(data) for data in self._store.messages.enqueued_items()]
        return [Job(task.args[0], task.name, task.args[1]).key for task in tasks]

    def clear(self) -> None:
        """Drop every message."""
        with self._store.explained():
            self._store.messages.flush_queue()

    def step(self) -> bool:
        """Do the next job; return whether there was one."""
        with self._store.explained():
            task = self.huey.dequeue()
            if task is not None:
                self.huey.execute(task)
        return task is not None


class Board:
    """The jobs of a queue.

    Args:
        store: Where they are kept.
        lease: Seconds that a claim holds unless it is renewed: how long the work of a dead worker lies.
        patience: Seconds before a job is tried again; four times as long before each further attempt.
    """

    def __init__(self, store: QueueStore, lease: float, patience: float) -> None:
        self.store, self.lease, self.patience = store, lease, patience

    def job(self, title: str) -> Job | None:
        """Return what is to be done next to a title, None if it is not under way."""
        text = self.store.jobs.get(title)
        return None if text is None else Job(title, **json.loads(text))

    def jobs(self) -> list[Job]:
        """Return the jobs of all titles that are under way."""
        return [Job(title, **json.loads(text)) for title, text in self.store.jobs.items().items()]

    def claims(self) -> dict[str, Claim]:
        """Return the claims that hold, by the jobs' keys."""
        found = {key: Claim(**json.loads(text)) for key, text in self.store.claims.items().items()}
        return {key: claim for key, claim in found.items() if claim.until >= time.time()}

    def open(self, titles: Iterable[str]) -> None:
        """Put titles under way that are not."""
        for title in titles:
            self.store.jobs.put_new(title, _text(Job(title)))

    def claim(self, job: Job, worker: str) -> bool:
        """Take a job, unless somebody has."""
        return self.store.claims.put_new(job.key, self._claim_text(worker))

    def renew(self, job: Job, worker: str) -> None:
        """Let a claim hold longer, if it is still there."""
        if self.store.claims.get(job.key) is not None:
            self.store.claims.put(job.key, self._claim_text(worker))

    def release(self, job: Job) -> None:
        """Give a job back."""
        self.store.claims.delete(job.key)

    def part(self, job: Job) -> str | None:
        """Return what the stage before a job's made."""
        return self.store.parts.get(_part(job.title, STAGES[STAGES.index(job.stage) - 1]))

    def advance(self, job: Job, made: str) -> Job:
        """Keep what a job made, and return the title's next job."""
        self.store.parts.put(_part(job.title, job.stage), made)
        following = Job(job.title, STAGES[STAGES.index(job.stage) + 1])
        self.store.jobs.put(job.title, _text(following))
        return following

    def again(self, job: Job, reason: str, stage: str | None = None, *, at_once: bool = False) -> Job | None:
        """Try a job again, at once or after a while; None where it was tried often enough, and has failed."""
        if job.attempt + 1 >= MOST_ATTEMPTS:
            # A site that could not be reached may be there again later; what kills workers or cannot be read stays so.
            until = time.time() + _FORGIVEN_SECONDS if job.stage == STAGES[0] and not at_once else None
            self.fail(job, f"gave up after {MOST_ATTEMPTS} attempts: {reason}", until)
            return None
        due = time.time() + (0.0 if at_once else self.patience * _GROWTH**job.attempt)
        repeated = replace(job, stage=stage or job.stage, attempt=job.attempt + 1, due=due, reason=reason)
        self.store.jobs.put(job.title, _text(repeated))
        return repeated

    def fail(self, job: Job, reason: str, until: float | None = None) -> None:
        """Note that a title will not come; or not before a time, seconds since 1970."""
        record = {"stage": job.stage, "reason": reason, "attempts": job.attempt + 1, "until": until}
        self.store.failed.put(job.title, json.dumps(record))
        self._close(job)

    def finish(self, job: Job, topic: str, known: bool) -> None:
        """Note that a title has arrived.

        Args:
            job: The title's last job.
            topic: The title of the topic that it leads to.
            known: Whether the log says so; else the topic had arrived before that was found out.
        """
        if not known:
            self.store.aliases.put(job.title, topic)
        self.store.done.put(topic, topic)
        self.store.done.put(job.title, topic)
        self.store.failed.delete(job.title)  # if it was given up before
        self._close(job)

    def drop(self, job: Job) -> None:
        """Take a title back that is wanted no longer."""
        self.store.facts.count("stale", 1)
        self._close(job)

    def _close(self, job: Job) -> None:
        """Delete what is left of a title's work, the record last: a title without one is never looked at again."""
        self.store.parts.delete(*(_part(job.title, stage) for stage in STAGES))
        self.store.jobs.delete(job.title)

    def want(self, worth: Mapping[str, float]) -> None:
        """Say what titles are worth, between 0 and 1, in place of what was said before."""
        self.store.facts.put("worth", json.dumps(worth))

    def worth(self) -> dict[str, float]:
        """Return what titles are worth."""
        worth: dict[str, float] = json.loads(self.store.facts.get("worth") or "{}")
        return worth

    def tend(self, messages: Messages) -> None:
        """Send out every job that is due and has neither message nor claim; end claims that have run out."""
        sent = Counter(
            messages.waiting()
        )  # before claims are read: a message that is taken in between is in one of them
        jobs, worth = self.jobs(), self.worth()
        found = {key: Claim(**json.loads(text)) for key, text in self.store.claims.items().items()}
        for job in jobs:
            claim = found.pop(job.key, None)
            if claim is None and not sent[job.key] and job.due <= time.time():
                messages.send(job, worth.get(job.title, 0.0))
            elif claim is not None and claim.until < time.time():
                self._take_over(job, claim, messages, worth.get(job.title, 0.0))
        self.store.claims.delete(*(key for key, claim in found.items() if claim.until < time.time()))

    def _take_over(self, job: Job, claim: Claim, messages: Messages, worth: float) -> None:
        """Send out a job whose worker is dead or out of reach."""
        _log.info("%s has not been heard of; %s of %r is done again", claim.worker, job.stage, job.title)
        repeated = self.again(job, f"the worker {claim.worker} stopped in the middle", at_once=True)
        self.release(job)
        if repeated is not None:
            messages.send(repeated, worth)

    def _claim_text(self, worker: str) -> str:
        return json.dumps(asdict(Claim(worker, time.time() + self.lease)))


def _task(stage: str, handle: Handle) -> Callable[[str, int], None]:
    """The function that huey calls for a stage."""

    def task(title: str, attempt: int) -> None:
        handle(stage, title, attempt)

    return task


def refuse(stage: str, title: str, attempt: int) -> None:
    """Do no job: for those who only send messages."""
    raise KgrlError(f"{stage} of {title!r} came to one who does no jobs")


def _text(job: Job) -> str:
    fields: dict[str, Any] = asdict(job)
    del fields["title"]
    return json.dumps(fields)


def _part(title: str, stage: str) -> str:
    return f"{stage}:{title}"
