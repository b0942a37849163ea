"""Recipes: all settings of an agent's training, in one YAML file.

The recipes in `agents/recipes` ship with kgrl and have names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from kgrl.agents.policy.agent import PPOConfig
from kgrl.curriculum.mastery import Mastery
from kgrl.errors import DataError, UnknownNameError
from kgrl.learners.make import SIMULATED
from kgrl.retrieval.encoder import DEFAULT_ENCODER
from kgrl.system.files import write_text
from kgrl.system.options import split_options
from kgrl.system.schemas import Count, Positive, read_yaml, yaml_text

__all__ = ["Aim", "Environments", "Episodes", "Evaluation", "Recipe", "read_recipe", "shipped_recipes"]

_NO_CONFIG = ("learner", "encoder", "envs", "slots")
"""Fields of `Environments` that are no settings of a curriculum."""
_FOLDER = Path(__file__).parents[1] / "recipes"


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
        encoder: The sentence encoder: static, minilm, or another by its Hugging Face name or folder.
        envs: Number of environments, divided evenly among the aims.
        slots: Number of candidates that the policy sees at a time.
        budget_tokens: Tokens of an episode.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        nucleus: The method that chooses the nucleus, or its titles.
        nucleus_size: Number of topics of a nucleus chosen by score.
        probe_topics: Number of topics of each probe sample.
        stages: Categories that are learned one after another; not with the simulated learner.
        mastery: The criterion by which topics are solid.
        most_readings: How often a passage may be read at most; 0 for any number of times.
        nucleus_share: Most of the budget that a nucleus takes that has to be known.
        review: Share of a lesson's tokens for topics that were read before.
    """

    learner: str = "simulated"
    encoder: str = DEFAULT_ENCODER
    envs: Positive = 256
    slots: Positive = 64
    budget_tokens: Positive = 20_000
    expansion_tokens: Positive = 1_000
    neighbourhood: Positive = 8
    nucleus: str | tuple[str, ...] = "pagerank"
    nucleus_size: Positive = 8
    probe_topics: Positive = 24
    stages: tuple[str, ...] = ()
    mastery: str = "read"
    most_readings: Count = 1
    nucleus_share: Annotated[float, Meta(ge=0, le=1)] = 0.1
    review: Annotated[float, Meta(ge=0, lt=1)] = 0.0

    @property
    def vectorized(self) -> bool:
        """True if the environments are vectors of simulated curricula; these read text once and review nothing."""
        once = self.mastery == "read" and self.most_readings == 1 and not self.review
        return self.learner == "simulated" and once

    @property
    def simulated(self) -> bool:
        """True if the learner is simulated, so that policies are compared with random picks along the way."""
        return split_options(self.learner)[0] in SIMULATED

    @property
    def estimates_knowledge(self) -> bool:
        """True if topics have to be known to be solid, so that features of knowledge are other than 0."""
        return not Mastery.of(self.mastery).by_reading

    def config(self) -> dict[str, Any]:
        """Return the fields that configure a curriculum."""
        return {name: value for name, value in asdict(self).items() if name not in _NO_CONFIG}


@dataclass(frozen=True)
class Episodes:
    """Variety of the episodes of vectorized environments; see `kgrl.envs.vector.variety.Variety`.

    Args:
        tasks: Number of tasks that each aim's episodes are drawn from: a goal, a start, and hidden regions.
        members: Whether each episode's learner is another member of the calibration's ensemble.
        hidden: Share of the graph's regions that each task hides.
        noise: Whether simulated measurements are noisy.
        style: Whether rewards count the gain that any text brings, whatever the topic.
        calibrations: Names or files of the simulated learners' calibrations.
    """

    tasks: Positive = 64
    members: bool = True
    hidden: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    noise: bool = False
    style: bool = False
    calibrations: tuple[str, ...] = ("builtin",)


@dataclass(frozen=True)
class Evaluation:
    """Comparison with random picks, with simulated learners only.

    Vectorized environments are compared on held-out regions of the graphs, single ones with other seeds of learners and
    probes than in training.

    Args:
        every: Training steps between two comparisons.
        envs: Number of episodes of a comparison, divided evenly among the aims.
    """

    every: Positive = 20_000
    envs: Positive = 64


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
    steps: Positive = 300_000
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
        write_text(path, yaml_text(asdict(self)))


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
        UnknownNameError: If the name is not known; the message suggests the nearest.
        DataError: If the file is not YAML, a key is not known, or a value is of the wrong kind.
    """
    path = shipped_recipes().get(recipe, Path(recipe))
    if not path.is_file():
        raise UnknownNameError("recipe", recipe, shipped_recipes())
    read = read_yaml(path, Recipe)
    if not read.aims:
        raise DataError(path, None, "aims: a recipe needs at least one aim")
    return read
