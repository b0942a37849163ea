"""Baselines that follow the categories, or an order of topics fixed in advance, as in classic curriculum learning.

`GivenOrder` follows an order that somebody wrote down: a syllabus, a table of contents.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents
from kgrl.corpus import Corpus, Split
from kgrl.curriculum.view import Agent, View
from kgrl.data.reading import Problems, decoded_lines
from kgrl.errors import DataError, MissingDataError, UnknownNameError, closest_names
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.system.display import count_text
from kgrl.system.files import content_key

__all__ = ["EasyToHard", "GivenOrder", "HardToEasy", "Paced", "Stratified", "check_order"]

Pacing = Literal["linear", "logarithmic"]
_LEAST_OPEN = 0.1
"""g_0, the share of the topics that is open at the start; with 0 there would be nothing to choose from."""
_MOST_TOLD, _MOST_ALIKE = 10, 3
"""Most unknown titles that a message tells, and most titles that it suggests for each."""

_log = logging.getLogger(__name__)


@agents.register("stratified")
class Stratified(BaseAgent):
    """Equal tokens for every category: a candidate of the category with fewest tokens so far, drawn uniformly.

    An expansion's tokens are booked in equal parts on the topics that it learned. If several categories have the fewest
    tokens, one of them is drawn.
    """

    reads_probes = False

    def reset(self, view: View) -> None:
        """Book the nucleus, whose tokens are `view.tokens`."""
        self._categories = np.unique(view.graph.categories, return_inverse=True)[1]
        self._tokens = np.zeros(self._categories.max() + 1)
        self._book(view.nucleus, view.tokens)

    def observe(self, expansion: Expansion) -> None:
        """Book an expansion."""
        self._book(np.array(expansion.neighbourhood), expansion.tokens)

    def _book(self, topics: IntArray, tokens: int) -> None:
        np.add.at(self._tokens, self._categories[topics], tokens / max(1, len(topics)))

    def choose(self, view: View) -> int:
        """Return a candidate of the category with fewest tokens among those on the frontier."""
        candidates = view.candidates
        present = np.unique(self._categories[candidates])
        least = present[self._tokens[present] == self._tokens[present].min()]
        return int(view.rng.choice(candidates[self._categories[candidates] == view.rng.choice(least)]))


class Paced(BaseAgent):
    """Base class of agents that open topics one by one in a fixed order and draw uniformly from the open ones.

    Topics are sorted by l_v(theta_0), the untrained learner's probe loss. Once a share t of the token budget is spent,
    the first share g(t) of the topics is open: `linear` g(t) = g_0 + (1 - g_0) t, `logarithmic`
    g(t) = g_0 + (1 - g_0) log(1 + (e - 1) t), with g_0 = 0.1, after Wu, Dyer and Neyshabur 2021 ("When do curricula
    work?"). If no candidate is open, the one that opens next is picked.

    l_v(theta_0) is measured for a sample of the topics and booked as probing. Every other topic takes the loss of the
    measured topic with the closest embedding.

    Args:
        pacing: The function g: `"linear"` or `"logarithmic"`.
        sample: Number of topics measured.

    Raises:
        ValueError: If `sample` is below 1 or the pacing is not known.
    """

    reads_probes = False

    sign: float
    """1 for the lowest loss first, -1 for the highest."""

    def __init__(self, pacing: Pacing = "linear", sample: int = 256) -> None:
        if sample < 1 or pacing not in ("linear", "logarithmic"):
            raise ValueError(f"sample must be at least 1 and pacing linear or logarithmic, not {sample} and {pacing!r}")
        self.pacing, self.sample = pacing, sample

    def reset(self, view: View) -> None:
        """Measure a sample, and order all topics."""
        eligible = np.flatnonzero(view.trainable)
        # Drawn apart from the curriculum's generator, so that a resumed run has the same order without drawing again.
        rng = np.random.default_rng(len(eligible))
        measured = np.sort(rng.permutation(eligible)[: self.sample]).astype(np.int32)
        losses = view.measure_initial(measured)
        known = np.isfinite(losses)
        # Places from 0 to 1. Without any probe passage the order is that of the topics' numbers.
        self._place = np.arange(len(view.graph)) / len(view.graph)
        if known.any():
            nearest = np.argmax(view.embeddings @ view.embeddings[measured[known]].T, axis=1)  # [topics]
            order = np.argsort(self.sign * losses[known][nearest], kind="stable")
            self._place[order] = np.arange(len(order)) / len(order)

    def open_share(self, spent: float) -> float:
        """Return g(t), the share of topics that are open.

        Args:
            spent: Share t of the token budget that is spent.

        Example:
            >>> EasyToHard().open_share(0.0), EasyToHard("logarithmic").open_share(1.0)
            (0.1, 1.0)
        """
        grown = spent if self.pacing == "linear" else math.log1p((math.e - 1) * spent)
        return min(1.0, _LEAST_OPEN + (1 - _LEAST_OPEN) * grown)

    def choose(self, view: View) -> int:
        """Return an open candidate, drawn uniformly, or the one that opens next."""
        candidates = view.candidates
        places = self._place[candidates]
        is_open = places < self.open_share(view.tokens / view.budget)
        if is_open.any():
            return int(view.rng.choice(candidates[is_open]))
        return int(candidates[np.argmin(places)])


@agents.register("easy-to-hard")
class EasyToHard(Paced):
    """Topics of low initial loss first, as in curriculum learning (Bengio et al. 2009); see `Paced`."""

    sign = 1.0


@agents.register("hard-to-easy")
class HardToEasy(Paced):
    """Topics of high initial loss first; see `Paced`."""

    sign = -1.0


class GivenOrder(BaseAgent):
    r"""The topics of a file in the order of its lines, on the frontier or not; the agent `order:FILE`.

    The next topic is the first one behind the topic picked last that is not solid and has text. A topic that is solid
    already, because it was in the neighbourhood of an earlier one, is passed over. Where topics have to be known, those
    that are not come again once the last line was reached. The curriculum ends when none is left.

    Args:
        file: A text file in UTF-8, a title a line. Blank lines are passed over, and a title may come more than once.

    Attributes:
        digest: A digest of the titles, so that results and runs tell whether the order has changed since.

    Raises:
        MissingDataError: If the file is missing.
        DataError: If it is not text, or holds no title. When it starts, if a title is not one of the corpus's; the
            message names each such line and the nearest titles.

    Example:
        >>> import tempfile
        >>> from kgrl.testing.samples import sample_curriculum
        >>> file = Path(tempfile.mkdtemp()) / "syllabus.txt"
        >>> _ = file.write_text("Set\nProof\nNumber\n")
        >>> [step.title for step in sample_curriculum().run(GivenOrder(file))]
        ['Logic', 'Set', 'Proof', 'Number']
    """

    frontier_only = False
    reads_probes = False

    def __init__(self, file: str | Path) -> None:
        self._file = Path(file)
        if not self._file.is_file():
            raise MissingDataError(f"{self._file} is no file; an order is a text file with a title a line")
        problems = Problems(self._file, "fail")
        with self._file.open("rb") as lines:
            self._titles = [(line, text.strip()) for line, text in decoded_lines(self._file, lines, problems)]
        if not self._titles:
            raise DataError(self._file, None, "it holds no title")
        self.digest = content_key(*(title for _, title in self._titles))

    def __repr__(self) -> str:
        # With the digest: a resumed run compares this text.
        return f"GivenOrder({self._file.name!r}, {count_text(len(self._titles), 'title')}, {self.digest[:12]})"

    def topics(self, graph: TopicGraph) -> IntArray:
        """Return the topics in the order of the lines, int32.

        Args:
            graph: The topic graph of a corpus.

        Raises:
            DataError: If titles are not known; the message names each line and the nearest titles.
        """
        found, unknown = list[int](), list[tuple[int, str]]()
        for line, title in self._titles:
            try:
                found.append(graph.index(title))
            except UnknownNameError as error:
                alike = " or ".join(map(repr, closest_names(title, error.known, _MOST_ALIKE)))
                unknown.append((line, f"{title!r} is not a topic" + (f"; the nearest is {alike}" if alike else "")))
            if len(unknown) > _MOST_TOLD:
                break
        if unknown:
            (line, first), *others = unknown
            more = [f"line {n}: {told}" for n, told in others[: _MOST_TOLD - 1]]
            more += ["and more"] * (len(unknown) > _MOST_TOLD)
            raise DataError(self._file, line, ". ".join([first, *more]))
        return np.array(found, dtype=np.int32)

    def reset(self, view: View) -> None:
        """Begin with the first line."""
        self._order, self._at = self.topics(view.graph), 0

    def choose(self, view: View) -> int:
        """Return the next topic."""
        return int(self._order[self._left(view)[0]])

    def observe(self, expansion: Expansion) -> None:
        """Go on behind the line of the topic that was picked."""
        places = np.flatnonzero(self._order == expansion.topic)
        if len(places):
            behind = places[places >= self._at]
            self._at = int(behind[0] if len(behind) else places[0]) + 1

    def finished(self, view: View) -> bool:
        """Return whether no topic of the file is left."""
        return not len(self._left(view))

    def _left(self, view: View) -> NDArray[np.int64]:
        """Return the places of the topics that can be picked, those behind the present place first."""
        left = np.flatnonzero((view.trainable & ~view.frontier.is_solid)[self._order])
        return np.concatenate([left[left >= self._at], left[left < self._at]])


def check_order(agent: Agent, corpus: Corpus) -> None:
    """Refuse a `GivenOrder` with titles that a corpus does not have, and warn of those without text.

    Other agents are passed over. Before a run it saves the time until the agent begins.

    Args:
        agent: The agent.
        corpus: The corpus that it will choose in.

    Raises:
        DataError: If a title is not one of the corpus's.
    """
    if not isinstance(agent, GivenOrder):
        return
    topics = np.unique(agent.topics(corpus.graph))
    if len(silent := topics[~corpus.has(Split.TRAIN)[topics]]):
        named = ", ".join(repr(corpus.graph.titles[topic]) for topic in silent[:_MOST_TOLD].tolist())
        more = " and more" * (len(silent) > _MOST_TOLD)
        _log.warning("%r: %s without text, passed over: %s%s", agent, count_text(len(silent), "title"), named, more)
