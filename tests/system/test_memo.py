"""What is kept of a function's last calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kgrl.system.memo import keep_recent


def test_results_are_kept_by_what_was_asked() -> None:
    asked = []

    @keep_recent(2)
    def ask(values: np.ndarray, folder: Path = Path("a"), power: int = 1) -> float:
        asked.append((folder, power))
        return float((values**power).sum())

    ones, others = np.ones(3), np.full(3, 2.0)
    assert ask(ones) == ask(ones, Path("a")) == ask(ones, power=1, folder=Path("a")) == 3.0
    assert len(asked) == 1, "defaults, names and equal paths are the same question"
    assert ask(others) == 6.0, "another array is another question, whatever is equal of it"
    assert ask(others, power=2) == 12.0
    assert ask(ones) == 3.0
    assert len(asked) == 4, "the first question was asked too long ago"


def test_what_a_failed_call_asked_is_asked_again() -> None:
    asked = []

    @keep_recent(2)
    def fail(values: np.ndarray) -> None:
        asked.append(values)
        if len(asked) == 1:
            raise ValueError("not yet")

    values = np.ones(1)
    with pytest.raises(ValueError, match="not yet"):
        fail(values)
    fail(values)
    assert len(asked) == 2


def test_threads_get_the_results_of_their_own_calls() -> None:
    @keep_recent(2)
    def squared(value: int) -> int:
        return value * value

    def ask(first: int) -> bool:
        return all(squared(value % 7) == (value % 7) ** 2 for value in range(first, first + 20_000))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
