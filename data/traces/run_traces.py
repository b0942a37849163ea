"""Runs of kgrl's own agents, read as traces.

A curriculum is not a walk: its next pick is linked with some learned topic, not always with the last one, and the
frontier ignores the direction of links while a click follows it. So a pick becomes a click where a reader could have
made it:

- The nucleus and the topics that a pick brings along are learned without being picked, so they are not clicked.
- A pick is clicked from the nearest page on the way back that links to it, after the back clicks that this takes.
- If no page of the stack links to it, a new trace begins on the learned topic that does; of several, the latest.
- If no learned topic links to it (the link goes the other way, or the agent left the frontier), the new trace begins
  with the pick itself, which then is not a click.

Traces without a click are left out. No trace has a target, so all outcomes are `Outcome.OPEN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from kgrl.errors import DataError, MissingDataError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.json_lines import whole_lines
from kgrl.system.schemas import decode_json
from kgrl.traces.source import Tally
from kgrl.traces.trace import BACK, Trace, TraceError

__all__ = ["RunTraces", "picks_to_traces"]

_RECORD = "curriculum.jsonl"
_COUNTED = "expansions"


class RunTraces:
    """Traces of recorded runs; a `TraceSource`. The module's documentation says how picks become clicks.

    Traces name the folder of their run as their source.

    Args:
        folder: A run's folder, or a folder with runs at any depth.
        graph: The topic graph that the runs were made on.

    Attributes:
        graph: The topic graph.
        tally: Counts expansions, not traces. A malformed one, or one that names a topic that `graph` lacks, is skipped.

    Raises:
        MissingDataError: If the folder holds no run.
    """

    def __init__(self, folder: Path, graph: TopicGraph) -> None:
        self.folder, self.graph = folder, graph
        self.tally = Tally(folder, _COUNTED)
        self._records = sorted(folder.rglob(_RECORD))
        if not self._records:
            raise MissingDataError(f"{folder} holds no run: there is no {_RECORD} in it")

    def __repr__(self) -> str:
        return f"RunTraces({str(self.folder)!r}: {len(self._records)} runs)"

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces, run by run in the order of their paths.

        Raises:
            DataError: At the end, if more than 5% of the expansions had to be skipped.
        """
        self.tally = Tally(self.folder, _COUNTED)
        for record in self._records:
            yield from picks_to_traces(self._expansions(record), self.graph, record.resolve().parent.name)
        self.tally.check()

    def _expansions(self, record: Path) -> Iterator[Expansion]:
        for line in whole_lines(record):
            try:
                expansion = self._parse(line)
            except TraceError as error:
                self.tally.skip(error.kind)
            else:
                self.tally.keep()
                yield expansion

    def _parse(self, line: bytes) -> Expansion:
        try:
            expansion = decode_json(line, Expansion, "curriculum.jsonl")
        except DataError as error:
            raise TraceError("malformed row", error.reason) from error
        topic = expansion.topic
        if not all(0 <= t < len(self.graph) for t in (topic, *expansion.neighbourhood)):
            raise TraceError("unknown topic", f"a topic of {expansion.title!r} is not in the graph")
        # The title tells a run on another graph, where the same number means another topic.
        if self.graph.titles[topic] != expansion.title:
            raise TraceError("unknown topic", f"topic {topic} is {self.graph.titles[topic]!r}, not {expansion.title!r}")
        return expansion


def picks_to_traces(expansions: Iterable[Expansion], graph: TopicGraph, source: str) -> Iterator[Trace]:
    """Yield the traces of a curriculum; the module's documentation says how picks become clicks.

    Args:
        expansions: The curriculum's records in order, the nucleus (index 0) first.
        graph: Its topic graph.
        source: The name that the traces have as their source.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 0, 1], [1, 2, 3])
        >>> picks = [Expansion(i, i, graph.titles[i], (i,), (), 2, 2, 9, 1.0) for i in range(4)]
        >>> [trace.steps for trace in picks_to_traces(picks, graph, "example")]
        [(0, 1, -1, 2), (1, 3)]
    """
    learned: dict[int, None] = {}  # in order, without repeats
    steps: list[int] = []
    stack: list[int] = []
    for expansion in expansions:
        if expansion.index > 0:
            pick = expansion.topic
            if linking := _linking(graph, stack, pick):
                # The last page of the stack that links to the pick needs the fewest back clicks.
                steps += [BACK] * (len(stack) - 1 - linking[-1])
                del stack[linking[-1] + 1 :]
            else:
                yield from _with_a_click(steps, source)
                known = list(learned)
                stack = [known[at] for at in _linking(graph, known, pick)[-1:]]  # empty if none links to the pick
                steps = list(stack)
            steps.append(pick)
            stack.append(pick)
        learned |= dict.fromkeys(expansion.neighbourhood)
    yield from _with_a_click(steps, source)


def _linking(graph: TopicGraph, topics: list[int], pick: int) -> list[int]:
    """Return the positions in `topics` of the topics that link to `pick`, ascending."""
    return np.flatnonzero(graph.positions(topics, [pick] * len(topics)) >= 0).tolist()


def _with_a_click(steps: list[int], source: str) -> Iterator[Trace]:
    if len(steps) > 1:
        yield Trace(tuple(steps), source=source)
