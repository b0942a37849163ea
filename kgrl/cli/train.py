"""`kgrl train`: train a curiosity agent by reinforcement learning."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kgrl.cli.arguments import MOST_COUNT, MOST_SEED, JsonFile, check_range, default_is
from kgrl.cli.output import show_facts
from kgrl.cli.setting import as_nucleus
from kgrl.cli.trust import check_code, remember_code
from kgrl.errors import KgrlError, SettingError

if TYPE_CHECKING:
    from kgrl.agents.training.recipe import Environments, Recipe

__all__ = ["TrainCommand"]

_RECIPES, _REAL = {"simulated": "ppo", "remembering": "ppo-recall"}, "ppo-small"
"""The recipes where none is named: for simulated learners, and for learners that are language models."""
_MOST_SLOTS = 1_000_000
"""Candidates of which one observation is still made at once; no corpus offers more of them to choose from."""
_THE_RECIPES = default_is("the recipe's")


@dataclass(frozen=True)
class TrainCommand:
    """Train a curiosity agent by reinforcement learning, from a recipe.

    A recipe sets every value, its aims (corpus, reward and goals) among them; arguments override it. With simulated
    learners, policies are compared with random picks along the way, and the best one is kept. The policy is saved as
    safetensors and JSON.

    Args:
        task: Task to train on instead of the recipe's aims; `kgrl info` lists tasks.
        agent: Agent to train.
        recipe: Recipe: a name that `kgrl info` lists, or a YAML file. If the file names a reward file that nobody gave
            as --reward on this machine before, kgrl asks whether its code may run.
        trust: Reward files whose code may run, though it is the recipe that names them.
        corpus: Corpora to train on side by side: names that `kgrl info` lists, or folders.
        learner: Learner: simulated (fitted learning curves, by far the fastest), remembering (simulated, too, for tasks
            about what is known), scratch, lora or full, with options after a colon, such as lora:rank=16.
        model: Model of the learner lora: smollm2 (SmolLM2-135M), a Hugging Face causal model, or a folder.
        plugins: Plug-ins of the learner scratch or lora, with options after a colon, such as top-k:share=0.05. `kgrl
            info` lists plug-ins.
        reward: Reward of every aim: a name that `kgrl info` lists, a function of yours as FILE.py:NAME, or an
            expression of these.
        goal: Category to learn about, as the goal of every aim; `kgrl graph` lists a corpus's categories.
        init: Policy to start from: builtin, random (random weights), or the folder of a policy.
        steps: Environment steps to train for; a step is one expansion.
        envs: Number of environments.
        slots: Candidates that the policy sees at a time.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        device: Device that learner and encoder compute on: cpu, cuda, cuda:1, mps, or auto for the fastest that is
            there. The policy itself is trained on the CPU.
        nucleus: Topics to start from: pagerank or k-core chooses them by that score, or give their titles.
        nucleus_size: Topics of a nucleus chosen by score.
        budget_tokens: Tokens of an episode, the nucleus included.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        probe_topics: Topics of each probe sample, one passage each.
        seed: Random seed of weights, actions, learners and probe samples.
        out: Folder for the policy and the TensorBoard log; one that holds a policy is refused.
        track: Service to send figures to, if its package is installed: Weights & Biases or Trackio.
        json: File for the figures, as one JSON object.
    """

    task: str | None = None
    agent: Literal["ppo"] = "ppo"
    recipe: Annotated[
        str | None, default_is("ppo for the learner simulated, ppo-recall for remembering, ppo-small for others")
    ] = None
    trust: Annotated[tuple[Path, ...], default_is("none", "FILE.py [FILE.py ...]")] = ()
    corpus: Annotated[tuple[str, ...], _THE_RECIPES] = ()
    learner: Annotated[str | None, _THE_RECIPES] = None
    model: Annotated[str | None, default_is("smollm2")] = None
    plugins: tuple[str, ...] = ()
    reward: Annotated[str | None, _THE_RECIPES] = None
    goal: Annotated[str | None, _THE_RECIPES] = None
    init: Annotated[str | None, _THE_RECIPES] = None
    steps: Annotated[int | None, _THE_RECIPES] = None
    envs: Annotated[int | None, _THE_RECIPES] = None
    slots: Annotated[int | None, _THE_RECIPES] = None
    encoder: Annotated[str | None, _THE_RECIPES] = None
    device: str = "cpu"
    nucleus: Annotated[tuple[str, ...], _THE_RECIPES] = ()
    nucleus_size: Annotated[int | None, _THE_RECIPES] = None
    budget_tokens: Annotated[int | None, _THE_RECIPES] = None
    expansion_tokens: Annotated[int | None, _THE_RECIPES] = None
    neighbourhood: Annotated[int | None, _THE_RECIPES] = None
    probe_topics: Annotated[int | None, _THE_RECIPES] = None
    seed: int = 0
    out: Annotated[Path | None, default_is("policies/RECIPE-SEED-TIME", "FOLDER")] = None
    track: Literal["wandb", "trackio"] | None = None
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Train, save the policy, print where it is and return the figures.

        Raises:
            KgrlError: If a name is unknown, values do not fit together, the environments would not fit in memory, or
                the folder holds a policy or is another process's.
        """
        from kgrl.agents.base import POLICY_FILE
        from kgrl.agents.training.recipe_run import train_recipe
        from kgrl.runs.place import hold_folder, unused_folder

        check_range(
            ("--seed", self.seed, 0, MOST_SEED),
            ("--slots", self.slots, 1, _MOST_SLOTS),
            ("--envs", self.envs, 1, MOST_COUNT),
            ("--steps", self.steps, 1, MOST_COUNT),
        )
        name, recipe = self._recipe()
        remember_code([self.reward])
        check_code(Path(name), [aim.reward for aim in recipe.aims], trusted=self.trust)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = self.out or unused_folder(Path("policies") / f"{Path(name).stem}-seed{self.seed}-{stamp}")
        options = self._learner_options(recipe.environment)
        watched = sys.stderr.isatty()  # a progress bar would fill log files
        with hold_folder(folder):
            if (folder / POLICY_FILE).exists():
                raise KgrlError(f"{folder} holds a policy already; choose another --out, or delete that one first")
            for left in folder.glob(".*.tmp"):  # by a training that was killed while it wrote
                left.unlink()
            agent = train_recipe(
                recipe, folder, seed=self.seed, learner_options=options, track=self.track, progress=watched
            )
        figures = {name: agent.training[name] for name in ("steps", "seconds", "mean_return")}
        # The policy with the largest gain was kept. Only trainings on simulated learners make such comparisons.
        compared = max(agent.training.get("evaluation", []), key=lambda row: row["gain"], default=None)
        best = {f"best_{name}": value for name, value in (compared or {}).items()}
        corpora = list(dict.fromkeys(aim.corpus for aim in recipe.aims))
        facts = [*figures.items(), *best.items(), ("policy", folder)]
        show_facts(f"trained {self.agent} on {' and '.join(corpora)}", facts)
        known: dict[str, Any] = {"task": self.task, "agent": self.agent, "recipe": name, "corpus": corpora}
        known |= {"learner": recipe.environment.learner, "init": recipe.init, "seed": self.seed}
        return {**known, **figures, **best, "policy": str(folder)}

    def _recipe(self) -> tuple[str, Recipe]:
        """Return the recipe's name, and the recipe with the values of the command line."""
        from kgrl.agents.training.recipe import Environments, read_recipe

        name = self.recipe or _RECIPES.get(self.learner or "simulated", _REAL)
        recipe = read_recipe(name)
        recipe = recipe.on(self.corpus, self.reward, self.goal) if self.task is None else self._on_task(recipe)
        # Arguments of the command have the names of the recipe's fields, so one loop serves them all.
        shared: dict[str, Any] = {f.name: getattr(self, f.name, None) for f in fields(Environments)}
        shared = {name: value for name, value in shared.items() if value not in (None, ())}
        shared |= self._placed(replace(recipe.environment, **shared))
        if "nucleus" in shared:
            shared["nucleus"] = as_nucleus(shared["nucleus"])
        own = {name: getattr(self, name) for name in ("steps", "init") if getattr(self, name) is not None}
        return name, replace(recipe, environment=replace(recipe.environment, **shared), **own)

    def _placed(self, shared: Environments) -> dict[str, str]:
        """The names of learner and encoder with the device, where they compute on one."""
        from kgrl.retrieval.encoder import on_device
        from kgrl.system.devices import find_device
        from kgrl.system.options import join_options

        if self.device == "cpu":
            return {}
        find_device(self.device)
        simulated = shared.learner == "simulated"
        learner = shared.learner if simulated else join_options(shared.learner, device=self.device)
        return {"learner": learner, "encoder": on_device(shared.encoder, self.device)}

    def _on_task(self, recipe: Recipe) -> Recipe:
        """Return the recipe on the task: with its aim, and with the values in which it differs from the usual ones."""
        from kgrl.agents.training.recipe import Aim, Environments
        from kgrl.benchmark.tasks import corpus_of_task, make_task
        from kgrl.curriculum.config import CurriculumConfig

        assert self.task is not None
        if len(self.corpus) > 1 or self.goal is not None or self.nucleus:
            has = "is on one corpus and has its own goal and nucleus"
            raise SettingError(f"the task {self.task!r} {has}; leave --goal and --nucleus out")
        named = next(iter(self.corpus), None)
        task, usual = make_task(self.task, named), CurriculumConfig()
        if isinstance(task.config.goal, tuple):
            raise SettingError(f"the goal of {self.task!r} is titles, and policies are trained on categories as goals")
        aim = Aim(corpus_of_task(self.task, named), self.reward or task.reward, (task.config.goal,))
        shared = {f.name for f in fields(Environments)} & {f.name for f in fields(CurriculumConfig)}
        # Only what sets the task apart, so that the recipe keeps its own values where the task has the usual ones.
        apart = {name: getattr(task.config, name) for name in shared}
        apart = {name: value for name, value in apart.items() if value != getattr(usual, name)}
        return replace(recipe, aims=(aim,), environment=replace(recipe.environment, **apart))

    def _learner_options(self, shared: Environments) -> dict[str, Any]:
        from kgrl.learners.make import PRETRAINED
        from kgrl.learners.plugins import make_plugin
        from kgrl.system.options import split_options

        pretrained = split_options(shared.learner)[0] in PRETRAINED
        options: dict[str, Any] = {"model": self.model or "smollm2"} if pretrained else {}
        if self.plugins:
            options["plugins"] = [make_plugin(spec, shared.encoder) for spec in self.plugins]
        return options
