"""Traces: recorded rabbit holes, and the clicks they consist of.

A trace lists what a reader did: pages opened and back clicks, in order. A click is one decision of that reader, taken
on a page with a stack of pages behind it. `ClickTable` holds the clicks of many traces as arrays. This module knows
neither sources of traces nor predictors of clicks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = [
    "BACK",
    "SEEN",
    "STACK",
    "Click",
    "ClickTable",
    "Outcome",
    "Trace",
    "TraceError",
    "buckets",
    "name_bucket",
    "positions",
]

BACK = -1
"""The step that stands for a back click."""

_N_BUCKETS = 10
_HASH_DIGITS = 8
_STEPS_SHOWN = 20
"""Most steps of a trace that its repr lists."""

STACK = 10
"""Pages of the stack that a `ClickTable` keeps."""
SEEN = 12
"""Opened pages that a `ClickTable` keeps, including those left by a back click."""


class TraceError(KgrlError, ValueError):
    """A trace that cannot have happened. `kind` is the reason under which it is counted.

    Args:
        kind: The reason in a few words, the same for all traces with that fault.
        message: What is wrong with this one.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Outcome(StrEnum):
    """End of a trace: its target was reached or not, or it had none."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    OPEN = "open"
    """The trace had no target."""


@dataclass(frozen=True, slots=True)
class Click:
    """One forward click.

    Args:
        stack: The pages behind the reader, the current one last.
        seen: Every page opened so far in order, including those left by back clicks.
        chosen: The topic that was clicked.
        final: Whether it led to the target of a finished trace.
    """

    stack: tuple[int, ...]
    seen: tuple[int, ...]
    chosen: int
    final: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded rabbit hole.

    Args:
        steps: Topics in the order they were opened, the start first, with `BACK` for each back click.
        target: The topic to reach, or None.
        outcome: Whether it reached the target.
        source: The place where it was recorded, for example `"wikispeedia"`.

    Example:
        >>> trace = Trace((0, 1, BACK, 2), target=2, outcome=Outcome.FINISHED, source="example")
        >>> trace
        Trace((0, 1, BACK, 2), target=2, outcome=Outcome.FINISHED, source='example')
        >>> [(click.stack, click.chosen, click.final) for click in trace.clicks()]
        [((0,), 1, False), ((0,), 2, True)]
    """

    steps: tuple[int, ...]
    target: int | None = None
    outcome: Outcome = Outcome.OPEN
    source: str = ""

    def __repr__(self) -> str:
        steps = ["BACK" if step == BACK else str(step) for step in self.steps[:_STEPS_SHOWN]]
        more = f", ... {len(self.steps) - _STEPS_SHOWN} more" if len(self.steps) > _STEPS_SHOWN else ""
        listed = f"({', '.join(steps)}{more}{',' if len(self.steps) == 1 else ''})"
        return f"Trace({listed}, target={self.target}, outcome=Outcome.{self.outcome.name}, source={self.source!r})"

    def clicks(self) -> Iterator[Click]:
        """Yield the forward clicks, each from the page it was made on; a back click pops the stack.

        Raises:
            TraceError: If the trace is empty or goes back from its first page.
        """
        if not self.steps or self.steps[0] == BACK:
            raise TraceError("no start", "a trace starts on a page")
        stack, seen = [self.steps[0]], [self.steps[0]]
        last = len(self.steps) - 1
        for at, step in enumerate(self.steps[1:], 1):
            if step == BACK:
                stack.pop()
                if not stack:
                    raise TraceError("empty stack", f"step {at} goes back from the first page")
                continue
            # A reader may pass over the target and go on; only the last click reaches it.
            final = at == last and self.outcome is Outcome.FINISHED and step == self.target
            # Before the step is pushed: the stack is that of the page on which the click was made.
            yield Click(tuple(stack), tuple(seen), step, final)
            stack.append(step)
            seen.append(step)

    def pages(self) -> list[int]:
        """Return the page the reader is on after each step.

        Raises:
            TraceError: If the trace is empty or goes back from its first page.

        Example:
            >>> Trace((0, 1, 2, BACK, 3)).pages()
            [0, 1, 2, 1, 3]
        """
        if not self.steps or self.steps[0] == BACK:
            raise TraceError("no start", "a trace starts on a page")
        stack: list[int] = []
        pages = []
        for at, step in enumerate(self.steps):
            if step != BACK:
                stack.append(step)
            elif len(stack) > 1:
                stack.pop()
            else:
                raise TraceError("empty stack", f"step {at} goes back from the first page")
            pages.append(stack[-1])
        return pages

    def check(self, graph: TopicGraph) -> None:
        """Check that the trace can have happened on `graph`.

        Raises:
            TraceError: If a click is not a link, the stack is popped empty, or a finished trace ends elsewhere.
        """
        end = self.steps[0] if self.steps else BACK  # clicks() raises for an empty trace
        for click in self.clicks():
            page, end = click.stack[-1], click.chosen
            links = graph.out(page)  # ascending
            at = int(np.searchsorted(links, end))
            if at == len(links) or links[at] != end:
                raise TraceError("no link", f"{graph.titles[page]!r} has no link to {graph.titles[end]!r}")
        if self.outcome is Outcome.FINISHED and end != self.target:
            raise TraceError("ends elsewhere", "a finished trace ends on its target")


