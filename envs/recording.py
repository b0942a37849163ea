"""Recording of episodes as traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import gymnasium as gym

from kgrl.data.traces.run_traces import picks_to_traces
from kgrl.envs.curriculum_env import CurriculumEnv
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.source import Tally
from kgrl.traces.trace import BACK, Outcome, Trace

__all__ = ["RecordTraces"]

Observed = TypeVar("Observed")
Acted = TypeVar("Acted")


class RecordTraces(gym.Wrapper[Observed, Acted, Observed, Acted]):
    """Keeps the traces of all episodes; it is a source of them, see `TraceSource`.

    The picks of a curriculum environment become clicks as `kgrl.data.traces.run_traces` describes. In a link-navigation
    environment `info["topic"]` is the current page, and `info["target"]`, if it is there and not negative, the topic to
    reach. A step to the page below on the stack is a back click. An episode that is reset or closed before its end is
    recorded as far as it got.

    Args:
        env: The environment.
        graph: Its topic graph.
        source: Name of the traces' source.

    Example:
        >>> env = RecordTraces(gym.make("kgrl:kgrl/Curriculum-v0"), corpus.graph)            # doctest: +SKIP
        >>> ...                                                                              # doctest: +SKIP
        >>> for trace in env: print(trace.steps)                                             # doctest: +SKIP
    """

    def __init__(self, env: gym.Env[Observed, Acted], graph: TopicGraph, source: str = "environment") -> None:
        super().__init__(env)
        self.graph, self.source = graph, source
        self.tally = Tally(source)
        self._traces: list[Trace] = []
        self._infos: list[dict[str, Any]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Begin an episode, and a recording."""
        self._end()  # first, since a reset forgets the records of the last episode
        observation, info = super().reset(seed=seed, options=options)
        self._infos = [info]
        return observation, info

    def step(self, action: Acted) -> tuple[Observed, Any, bool, bool, dict[str, Any]]:
        """Take a step and note where it led."""
        observation, reward, terminated, truncated, info = super().step(action)
        self._infos.append(info)
        if terminated or truncated:
            self._end()
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """End the recording and close the environment."""
        self._end()
        super().close()

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces of the episodes that have ended."""
        self.tally = Tally(self.source)
        self.tally.keep(len(self._traces))
        yield from self._traces

    def _end(self) -> None:
        infos, self._infos = self._infos, []
        if not infos:
            return
        if isinstance(self.unwrapped, CurriculumEnv):
            self._traces += picks_to_traces(self.unwrapped.expansions, self.graph, self.source)
        else:
            pages = [int(info["topic"]) for info in infos]
            self._traces.append(_trace(pages, int(infos[0].get("target", -1)), self.source))


def _trace(pages: Sequence[int], target: int, source: str) -> Trace:
    """Return the trace of a reader who was on these pages; repeated pages are actions that did nothing."""
    steps, stack = [pages[0]], [pages[0]]
    for page in pages[1:]:
        if page == stack[-1]:
            continue
        if len(stack) > 1 and page == stack[-2]:
            stack.pop()
            steps.append(BACK)
        else:
            stack.append(page)
            steps.append(page)
    if target < 0:
        return Trace(tuple(steps), source=source)
    return Trace(tuple(steps), target, Outcome.FINISHED if steps[-1] == target else Outcome.UNFINISHED, source)
