"""`kgrl train`: train a curiosity agent by reinforcement learning."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kgrl.cli.output import show_facts
from kgrl.cli.setting import as_nucleus
from kgrl.errors import SettingError

if TYPE_CHECKING:
    from kgrl.agents.training.recipe import Recipe

__all__ = ["TrainCommand"]

_SIMULATED, _REAL = "ppo", "ppo-small"
"""The recipes where none is named: for the simulated learner, and for learners that are language models."""


@dataclass(frozen=True)
class TrainCommand:
    """Train a curiosity agent as a recipe says, the other arguments aside; the policy is saved without pickle.

    With the simulated learner, policies are compared with random picks on held-out graphs, and the best one is kept.

    Args:
        task: The task to train on, as `kgrl info` lists them, in place of the recipe's aims.
        agent: The agent to train.
        recipe: The recipe, by name or as a YAML file; `kgrl info` lists those that ship with kgrl. If none: ppo for the
            simulated learner, ppo-small for the others.
        corpus: The corpora to train on, side by side: names such as vital or wikispeedia, or folders.
        learner: The learner: simulated, scratch or lora.
        model: For lora: smollm2, a Hugging Face causal model by name, or a folder.
        plugins: What plugs into a scratch or lora learner, by name, with options where wanted.
        reward: The reward, in place of the aims' own: a name, your own as FILE.py:NAME, or an expression of these.
        goal: A category to learn about, in place of the aims' own goals.
        init: What training begins with: builtin, random, or the folder of a policy.
        steps: Environment steps (expansions) to train for.
        envs: Number of environments.
        slots: Candidates the policy sees at a time.
        nucleus: pagerank, k-core, or titles.
        nucleus_size: Topics of a nucleus chosen by score.
        budget_tokens: Tokens of an episode, the nucleus included.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        probe_topics: Topics of each probe sample, one passage each.
        seed: Seeds weights, actions, learners and probe samples.
        out: Folder for the policy and the TensorBoard log; policies/ with a name made from the setting if none.
        track: Send figures to Weights & Biases or Trackio, if that is installed.
        json: File to write the figures to, as one JSON object.
    """

    task: str | None = None
    agent: Literal["ppo"] = "ppo"
    recipe: str | None = None
    corpus: tuple[str, ...] = ()
    learner: str | None = None
    model: str | None = None
    plugins: tuple[str, ...] = ()
    reward: str | None = None
    goal: str | None = None
    init: str | None = None
    steps: int | None = None
    envs: int | None = None
    slots: int | None = None
    nucleus: tuple[str, ...] = ()
    nucleus_size: int | None = None
    budget_tokens: int | None = None
    expansion_tokens: int | None = None
    neighbourhood: int | None = None
    probe_topics: int | None = None
    seed: int = 0
    out: Path | None = None
    track: Literal["wandb", "trackio"] | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Train, save the policy, print where it is and return the figures.

        Raises:
            KgrlError: If a name is unknown, values do not fit together, or the environments would not fit in memory.
        """
        from kgrl.agents.training.recipe_run import train_recipe

        name, recipe = self._recipe()
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = self.out or Path("policies") / f"{Path(name).stem}-seed{self.seed}-{stamp}"
        options = self._learner_options(recipe.environment.learner)
        watched = sys.stderr.isatty()
        agent = train_recipe(
            recipe, folder, seed=self.seed, learner_options=options, track=self.track, progress=watched
        )
        figures = {name: agent.training[name] for name in ("steps", "seconds", "mean_return")}
        compared = max(agent.training.get("evaluation", []), key=lambda row: row["gain"], default=None)
        best = {f"best_{name}": value for name, value in (compared or {}).items()}
        corpora = list(dict.fromkeys(aim.corpus for aim in recipe.aims))
        facts = [*figures.items(), *best.items(), ("policy", folder)]
        show_facts(f"trained {self.agent} on {' and '.join(corpora)}", facts)
        known: dict[str, Any] = {"task": self.task, "agent": self.agent, "recipe": name, "corpus": corpora}
        known |= {"learner": recipe.environment.learner, "init": recipe.init, "seed": self.seed}
        return {**known, **figures, **best, "policy": str(folder)}

    def _recipe(self) -> tuple[str, Recipe]:
        """The name of the recipe, and the recipe with what the command line says in its place."""
        from kgrl.agents.training.recipe import Environments, read_recipe

        name = self.recipe or (_SIMULATED if self.learner in (None, "simulated") else _REAL)
        recipe = read_recipe(name)
        recipe = recipe.on(self.corpus, self.reward, self.goal) if self.task is None else self._on_task(recipe)
        shared: dict[str, Any] = {f.name: getattr(self, f.name, None) for f in fields(Environments)}
        shared = {name: value for name, value in shared.items() if value not in (None, ())}
        if "nucleus" in shared:
            shared["nucleus"] = as_nucleus(shared["nucleus"])
        own = {name: getattr(self, name) for name in ("steps", "init") if getattr(self, name) is not None}
        return name, replace(recipe, environment=replace(recipe.environment, **shared), **own)

    def _on_task(self, recipe: Recipe) -> Recipe:
        """The recipe on the task: its aim, and what its configuration sets apart from the usual one."""
        from kgrl.agents.training.recipe import Aim, Environments
        from kgrl.benchmark.tasks import corpus_of_task, make_task
        from kgrl.curriculum.config import CurriculumConfig

        assert self.task is not None
        if len(self.corpus) > 1 or self.goal is not None or self.nucleus:
            has = "is on one corpus and has its own goal and nucleus"
            raise SettingError(f"the task {self.task!r} {has}; leave --goal and --nucleus out")
        named = next(iter(self.corpus), None)
        task, usual = make_task(self.task, named), CurriculumConfig()
        aim = Aim(corpus_of_task(self.task, named), self.reward or task.reward, (task.config.goal,))
        shared = {f.name for f in fields(Environments)} & {f.name for f in fields(CurriculumConfig)}
        apart = {name: getattr(task.config, name) for name in shared}
        apart = {name: value for name, value in apart.items() if value != getattr(usual, name)}
        return replace(recipe, aims=(aim,), environment=replace(recipe.environment, **apart))

    def _learner_options(self, learner: str) -> dict[str, Any]:
        from kgrl.learners.plugins import make_plugin

        options: dict[str, Any] = {"model": self.model or "smollm2"} if learner == "lora" else {}
        if self.plugins:
            options["plugins"] = [make_plugin(spec) for spec in self.plugins]
        return options