@dataclass(frozen=True)
class ClickTable:
    """Clicks as arrays, one row for each click. Topics are numbers of the graph; -1 stands for no topic.

    Args:
        stack: The last pages of the stack, right-aligned: the current page is the last column. int32 `[clicks, 10]`.
        seen: The last pages opened, right-aligned, int32 `[clicks, 12]`.
        start: The first page of the trace, int32 `[clicks]`.
        depth: Length of the whole stack, int32 `[clicks]`.
        chosen: The topic that was clicked, int32 `[clicks]`.
        target: The topic to reach or -1, int32 `[clicks]`.
        finished: Whether the trace was finished, bool `[clicks]`.
        final: Whether the click led to the target of a finished trace, bool `[clicks]`.
        pair: Number of the (start, target) pair, int32 `[clicks]`; counted from 0 within the table.
        bucket: The pair's hash modulo 10, by which traces are split, uint8 `[clicks]`.
    """

    stack: IntArray
    seen: IntArray
    start: IntArray
    depth: IntArray
    chosen: IntArray
    target: IntArray
    finished: NDArray[np.bool_]
    final: NDArray[np.bool_]
    pair: IntArray
    bucket: NDArray[np.uint8]

    @classmethod
    def from_traces(cls, traces: Iterable[Trace], names: Sequence[str]) -> ClickTable:
        """Lay out the clicks of traces.

        Args:
            traces: The traces; one without a target counts as the pair of its start and no target.
            names: The names by which (start, target) pairs are hashed, one for each topic.
        """
        rows: list[tuple[Click, int, bool, int, int]] = []
        hashed: dict[tuple[int, int], tuple[int, int]] = {}
        for trace in traces:
            start, target = trace.steps[0], -1 if trace.target is None else trace.target
            if (start, target) not in hashed:
                goal = names[target] if target >= 0 else ""
                # The hash of names, not of numbers, puts a pair into the same bucket on every graph.
                hashed[start, target] = len(hashed), name_bucket(f"{names[start]}\t{goal}")
            done = trace.outcome is Outcome.FINISHED
            rows += [(click, target, done, *hashed[start, target]) for click in trace.clicks()]
        return cls(
            stack=_aligned([click.stack for click, *_ in rows], STACK),
            seen=_aligned([click.seen for click, *_ in rows], SEEN),
            start=_ints(click.stack[0] for click, *_ in rows),
            depth=_ints(len(click.stack) for click, *_ in rows),
            chosen=_ints(click.chosen for click, *_ in rows),
            target=_ints(row[1] for row in rows),
            finished=np.array([row[2] for row in rows], dtype=bool),
            final=np.array([click.final for click, *_ in rows], dtype=bool),
            pair=_ints(row[3] for row in rows),
            bucket=np.array([row[4] for row in rows], dtype=np.uint8),
        )

    @property
    def page(self) -> IntArray:
        """The page each click was made on, int32 of shape `[clicks]`."""
        return self.stack[:, -1]

    def __len__(self) -> int:
        return len(self.chosen)

    def __repr__(self) -> str:
        return f"ClickTable({len(self):,} clicks of {len(np.unique(self.pair)):,} pairs)"

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> ClickTable:
        """Return the table of some rows, given by a mask or by numbers."""
        return ClickTable(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def name_bucket(text: str) -> int:
    """Return the first 8 hexadecimal digits of a text's SHA-256, modulo 10.

    Example:
        >>> name_bucket("Rainbow")
        0
    """
    return int(hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS], 16) % _N_BUCKETS


def buckets(names: Iterable[str]) -> NDArray[np.uint8]:
    """Return `name_bucket` of each name, uint8."""
    return np.array([name_bucket(name) for name in names], dtype=np.uint8)


def positions(graph: TopicGraph, clicks: ClickTable) -> NDArray[np.int64]:
    """Return the position of each click's link in `graph.indices`, int64 of shape `[clicks]`.

    Raises:
        TraceError: If a click is not a link of the graph.
    """
    sources, targets = graph.links()
    # One number for each link, source first: ascending, as the links are.
    keys = sources.astype(np.int64) * len(graph) + targets
    wanted = clicks.page.astype(np.int64) * len(graph) + clicks.chosen
    found = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))  # a key beyond the last is not found
    if len(wanted) and (not len(keys) or (keys[found] != wanted).any()):
        raise TraceError("no link", "a click of the table is not a link of the graph")
    return found


def _ints(values: Iterable[int]) -> IntArray:
    return np.fromiter(values, dtype=np.int32)


def _aligned(paths: Sequence[Sequence[int]], width: int) -> IntArray:
    """Return the ends of paths, right-aligned, int32 of shape `[paths, width]`, filled with -1."""
    table = np.full((len(paths), width), -1, dtype=np.int32)
    for row, path in enumerate(paths):
        kept = path[-width:]  # the latest pages
        table[row, width - len(kept) :] = kept
    return table
