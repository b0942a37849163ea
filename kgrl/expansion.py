"""Expansions: the records of a curriculum's steps, and lists and batches of them.

An `Expansion` says what was picked, read, learned and measured. It is plain data, one line of `curriculum.jsonl`. The
module knows nothing of learners or environments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from kgrl.system.display import count_text, html_table, title_text
from kgrl.system.schemas import Above0, Count, Index, decode_json

__all__ = ["Expansion", "ExpansionBatch", "ExpansionList", "Measurement", "Probed"]

_MOST_ROWS = 40
"""Most expansions that the table of a list shows; of a longer list the middle is cut out."""


@dataclass(frozen=True)
class Measurement:
    """Held-out probe losses of some topics, before and after an expansion, in nats per token.

    Args:
        topics: The topics measured.
        before: Their mean probe loss before learning, one for each topic.
        after: The same after learning.
        weights: The weight of each topic in the mean; empty if all weigh the same.

    Example:
        >>> probe = Measurement((3, 5), (4.0, 3.0), (3.5, 3.0))
        >>> probe
        Measurement(2 topics, gain 0.25)
        >>> probe.gain
        0.25
    """

    topics: tuple[Index, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    weights: tuple[Above0, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.topics) == len(self.before) == len(self.after):
            raise ValueError(f"{len(self.topics)} topics, {len(self.before)} losses before, {len(self.after)} after")
        if len(self.weights) not in (0, len(self.topics)):
            raise ValueError(f"{len(self.topics)} topics, {len(self.weights)} weights")

    def __repr__(self) -> str:
        gain = f", gain {self.gain:.4g}" if self.topics else ""
        return f"Measurement({count_text(len(self.topics), 'topic')}{gain})"

    @property
    def mean_before(self) -> float:
        """Mean loss before learning, in nats per token."""
        return float(np.average(self.before, weights=self.weights or None))

    @property
    def mean_after(self) -> float:
        """Mean loss after learning, in nats per token."""
        return float(np.average(self.after, weights=self.weights or None))

    @property
    def gain(self) -> float:
        """Drop of the mean loss, in nats per token; positive when something was learned."""
        return self.mean_before - self.mean_after


@dataclass(frozen=True)
class Probed:
    """Results of probing at one moment: losses of some topics, and the shares of their links that are known.

    Args:
        topics: The topics whose losses were measured.
        losses: The loss of each one's probe passage, in nats per token.
        asked: The topics whose links were asked for.
        recalled: The share of each one's links that are known.

    Example:
        >>> Probed((3, 5), (4.0, 3.5), asked=(3,), recalled=(0.5,))
        Probed(2 losses, 1 share)
    """

    topics: tuple[Index, ...] = ()
    losses: tuple[float, ...] = ()
    asked: tuple[Index, ...] = ()
    recalled: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for what, topics, values in (("losses", self.topics, self.losses), ("shares", self.asked, self.recalled)):
            if len(values) != len(topics):
                raise ValueError(f"{len(topics)} topics, {len(values)} {what}")

    def __repr__(self) -> str:
        shares = f", {count_text(len(self.recalled), 'share')}" if self.asked else ""
        return f"Probed({count_text(len(self.losses), 'loss', 'losses')}{shares})"

    def __bool__(self) -> bool:
        return bool(self.topics or self.asked)


@dataclass(frozen=True)
class Expansion:
    """The record of one step of a curriculum.

    Args:
        index: Number of the step; 0 is the nucleus.
        topic: The topic picked.
        title: Its title.
        neighbourhood: The topics trained on, the picked one first.
        passages: Ids of the passages trained on.
        tokens: Tokens trained on in this step.
        tokens_total: Tokens trained on since the start, this step included.
        budget: The token budget of the whole curriculum.
        train_loss: Mean training loss of the step in nats per token, each batch before its update.
        probes: Measurements by probe: `"mean"` (a fixed sample of all topics), `"target"` (a fixed sample of the goal's
            topics), `"self"` (the neighbourhood), `"read"` and `"unread"` (topics tested for what is known); a reward
            declares the ones it needs.
        seconds: Wall-clock by phase: `"research"`, `"learn"`, `"probe"`; not compared by `==`.
        probe_tokens: Tokens read to measure, before and after, including those that tries on forks trained on.
        data_age: Seconds between fetching the oldest passage and training on it; 0 for a corpus that is at hand. Not
            compared by `==`.
        arrived: Number of topics that had arrived when it was picked, if the corpus grows; else None.
        adapter: Name of the adapter that the step trained, None if there is one for the whole curriculum.
        reward: The reward of the step, None without a reward function.
        reward_components: The reward's parts by name, before weighting.
        measures: Measurements that a reward needs beyond probes, by name; `kgrl.curriculum.measures` lists the names
            and their units.
        chunked: Number of passages that were longer than the learner's context and read in pieces.
        changed: Share of the learner's trained weights that the step changed; None if the learner does not report it.
        losses: Mean loss of each of the passages at its reading, before the update, in nats per token; empty in records
            of earlier versions.
        repeated: Tokens among `tokens` of passages that had been read before.
        tested: What tests of some topics after the step told of how well they are known; none if what counts is that a
            topic was read.

    Example:
        >>> Expansion(1, 7, "Logic", (7, 8), (70, 81), 1_250, 2_500, 20_000, 3.25, reward=0.125)
        Expansion(1, 'Logic', 2 topics, 1,250 tokens, training loss 3.25, reward 0.125)
    """

    index: Index
    topic: Index
    title: str
    neighbourhood: tuple[Index, ...]
    passages: tuple[Index, ...]
    tokens: Count
    tokens_total: Count
    budget: Count
    train_loss: float
    probes: Mapping[str, Measurement] = field(default_factory=dict)
    # Wall-clock differs between two runs that are otherwise the same, so equality leaves it out.
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    probe_tokens: Count = 0
    data_age: float = field(default=0.0, compare=False)  # wall-clock, too
    arrived: Count | None = None
    adapter: str | None = None
    reward: float | None = None
    reward_components: Mapping[str, float] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    chunked: Count = 0
    changed: float | None = None
    losses: tuple[float, ...] = ()
    repeated: Count = 0
    tested: Probed = field(default_factory=Probed)

    def __repr__(self) -> str:
        read = f"{count_text(len(self.neighbourhood), 'topic')}, {count_text(self.tokens, 'token')}"
        reward = "" if self.reward is None else f", reward {self.reward:.4g}"
        return f"Expansion({self.index}, {title_text(self.title)}, {read}, training loss {self.train_loss:.4g}{reward})"

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Expansion:
        """Read a record written by `to_json`.

        Raises:
            DataError: If the line is not an expansion.

        Example:
            >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
            >>> Expansion.from_json(step.to_json()) == step
            True
        """
        return decode_json(line, cls, "curriculum.jsonl")


class ExpansionList(list[Expansion]):
    """A list of expansions, which notebooks show as a table.

    `ExpansionList(curriculum.run(agent))` carries out a curriculum and shows it; `Run.read_expansions` and
    `RunResult.expansions` are such lists. Slices are, too.

    Example:
        >>> steps = ExpansionList(Expansion(i, i, "abc"[i], (i,), (), 50, 50 * (i + 1), 200, 3.2) for i in range(3))
        >>> steps
        ExpansionList(3 expansions from 'a' to 'c', 150 of 200 tokens)
        >>> steps[1:]
        ExpansionList(2 expansions from 'b' to 'c', 150 of 200 tokens)
    """

    def __repr__(self) -> str:
        return f"ExpansionList({self._summary()})"

    def _summary(self) -> str:
        count = count_text(len(self), "expansion")
        if not self:
            return count
        first, last = title_text(self[0].title), title_text(self[-1].title)
        return f"{count} from {first} to {last}, {self[-1].tokens_total:,} of {self[-1].budget:,} tokens"

    @overload
    def __getitem__(self, at: SupportsIndex) -> Expansion: ...
    @overload
    def __getitem__(self, at: slice) -> ExpansionList: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Expansion | ExpansionList:
        return ExpansionList(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)

    def _repr_html_(self) -> str:
        """A table with a row for each expansion; notebooks call this method."""
        probes = list(dict.fromkeys(name for expansion in self for name in expansion.probes))
        rewarded = any(expansion.reward is not None for expansion in self)
        head = ["", "picked topic", "topics", "tokens", "tokens so far", "training loss"]
        head += [f"{name} gain" for name in probes] + ["reward"] * rewarded
        return html_table(self._summary(), head, self._rows(probes, rewarded))

    def _rows(self, probes: list[str], rewarded: bool) -> Iterator[list[object]]:
        """Yield the cells of each row; of a long list the first and the last ones."""
        cut = len(self) - _MOST_ROWS
        half = _MOST_ROWS // 2
        for at, step in enumerate(self):
            if cut > 0 and half <= at < half + cut:
                if at == half:
                    yield ["…", f"{cut:,} more"]
                continue
            numbers = [len(step.neighbourhood), step.tokens, step.tokens_total, float(step.train_loss)]
            gains = [step.probes[name].gain if name in step.probes else None for name in probes]
            yield [step.index, step.title, *numbers, *gains, *([step.reward] if rewarded else [])]


@dataclass(frozen=True)
class ExpansionBatch:
    """One expansion each of n curricula that run side by side, as arrays.

    Args:
        tokens: Tokens trained on, int64 `[n]`.
        topics: The topics trained on, the picked one first, int `[n, most topics]`, padded with -1.
        gains: The mean drop of the loss by probe, in nats per token, NaN where nothing was measured, each float64
            `[n]`.
        record: Makes the record of one of them, by number.
    """

    tokens: NDArray[np.int64]
    topics: NDArray[np.integer[Any]]
    gains: Mapping[str, NDArray[np.float64]]
    record: Callable[[int], Expansion]

    def __len__(self) -> int:
        return len(self.tokens)
