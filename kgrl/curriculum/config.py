"""What a curriculum is run with, as plain checked values; imported from `kgrl.curriculum`, beside `Curriculum`."""

from __future__ import annotations

from dataclasses import dataclass

from kgrl.errors import SettingError

__all__ = ["DEFAULT_REWARD", "LEAST_TOKENS", "CurriculumConfig"]

DEFAULT_REWARD = "mean-prediction-gain + 0.5*incoherence-penalty"
"""What agents are rewarded for unless something else is asked for. The gain is what the exam measures; one expansion
that reads nonsense hardly lowers it, and what the penalty says of that is not lost in the noise of a probe."""

LEAST_TOKENS = 2
"""A language model needs two tokens to have one prediction."""


@dataclass(frozen=True)
class CurriculumConfig:
    """What a curriculum is run with; together with corpus and learner it makes a run repeatable.

    Args:
        budget_tokens: Tokens to train on altogether, the nucleus included.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        nucleus: `"pagerank"`, `"k-core"` or a tuple of titles.
        nucleus_size: Topics of a nucleus chosen by score.
        goal: A category to learn about, or None for all topics.
        probe_topics: Topics of each fixed probe sample, one passage each.
        seed: Seeds the probe samples and the agents' draws.
        stages: Categories that are learned one after another, each for an equal share of the token budget; none for all
            topics at any time. While the frontier holds a topic of the stage's category, only topics of that category
            are picked, and their neighbourhoods lie in it; while it holds none, any frontier topic is. Retrieval
            searches the whole corpus all the same. The nucleus is chosen inside the first stage, unless it is named.
    """

    budget_tokens: int = 20_000
    expansion_tokens: int = 1_000
    neighbourhood: int = 8
    nucleus: str | tuple[str, ...] = "pagerank"
    nucleus_size: int = 8
    goal: str | None = None
    probe_topics: int = 24
    seed: int = 0
    stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("budget_tokens", "expansion_tokens"):
            if getattr(self, name) < LEAST_TOKENS:
                raise SettingError(f"{name} must be at least {LEAST_TOKENS}, not {getattr(self, name)}")
        for name in ("neighbourhood", "nucleus_size", "probe_topics"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1, not {getattr(self, name)}")
