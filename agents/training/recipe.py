"""Recipes: all settings of an agent's training, in one YAML file.

The recipes in `agents/recipes` ship with kgrl and have names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from kgrl.agents.policy.agent import PPOConfig
from kgrl.errors import DataError, UnknownNameError
from kgrl.system.files import write_text

__all__ = ["Aim", "Environments", "Episodes", "Evaluation", "Recipe", "read_recipe", "shipped_recipes"]

_FOLDER = Path(__file__).parents[1] / "recipes"

T = TypeVar("T")


@dataclass(frozen=True)
class Aim:
    """An aim of training: a corpus, a reward, and goals.

    Args:
        corpus: The corpus: a name or a folder.
        reward: The reward: a name or an expression.
        goals: Categories, one of which is the goal of each episode; None stands for all topics.
    """

    corpus: str
    reward: str = "mean-prediction-gain"
    goals: tuple[str | None, ...] = (None,)


@dataclass(frozen=True)
class Environments:
    """Settings that all environments share; see `kgrl.curriculum.CurriculumConfig`.

    Args:
        learner: The learner's name.
        envs: Number of environments, divided evenly among the aims.
        slots: Number of candidates that the policy sees at a time.
        budget_tokens: Tokens of an episode.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        nucleus: The method that chooses the nucleus, or its titles.
        nucleus_size: Number of topics of a nucleus chosen by score.
        probe_topics: Number of topics of each probe sample.
        stages: Categories that are learned one after another; not with the simulated learner.
    """

    learner: str = "simulated"
    envs: int = 256
    slots: int = 64
    budget_tokens: int = 20_000
    expansion_tokens: int = 1_000
    neighbourhood: int = 8
    nucleus: str | tuple[str, ...] = "pagerank"
    nucleus_size: int = 8
    probe_topics: int = 24
    stages: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """Return the fields that configure a curriculum."""
        return {name: value for name, value in asdict(self).items() if name not in ("learner", "envs", "slots")}


@dataclass(frozen=True)
class Episodes:
    """Variety of the simulated learner's episodes; see `kgrl.envs.vector.variety.Variety`.

    Args:
        tasks: Number of tasks that each aim's episodes are drawn from: a goal, a start, and hidden regions.
        members: Whether each episode's learner is another member of the calibration's ensemble.
        hidden: Share of the graph's regions that each task hides.
        noise: Whether simulated measurements are noisy.
        style: Whether rewards count the gain that any text brings, whatever the topic.
        calibrations: Names or files of the simulated learners' calibrations.
    """

    tasks: int = 64
    members: bool = True
    hidden: float = 0.25
    noise: bool = False
    style: bool = False
    calibrations: tuple[str, ...] = ("builtin",)


@dataclass(frozen=True)
class Evaluation:
    """Comparison with random picks on held-out regions of the graphs; with the simulated learner only.

    Args:
        every: Training steps between two comparisons.
        envs: Number of episodes of a comparison, divided evenly among the aims.
    """

    every: int = 20_000
    envs: int = 64


@dataclass(frozen=True)
class Recipe:
    """Settings of an agent's training.

    Args:
        about: A description for readers.
        aims: The aims; the agent is trained on all of them side by side.
        steps: Number of environment steps.
        init: The initial policy: builtin, random, or the folder of a policy.
        environment: Settings that all environments share.
        variety: Variety of the episodes.
        evaluation: Comparison with random picks.
        ppo: Hyperparameters.
    """

    about: str = ""
    aims: tuple[Aim, ...] = (Aim("vital"),)
    steps: int = 300_000
    init: str = "builtin"
    environment: Environments = field(default_factory=Environments)
    variety: Episodes = field(default_factory=Episodes)
    evaluation: Evaluation = field(default_factory=Evaluation)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def on(self, corpora: tuple[str, ...], reward: str | None = None, goal: str | None = None) -> Recipe:
        """Return the recipe with other aims.

        Args:
            corpora: Corpora of the aims: aims of other corpora are left out, a corpus without an aim gets one. Empty
                to keep all aims.
            reward: The reward of all aims; each keeps its own if None.
            goal: The goal of all aims; each keeps its own if None.

        Example:
            >>> Recipe().on(("notes",), goal="Logic").aims
            (Aim(corpus='notes', reward='target-prediction-gain', goals=('Logic',)),)
        """
        aims = [aim for aim in self.aims if not corpora or aim.corpus in corpora]
        named = {aim.corpus for aim in aims}
        aims += [Aim(corpus) for corpus in corpora if corpus not in named]
        if goal is not None:
            aims = [Aim(aim.corpus, "target-prediction-gain", (goal,)) for aim in aims]
        if reward is not None:
            aims = [replace(aim, reward=reward) for aim in aims]
        return replace(self, aims=tuple(dict.fromkeys(aims)))

    def write(self, path: Path) -> None:
        """Write the recipe in full, so that the training can be repeated from it."""
        write_text(path, yaml.safe_dump(_plain(asdict(self)), sort_keys=False, allow_unicode=True, width=120))


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that ship with kgrl, by name.

    Example:
        >>> "ppo" in shipped_recipes()
        True
    """
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def read_recipe(recipe: str) -> Recipe:
    """Read a recipe; keys that it leaves out have the defaults of the classes above.

    Args:
        recipe: The name of a recipe that ships with kgrl, or the path of a file.

    Raises:
        UnknownNameError: If the name or a key in the file is not known; the message suggests the nearest.
        DataError: If the file is not YAML, or a value is of the wrong kind.
    """
    path = shipped_recipes().get(recipe, Path(recipe))
    if not path.is_file():
        raise UnknownNameError("recipe", recipe, shipped_recipes())
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(path, None, f"is not YAML: {error}") from error
    return _recipe(read, path)


