"""A run as the viewer shows it: what its folder holds, in the compact form that the page asks for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kgrl.corpus import Corpus
from kgrl.errors import DataError
from kgrl.expansion import Expansion
from kgrl.runs.choices import Choice
from kgrl.runs.run import Run
from kgrl.viewer.layout import stored_layout
from kgrl.viewer.tail import Tail

__all__ = ["ShownRun"]

Json = dict[str, Any]
Record = TypeVar("Record")

_LIVE_SECONDS = 300.0
"""A run that has no result and wrote nothing for longer is shown as stopped."""
_SHOWN_SETTINGS = ("agent", "corpus", "task", "learner", "goal", "reward", "budget_tokens", "seed")
_SCALE = 10_000
"""Places are sent as whole numbers; their square has this side."""


class ShownRun:
    """One run's records, read on as they are written.

    Args:
        folder: The run's folder.
        corpus: The corpus that it learned from.

    Raises:
        DataError: If the folder holds no run, a record cannot be read, or the run is of another corpus.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self.folder, self.corpus = folder, corpus
        self.config = Run.read_config(folder)
        self._expansions: list[Expansion] = []
        self._steps: list[Json] = []
        self._choices: dict[int, Choice] = {}
        self._exams: list[list[float]] = []
        self._discovered = np.zeros(len(corpus.graph), dtype=bool)
        self._tails = {name: Tail(folder / f"{name}.jsonl") for name in ("choices", "metrics", "curriculum")}
        self._reading, self._version = threading.Lock(), 0
        self._refresh()

    def about(self) -> Json:
        """Return what the run is."""
        settings = {name: self.config[name] for name in _SHOWN_SETTINGS if self.config.get(name) is not None}
        return {"name": self.folder.resolve().name, "settings": settings, "topics": len(self.corpus.graph)}

    def graph(self) -> Json:
        """Return titles, places (`x`, `y`) and undirected links (sources and targets in turn)."""
        graph = self.corpus.graph
        places = np.rint(stored_layout(graph) * _SCALE).astype(int)
        indptr, indices = graph.undirected
        sources = np.repeat(np.arange(len(graph)), np.diff(indptr))
        once = sources < indices
        return {
            "key": graph.fingerprint,
            "titles": list(graph.titles),
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
            "links": np.stack([sources[once], indices[once]], axis=1).ravel().tolist(),
        }

    def steps(self, after: int, version: int | None) -> Json:
        """Return the expansions from number `after` on, all where the page has another version of the run.

        The version changes when the run goes on from a checkpoint that lies behind what the page has seen.
        """
        with self._reading:
            self._refresh()
            same = version == self._version
            return {
                "version": self._version,
                "after": after if same else 0,
                "steps": self._steps[after if same else 0 :],
                "exams": self._exams,
                "scores": self._scores(),
                "state": self._state(),
            }

    def step(self, index: int) -> Json:
        """Return all about one expansion: figures, candidates and passages.

        Raises:
            IndexError: If there is no such expansion.
        """
        with self._reading:
            expansion, choice = self._expansions[index], self._choices.get(index)
        return {
            "index": index,
            "topic": expansion.topic,
            "neighbourhood": expansion.neighbourhood,
            "tokens": expansion.tokens,
            "tokens_total": expansion.tokens_total,
            "train_loss": expansion.train_loss,
            "reward": expansion.reward,
            "components": dict(expansion.reward_components),
            "seconds": dict(expansion.seconds),
            "candidates": [] if choice is None else list(zip(choice.topics, choice.chances, strict=True)),
            "passages": [[int(self.corpus.topics[i]), self.corpus.texts[i]] for i in expansion.passages],
        }

    def topic(self, topic: int) -> Json:
        """Return the history of a topic.

        Raises:
            IndexError: If there is no such topic.
        """
        if not 0 <= topic < len(self.corpus.graph):
            raise IndexError(topic)
        with self._reading:
            steps, choices = list(self._steps), list(self._choices.values())
        found = next((s["index"] for s in steps if topic in s["found"]), None)
        learned = next((s["index"] for s in steps if topic in s["learned"]), None)
        return {
            "topic": topic,
            "found": found,
            "learned": learned,
            "within": None if learned is None else steps[learned]["topic"],
            "measured": [[s["index"], b, a] for s in steps for t, b, a in s["measured"] if t == topic],
            "scores": [[c.index, c.chances[at], at + 1] for c in choices if (at := _place(topic, c)) >= 0],
        }

    def _refresh(self) -> None:
        """Read what was written since; the choices first, so that those of the expansions are there."""
        lines, anew = self._tails["choices"].read()
        kept = {} if anew else self._choices
        self._choices = kept | {c.index: c for c in self._parsed("choices", lines, Choice.from_json)}
        lines, anew = self._tails["metrics"].read()
        exams = [m for m in self._parsed("metrics", lines, json.loads) if "exam_loss" in m]
        self._exams = ([] if anew else self._exams) + [[m["index"], m["tokens"], m["exam_loss"]] for m in exams]
        lines, anew = self._tails["curriculum"].read()
        if anew:
            self._begin()
        for expansion in self._parsed("curriculum", lines, Expansion.from_json):
            self._check(expansion)
            self._steps.append(self._compact(expansion))
            self._expansions.append(expansion)

    def _begin(self) -> None:
        self._expansions, self._steps, self._version = [], [], self._version + 1
        self._discovered[:] = False

    def _parsed(self, name: str, lines: list[str], parse: Callable[[str], Record]) -> list[Record]:
        records = []
        for line in lines:
            try:
                records.append(parse(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                path = self.folder / f"{name}.jsonl"
                raise DataError(path, None, f"holds what is no record of a run: {line[:80]!r}") from error
        return records

    def _check(self, expansion: Expansion) -> None:
        titles, path = self.corpus.graph.titles, self.folder / "curriculum.jsonl"
        if expansion.index != len(self._steps):
            raise DataError(path, None, f"expansion {expansion.index} comes where {len(self._steps)} should")
        if expansion.arrived is not None and expansion.arrived > len(titles):
            raise DataError(path, None, "the corpus has grown since; start kgrl view again")
        if expansion.topic >= len(titles) or titles[expansion.topic] != expansion.title:
            what = f"{expansion.title!r} is not topic {expansion.topic} of {self.corpus.name}"
            raise DataError(path, None, f"{what}: the run was made on another corpus, or on another version of it")

    def _compact(self, expansion: Expansion) -> Json:
        """What every step needs: what became learned, frontier and measured."""
        graph, found = self.corpus.graph, list[int]()
        self._discovered[list(expansion.neighbourhood)] = True
        for topic in expansion.neighbourhood:
            near = graph.neighbours(topic)
            new = near[~self._discovered[near]]
            self._discovered[new] = True
            found += new.tolist()
        measured = {
            topic: [topic, round(before, 4), round(after, 4)]
            for probe in expansion.probes.values()
            for topic, before, after in zip(probe.topics, probe.before, probe.after, strict=True)
        }
        return {
            "index": expansion.index,
            "topic": expansion.topic,
            "learned": list(expansion.neighbourhood),
            "found": found,
            "measured": list(measured.values()),
            "loss": round(expansion.train_loss, 4),
        }

    def _scores(self) -> str:
        """Whether there are scores: yes, or why not."""
        if self._choices or len(self._expansions) < 2:
            return "yes"
        recorded = (self.folder / "choices.jsonl").exists()
        return "the agent does not say what it prefers" if recorded else "the run was made before scores were recorded"

    def _state(self) -> str:
        """`finished`, `live`, or `stopped` where nothing was written for long."""
        written = _written(self.folder / "metrics.jsonl")
        if _written(self.folder / "result.json") >= written:
            return "finished"
        return "live" if time.time() - written < _LIVE_SECONDS else "stopped"


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _place(topic: int, choice: Choice) -> int:
    return choice.topics.index(topic) if topic in choice.topics else -1
