"""The walks of curricula: what an agent's picks are as clicks, and the runs on disk that they are read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kgrl.errors import DataError, MissingDataError
from kgrl.expansion import Expansion
from kgrl.graph import IntArray, TopicGraph
from kgrl.trace_source import Tally
from kgrl.traces import BACK, Trace

__all__ = ["RunTraces", "curriculum_traces"]


def curriculum_traces(graph: TopicGraph, expansions: Sequence[Expansion], source: str = "curriculum") -> list[Trace]:
    """Read a curriculum as walks of a reader who opens each picked topic by a link.

    A pick is a click on the nearest page of the stack that links to it; back clicks lead there. Where none does, the
    walk ends and the next one starts on the topic learned last that links to the pick; or on the pick itself, where
    all links between it and the learned set lead the other way.

    Args:
        graph: The topic graph.
        expansions: The curriculum's records, the nucleus first.
        source: Written into the traces.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 0, 3], [1, 2, 1])
        >>> def step(index, topic):
        ...     return Expansion(index, topic, graph.titles[topic], (topic,), (), 1, 1, 9, 0.0)
        >>> [trace.steps for trace in curriculum_traces(graph, [step(0, 0), step(1, 1), step(2, 2), step(3, 3)])]
        [(0, 1, -1, 2), (3,)]
    """
    walks: list[list[int]] = []
    stack: list[int] = []
    learned = list(expansions[0].neighbourhood) if expansions else []
    for expansion in expansions[1:]:
        pick = expansion.topic
        sources = _linking(graph, pick, learned)
        depth = next((d for d in range(len(stack), 0, -1) if stack[d - 1] in sources), 0)
        if not depth:
            start = next((topic for topic in reversed(learned) if topic in sources), None)
            stack = [] if start is None else [start]
            walks.append([*stack, pick])
        else:
            walks[-1] += [BACK] * (len(stack) - depth) + [pick]
            del stack[depth:]
        stack.append(pick)
        learned += expansion.neighbourhood
    return [Trace(tuple(steps), source=source) for steps in walks]


def _linking(graph: TopicGraph, topic: int, learned: Sequence[int]) -> set[int]:
    """The learned topics that link to a topic."""
    near: IntArray = np.intersect1d(graph.neighbours(topic), learned)
    return set(near[graph.positions(near, np.full(len(near), topic)) >= 0].tolist())


class RunTraces:
    """The walks of a run that `kgrl run` recorded, as a source of traces; see `TraceSource` and `curriculum_traces`.

    Args:
        folder: The run's folder.
        graph: The topic graph that the run was made on.

    Raises:
        MissingDataError: If the folder holds no run.
    """

    def __init__(self, folder: Path, graph: TopicGraph) -> None:
        self.file, self.graph = folder / "curriculum.jsonl", graph
        if not self.file.is_file():
            raise MissingDataError(f"{folder} is not the folder of a run: it holds no curriculum.jsonl")
        self.tally = Tally(self.file)

    def __iter__(self) -> Iterator[Trace]:
        """Yield the walks; see `TraceSource`.

        Raises:
            DataError: If a line is no expansion, or the run was made on another graph.
        """
        self.tally = Tally(self.file)
        for trace in curriculum_traces(self.graph, self._expansions()):
            self.tally.keep()
            yield trace

    def _expansions(self) -> list[Expansion]:
        text = self.file.read_text(encoding="utf-8")
        expansions = []
        # A last line that was cut off in writing is left out, as it is where the run goes on.
        for line, record in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
            try:
                expansion = Expansion.from_json(record)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(self.file, line, f"not an expansion: {error!r}") from error
            if self.graph.titles[expansion.topic : expansion.topic + 1] != (expansion.title,):
                raise DataError(self.file, line, f"topic {expansion.topic} of this graph is not {expansion.title!r}")
            expansions.append(expansion)
        return expansions
