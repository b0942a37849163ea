"""Search spaces of the agents' options, and the places where they are tried.

`tuning_search.py` searches them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from kgrl.agents.make import agents
from kgrl.errors import UnknownNameError

__all__ = ["PLACES", "SPACES", "Place", "Range", "Space", "defaults", "members"]

Place = tuple[str, str, int | None]

PLACES: tuple[Place, ...] = (
    ("coverage", "vital-es", None),  # and not vital-fr: the noise that is planted below is French in part
    ("target", "invented:1000:7", None),
    ("noisy", "vital-es", 6_000),
)
"""Tasks and corpora that agents are tuned on, and most tokens of a curriculum there; None for the task's own budget.

The benchmark's corpora are others, `vital` and `wikispeedia`. On `noisy` an expansion is one topic, so fewer tokens
make as many expansions.
"""

_MOST_DRAWS = 1_000
_DIGITS = 2
"""Significant digits of a drawn number: more would make no difference, and people read the files."""


@dataclass(frozen=True)
class Range:
    """A range of numbers that a hyperparameter is drawn from.

    Args:
        low: The least, with two significant digits at most, as drawn numbers have.
        high: The greatest; likewise.
        scale: `"linear"` to draw the number uniformly, `"log"` to draw its logarithm uniformly.
    """

    low: float
    high: float
    scale: Literal["log", "linear"] = "log"

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number of two significant digits.

        Example:
            >>> Range(1.0, 100.0).draw(np.random.default_rng(0))
            19.0
        """
        if self.scale == "linear":
            value = rng.uniform(self.low, self.high)
        else:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(f"{value:.{_DIGITS}g}")


Space = Mapping[str, tuple[Any, ...] | Range]
_SAMPLES = (4, 8, 16, 32)  # at most twice the default: measuring costs no tokens, so that more of it would always win

SPACES: dict[str, Space] = {
    "closure": {"c": Range(0.1, 100.0)},
    "easy-to-hard": {"pacing": ("linear", "logarithmic"), "sample": (64, 128, 256, 512)},
    "hard-to-easy": {"pacing": ("linear", "logarithmic"), "sample": (64, 128, 256, 512)},
    "greedy-loss": {"sample": _SAMPLES},
    "least-loss": {"sample": _SAMPLES},
    "alp": {"rate": Range(0.02, 0.9), "focus": Range(0.01, 0.5), "exploration": Range(0.05, 0.5)},
    "exp3s": {"rate": Range(0.001, 1.0), "exploration": Range(0.01, 0.5), "beta": (0.0, 0.01, 0.1)},
    "odm": {"smoothing": Range(0.0, 0.99, "linear")},
    "tscl": {
        "variant": ("online", "window", "sampling"),
        "alpha": Range(0.05, 0.9),
        "temperature": Range(0.05, 2.0),
        "window": (3, 5, 10, 20),
    },
    "d-ucb": {"width": Range(0.1, 4.0), "discount": (0.8, 0.9, 0.95, 0.98, 0.99, 1.0)},
    "plr": {"temperature": Range(0.03, 3.0), "staleness": Range(0.0, 0.9, "linear")},
    # The number of topics that are taught and measured for the transfer is its cost, and is not tuned.
    "skill-it": {"eta": Range(0.02, 5.0), "window": (1, 3, 10)},
    "alp-gmm": {
        "random": Range(0.05, 0.5),
        "refit": (3, 5, 10),  # with more there is no fit in a budget, and the agent is random
        "window": (20, 50, 200),
        "k_max": (3, 5, 10),
        "dimensions": (2, 4, 8),
    },
    "coherent": {"least": Range(0.02, 0.3)},
    "interleaved": {"temperature": (1.0, 2.0, 4.0, 8.0, 16.0)},
}
"""The search space of each agent: by option a tuple of values, or a range of numbers."""


def defaults(agent: str, space: Space) -> dict[str, Any]:
    """Return the defaults, in an agent's constructor, of the options that are tuned.

    Raises:
        UnknownNameError: If the constructor lacks an option.
    """
    parameters = inspect.signature(agents[agent]).parameters
    for option in space:
        if option not in parameters:
            raise UnknownNameError(f"option of the agent {agent!r}", option, parameters)
    return {option: parameters[option].default for option in space}


def members(space: Space, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    """Return members of a space in random order: all of a finite one, or draws, of which some may be equal.

    Args:
        space: The values of each option.
        rng: Draws.
    """
    ranges = any(isinstance(values, Range) for values in space.values())
    return _draws(space, rng) if ranges else _grid(space, rng)


def _grid(space: Space, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    """Return all members of a space of listed values, in random order."""
    members = list(product(*(values for values in space.values() if not isinstance(values, Range))))
    return [dict(zip(space, members[i], strict=True)) for i in rng.permutation(len(members))]


def _draws(space: Space, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Give members of a space: enough draws to find some that differ."""
    for _ in range(_MOST_DRAWS):
        yield {option: _draw(values, rng) for option, values in space.items()}


def _draw(values: tuple[Any, ...] | Range, rng: np.random.Generator) -> Any:
    return values.draw(rng) if isinstance(values, Range) else values[rng.integers(len(values))]
