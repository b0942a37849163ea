"""kgrl: knowledge-nucleated curriculum learning.

A language model starts from a nucleus of topics; a curiosity policy picks the neighbouring topic to study next, and is
rewarded by learning progress. Three jobs, each a few lines.

Train a curiosity agent, in a Gymnasium environment:

    import gymnasium as gym
    env = gym.make("kgrl:kgrl/Curriculum-v0", corpus="vital", learner="scratch", goal="Mathematics")
    agent = kgrl.train_ppo(env, steps=256)

Plug in a reward function, any function of an `Expansion`:

    env = gym.make("kgrl:kgrl/Curriculum-v0", learner="scratch", reward=lambda expansion: -expansion.train_loss)

Benchmark a curriculum against random, with the same weights, budget and exam:

    curriculum = kgrl.Curriculum.make(kgrl.load_corpus("vital"), "scratch")
    exam = kgrl.Exam(curriculum.corpus)
    for name in ("random", "curiosity"):
        for expansion in curriculum.run(kgrl.make_agent(name)):
            print(name, expansion.title)
        print(name, exam.losses(curriculum.learner).mean())

The names below load when they are first used, and the environments are registered once Gymnasium is imported, so that
`import kgrl` stays quick.
"""

from pathlib import Path
from typing import Any

import lazy_loader

from kgrl.system.compiled import place_kernels
from kgrl.system.deferred import after_import

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    return _version() if name == "__version__" else _load(name)


def _version() -> str:
    from importlib.metadata import version  # here, since it is a third of the time of an import that does not need it

    return version("kgrl")


def _register() -> None:
    """Register the environments with Gymnasium."""
    from gymnasium.envs.registration import register

    # By name, so that this loads no model code: Gymnasium imports the module when an environment is made.
    register(
        id="kgrl/Curriculum-v0",
        entry_point="kgrl.envs.curriculum_env:make_curriculum_env",
        vector_entry_point="kgrl.envs.vector.env:make_curriculum_vector_env",
    )
    register(id="kgrl/RabbitHole-v0", entry_point="kgrl.envs.rabbit_hole_env:make_rabbit_hole_env")
    tasks = ("coverage", "target", "limited", "noisy", "forgetting", "deceptive", "invented")
    for task in (*tasks, "recall", "recall:fictional", "retain"):
        register(
            id=f"kgrl/{task.title().replace(':', '')}-v0",
            entry_point="kgrl.benchmark.environments:make_task_env",
            kwargs={"task": task},
        )


place_kernels(Path(__file__).parent, _version)
after_import("gymnasium", _register)
