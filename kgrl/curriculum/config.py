"""Settings of a curriculum, as plain checked values."""

from __future__ import annotations

from dataclasses import dataclass

from kgrl.curriculum.mastery import Mastery
from kgrl.errors import SettingError

__all__ = ["DEFAULT_REWARD", "LEAST_TOKENS", "CurriculumConfig"]

DEFAULT_REWARD = "mean-prediction-gain + 0.5*incoherence-penalty"
"""The reward that commands and environments use by default. The gain is what the exam measures. A single expansion
that reads nonsense hardly lowers the gain, which is noisy; the penalty detects it without noise."""

LEAST_TOKENS = 2
"""Fewest tokens that can be learned: a language model makes its first prediction at the second token."""


@dataclass(frozen=True)
class CurriculumConfig:
    """Settings of a curriculum; together with corpus and learner they make a run repeatable.

    Args:
        budget_tokens: Tokens to train on in total, the nucleus included; at least 2.
        expansion_tokens: Most tokens of one expansion; at least 2.
        neighbourhood: Most topics of one expansion.
        nucleus: `"pagerank"`, `"k-core"`, `"about:SENTENCE"` (it grows from the most similar topic), a tuple of titles,
            or `"file:PATH"` with a title on each line; see `kgrl.graph.choose_nucleus`.
        nucleus_size: Number of topics of a nucleus chosen by score.
        goal: Topics to learn about: a category, a tuple of titles, `"file:PATH"`, `"about:SENTENCE"` (the most similar
            topics), or None for all. `Curriculum.make` puts titles in the place of files and sentences, since only it
            has an encoder (`kgrl.curriculum.named_topics`).
        probe_topics: Number of topics of each fixed probe sample, one passage each.
        seed: Seeds the probe samples and the agents' draws.
        stages: Categories that are learned one after another, each for an equal share of the token budget; empty for
            all topics at any time. While the frontier holds a topic of the stage's category, only topics of that
            category are picked, and their neighbourhoods lie in it. While it holds none, any frontier topic can be
            picked. Retrieval always searches the whole corpus. The nucleus is chosen inside the first stage, unless it
            is given by titles.
        mastery: When a topic is solid: `"read"`, once one of its passages was read; `"gap"`, `"recall"`, or one of
            these with a level, as `"gap:1.6"`, once it is known (`kgrl.curriculum.mastery.Mastery`). After each
            expansion the probe losses of `probe_topics` topics are measured for that, or half as many are asked for
            their links.
        most_readings: How often a passage may be read at most; 0 for any number of times.
        nucleus_share: Most of the budget that the nucleus takes until its topics are solid, if they have to be known;
            from 0 to 1.
        review: Share of a lesson's tokens for topics that were read before, those read longest ago first, between the
            passages of the picked topic and its neighbourhood; from 0 to below 1. Agents that pick passages say
            themselves what a lesson reads.
        light_probes: Whether topics with short probe passages are drawn more often, and weigh less: the mean is then as
            precise for fewer tokens; see `kgrl.probes.light_sample`. Without it all topics are drawn alike.

    Raises:
        SettingError: If a number is out of range, goal or nucleus is empty, or mastery is not a criterion.

    Example:
        >>> CurriculumConfig(budget_tokens=5_000, goal="Mathematics").expansion_tokens
        1000
    """

    budget_tokens: int = 20_000
    expansion_tokens: int = 1_000
    neighbourhood: int = 8
    nucleus: str | tuple[str, ...] = "pagerank"
    nucleus_size: int = 8
    goal: str | tuple[str, ...] | None = None
    probe_topics: int = 24
    seed: int = 0
    stages: tuple[str, ...] = ()
    mastery: str = "read"
    most_readings: int = 1
    nucleus_share: float = 0.1
    review: float = 0.0
    light_probes: bool = False

    def __post_init__(self) -> None:
        for name in ("budget_tokens", "expansion_tokens"):
            if getattr(self, name) < LEAST_TOKENS:
                raise SettingError(f"{name} must be at least {LEAST_TOKENS}, not {getattr(self, name)}")
        for name in ("neighbourhood", "nucleus_size", "probe_topics"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.most_readings < 0:
            raise SettingError(f"most_readings must be 0 for any number, or at least 1, not {self.most_readings}")
        if not 0 <= self.nucleus_share <= 1:
            raise SettingError(f"nucleus_share must be from 0 to 1, not {self.nucleus_share}")
        if not 0 <= self.review < 1:
            raise SettingError(f"review must be from 0 to below 1, not {self.review}")
        if self.goal in ("", ()) or self.nucleus in ("", ()):
            raise SettingError(f"{'goal' if self.goal in ('', ()) else 'nucleus'} names no topic")
        Mastery.of(self.mastery)
