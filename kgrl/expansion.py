"""The record of one step of a curriculum: what was picked, read, learned and measured.

Plain data, written as one line of `curriculum.jsonl`. It knows nothing of learners or environments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Expansion", "ExpansionBatch", "Measurement"]


@dataclass(frozen=True)
class Measurement:
    """Held-out probe losses of some topics, before and after an expansion, in nats per token.

    Args:
        topics: The topics measured.
        before: Their mean probe loss before learning, one for each topic.
        after: The same after learning.

    Example:
        >>> Measurement((3, 5), (4.0, 3.0), (3.5, 3.0)).gain
        0.25
    """

    topics: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Mean drop of the loss over the topics, in nats per token; positive when something was learned."""
        return float(np.mean(self.before) - np.mean(self.after))


@dataclass(frozen=True)
class Expansion:
    """One step of a curriculum.

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
        probes: What was measured: `"mean"` (a fixed sample of all topics), `"target"` (a fixed sample of the goal's
            topics), `"self"` (the neighbourhood); a reward declares which it needs.
        seconds: Wall-clock by phase: `"research"`, `"learn"`, `"probe"`; not compared by `==`.
        probe_tokens: Tokens read to measure, before and after; those that tries on forks trained on are among them.
        data_age: Seconds between fetching the oldest passage and training on it; 0 for a corpus that is at hand. Not
            compared by `==`.
        arrived: Topics that had arrived when it was picked, where the corpus grows; None where it is at hand.
        adapter: Name of the adapter that the step trained, None where there is one for the whole curriculum.
        reward: The reward of the step, or None where no reward function is used.
        reward_components: The reward's parts by name, before weighting.
        measures: What a reward needs measured beyond probes, by name; `kgrl.curriculum.measures` lists the names and
            their units.
        chunked: Number of passages that were longer than the learner's context and read in pieces.
        changed: Share of the learner's trained weights that the step changed; None where the learner does not say.
    """

    index: int
    topic: int
    title: str
    neighbourhood: tuple[int, ...]
    passages: tuple[int, ...]
    tokens: int
    tokens_total: int
    budget: int
    train_loss: float
    probes: Mapping[str, Measurement] = field(default_factory=dict)
    # Wall-clock differs between two runs that are otherwise the same, so equality leaves it out.
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    probe_tokens: int = 0
    data_age: float = field(default=0.0, compare=False)  # wall-clock, too
    arrived: int | None = None
    adapter: str | None = None
    reward: float | None = None
    reward_components: Mapping[str, float] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    chunked: int = 0
    changed: float | None = None

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Expansion:
        """Read a record written by `to_json`.

        Example:
            >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
            >>> Expansion.from_json(step.to_json()) == step
            True
        """
        fields: dict[str, Any] = json.loads(line)
        for name in ("neighbourhood", "passages"):
            fields[name] = tuple(fields[name])
        fields["probes"] = {
            name: Measurement(**{key: tuple(values) for key, values in probe.items()})
            for name, probe in fields["probes"].items()
        }
        return cls(**fields)


@dataclass(frozen=True)
class ExpansionBatch:
    """One expansion each of many curricula that go on side by side, as arrays.

    Args:
        tokens: Tokens trained on, `[n]`.
        topics: The topics trained on, the picked one first, int `[n, most]`, -1 behind the last.
        gains: The mean drop of the loss by probe, in nats per token, NaN where nothing was measured, each `[n]`.
        record: Makes the record of one of them, by number.
    """

    tokens: NDArray[np.int64]
    topics: NDArray[np.integer[Any]]
    gains: Mapping[str, NDArray[np.float64]]
    record: Callable[[int], Expansion]

    def __len__(self) -> int:
        return len(self.tokens)