def _recipe(read: Any, path: Path) -> Recipe:
    made = _fill(Recipe(), read, path, "the recipe")
    sections: dict[str, Any] = {}
    for name in ("environment", "variety", "evaluation", "ppo"):
        if name in read:
            sections[name] = _fill(getattr(Recipe(), name), read[name], path, f"section {name}")
    if "aims" in read:
        if not made.aims:
            raise DataError(path, None, "a recipe needs at least one aim")
        sections["aims"] = tuple(_fill(Aim("vital"), aim, path, "aims") for aim in made.aims)
    return replace(made, **sections)


def _fill(default: T, read: Any, path: Path, where: str) -> T:
    """Return a section's defaults, replaced by the values read; sections inside it stay tables."""
    if not isinstance(read, Mapping):
        raise DataError(path, None, f"{where} must be a table of keys and values, not {read!r}")
    known = [f.name for f in fields(default)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in read.items():
        if key not in known:
            raise UnknownNameError(f"key in {path}, {where}:", str(key), known)
        values[key] = _value(value, getattr(default, key), path, f"{where}, {key}")
    return replace(default, **values)  # type: ignore[type-var]


def _value(value: Any, default: Any, path: Path, where: str) -> Any:
    """Return a value that was read, checked to be of the same kind as its default."""
    if isinstance(value, list):
        value = tuple(value)
    kinds: tuple[type, ...] = (type(default),)
    if isinstance(default, float):
        kinds = (int, float)
    elif default is None:
        kinds = (int, float, type(None))
    elif where.endswith("nucleus"):
        kinds = (str, tuple)
    elif hasattr(default, "__dataclass_fields__"):
        kinds = (dict,)
    # Python's bool is an int, but `true` in YAML is not a number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        # In the words of YAML.
        expected = " or ".join({"tuple": "list", "dict": "table"}.get(kind.__name__, kind.__name__) for kind in kinds)
        raise DataError(path, None, f"{where}: {value!r} is not of the kind {expected}")
    return value


def _plain(value: Any) -> Any:
    """Return a value with its tuples as lists: YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value
