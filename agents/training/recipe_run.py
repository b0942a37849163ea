"""Training by a recipe: its environments, the training in them, and the folder of the trained agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from kgrl.agents.policy.agent import PPOAgent
from kgrl.agents.training.callbacks import KeepBest, Tracker, Tracking
from kgrl.agents.training.ppo import initial_policy, rollout_bytes_of_slots, train_ppo
from kgrl.agents.training.recipe import Recipe
from kgrl.agents.training.vec_env import FiniteHorizon, VectorEnvAdapter
from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.envs.curriculum_env import make_curriculum_env
from kgrl.errors import MissingDataError, SettingError
from kgrl.learners.base import Learner
from kgrl.learners.make import make_learner
from kgrl.retrieval.encoder import Encoder
from kgrl.system.memory import check_fits

__all__ = ["RECIPE_FILE", "make_envs", "train_recipe"]

RECIPE_FILE = "recipe.yaml"


def train_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    learner_options: Mapping[str, Any] | None = None,
    track: Tracking | None = None,
    progress: bool = True,
) -> PPOAgent:
    """Train an agent by a recipe, and write it to a folder.

    The folder then holds `policy.safetensors` and `policy.json`, `recipe.yaml` and TensorBoard events. With the
    simulated learners the policy is the best of those compared with random picks (`Evaluation`); until the end, the
    folder holds the best policy so far.

    Args:
        recipe: The recipe.
        folder: The folder; made if needed.
        seed: Seeds weights, actions and environments.
        learner_options: Options of the learner.
        track: A service to send figures to as well; none if None.
        progress: Show a progress bar.

    Returns:
        The agent. If it was compared, its `training` holds `evaluation`: steps and figures of every comparison.

    Raises:
        KgrlError: If a name is unknown, values do not fit together, or the environments would not fit in memory.
    """
    shared = recipe.environment
    CurriculumConfig(**shared.config())  # refuses what is out of range
    # Checked before anything is made: corpora take minutes to read and embed, and the space of a few slots too many
    # gigabytes.
    rollout = rollout_bytes_of_slots(shared.slots, recipe.ppo.rollout)
    check_fits(shared.envs, rollout, f"environments' rollouts of {recipe.ppo.rollout} steps")
    callbacks: list[BaseCallback] = []
    if track is not None:
        callbacks.append(Tracker(track, folder.name, {**asdict(recipe), "seed": seed}))
    encoder = Encoder(shared.encoder)
    facts = {"init": recipe.init, "encoder": shared.encoder, "space": encoder.space}
    init, corpora = initial_policy(recipe.init, encoder), _recipe_corpora(recipe)
    if init is not None and shared.estimates_knowledge:
        init = init.reading_all()  # elsewhere what it does not read is 0
    env = make_envs(recipe, seed, learner_options, corpora=corpora)
    best: KeepBest | None = None
    if shared.simulated:
        held_out = make_envs(recipe, seed, learner_options, corpora=corpora, held_out=True)
        best = KeepBest(held_out, recipe.evaluation.every, folder, facts=facts)
        callbacks.append(best)
    recipe.write(folder / RECIPE_FILE)
    agent = train_ppo(
        env,
        recipe.steps,
        seed=seed,
        config=recipe.ppo,
        init=init,
        callbacks=callbacks,
        log_dir=folder,
        progress=progress,
    )
    agent.training |= facts
    if best is not None:
        agent.training["evaluation"] = best.history
    agent.save(folder)
    return agent


def make_envs(
    recipe: Recipe,
    seed: int = 0,
    learner_options: Mapping[str, Any] | None = None,
    *,
    corpora: Mapping[str, Corpus] | None = None,
    held_out: bool = False,
) -> VecEnv:
    """Make the environments of a recipe, divided evenly among its aims.

    Args:
        recipe: The recipe.
        seed: Seeds probes and learners; environments are seeded by their `seed()`.
        learner_options: Options of the learner.
        corpora: The corpora by name; read now if None.
        held_out: Make the environments of comparisons: on the regions of the graph that training leaves out, or with
            the seeds after those of training where environments are not vectorized.

    Raises:
        SettingError: If there are fewer environments than aims.
    """
    count = recipe.evaluation.envs if held_out else recipe.environment.envs
    corpora = _recipe_corpora(recipe) if corpora is None else corpora
    options = dict(learner_options or {})
    directed = any(corpus.graph.prerequisite is not None for corpus in corpora.values())
    if recipe.environment.vectorized and not directed:  # vectors do not ask for prerequisites
        return _vectorized(recipe, corpora, count, seed, options, held_out=held_out)
    return _single(recipe, corpora, count, seed + recipe.environment.envs * held_out, options)


def _recipe_corpora(recipe: Recipe) -> dict[str, Corpus]:
    """Return the corpora of a recipe by name, read once for all environments: one object has one set of tables."""
    from kgrl.data.load import load_corpus

    return {name: load_corpus(name) for name in dict.fromkeys(aim.corpus for aim in recipe.aims)}


def _vectorized(
    recipe: Recipe, corpora: Mapping[str, Corpus], count: int, seed: int, options: dict[str, Any], *, held_out: bool
) -> VecEnv:
    from gymnasium.vector import AutoresetMode

    from kgrl.envs.vector.env import CurriculumVectorEnv
    from kgrl.envs.vector.variety import Variety

    if count < len(recipe.aims):
        raise SettingError(f"{count} environments cannot be shared out among {len(recipe.aims)} aims; raise envs")
    parts = []
    for number, aim in enumerate(recipe.aims):
        corpus = corpora[aim.corpus]
        # A goal for rewards that refuse to be made without one; each episode's own goal replaces it.
        config = CurriculumConfig(**recipe.environment.config(), goal=aim.goals[0], seed=seed)
        learner = _simulated_learner(recipe, aim.corpus, corpus, seed, options)
        parts.append(
            CurriculumVectorEnv(
                Curriculum.make(corpus, learner, aim.reward, config, encoder=recipe.environment.encoder),
                count // len(recipe.aims) + (number < count % len(recipe.aims)),
                slots=recipe.environment.slots,
                autoreset_mode=AutoresetMode.SAME_STEP,
                variety=Variety(aim.goals, **asdict(recipe.variety), held_out=held_out),
                copy=False,
            )
        )
    return FiniteHorizon(VectorEnvAdapter(parts))


def _simulated_learner(recipe: Recipe, name: str, corpus: Corpus, seed: int, options: dict[str, Any]) -> Learner:
    """Return the learner of an aim's corpus, by the recipe's first calibration; the variety adds the others.

    Raises:
        MissingDataError: If the corpus has no calibration; the message says how to make one.
    """
    named = {"calibration": recipe.variety.calibrations[0]} if recipe.variety.calibrations else {}
    try:
        return make_learner("simulated", corpus, seed=seed, encoder=recipe.environment.encoder, **{**named, **options})
    except MissingDataError as error:
        raise MissingDataError(
            f"{error} to runs, such as those of `kgrl run --corpus {name} --learner scratch --agent random --reward "
            "mean-prediction-gain`; its file goes into a recipe, under variety: calibrations"
        ) from error


def _single(recipe: Recipe, corpora: Mapping[str, Corpus], count: int, seed: int, options: dict[str, Any]) -> VecEnv:
    """Make single environments, each with its own learner; aims and goals take turns, and each has the next seed."""
    # Learners are made by the environments themselves: each has a state of its own.
    learner = recipe.environment.learner
    if learner == "simulated" and recipe.variety.calibrations:
        options = {"calibration": recipe.variety.calibrations[0], **options}
    members = _members(learner) if recipe.variety.members else []
    dealt = [(aim, goal) for aim in recipe.aims for goal in aim.goals]
    makers: list[Callable[[], gym.Env[Any, Any]]] = []
    for number in range(count):
        aim, goal = dealt[number % len(dealt)]
        settings = {**recipe.environment.config(), "goal": goal, "seed": seed + number}
        settings |= {"slots": recipe.environment.slots, "encoder": recipe.environment.encoder}
        own = {"member": members[number % len(members)], **options} if members else options
        makers.append(
            partial(make_curriculum_env, corpora[aim.corpus], learner, aim.reward, learner_options=own, **settings)
        )
    return FiniteHorizon(VecMonitor(DummyVecEnv(makers)))


def _members(learner: str) -> list[int]:
    """Return the members of the learner that remembers, which differ as real learners do; others have none."""
    if learner != "remembering":
        return []
    from kgrl.learners.simulated.memory_calibration import MemoryCalibration

    return list(range(len(MemoryCalibration.builtin().members)))
