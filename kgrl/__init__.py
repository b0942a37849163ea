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

The names below load when they are first used, so that `import kgrl` stays quick.
"""

from importlib.metadata import version
from pathlib import Path

import lazy_loader
from gymnasium.envs.registration import register

from kgrl.system.compiled import place_kernels

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("kgrl")
place_kernels(Path(__file__).parent, __version__)

# By name, so that importing kgrl loads no model code: Gymnasium imports the module when an environment is made.
register(
    id="kgrl/Curriculum-v0",
    entry_point="kgrl.envs.curriculum_env:make_curriculum_env",
    vector_entry_point="kgrl.envs.vector.env:make_curriculum_vector_env",
)
register(id="kgrl/RabbitHole-v0", entry_point="kgrl.envs.rabbit_hole_env:make_rabbit_hole_env")
for _task in ("coverage", "target", "limited", "noisy", "forgetting", "deceptive", "invented"):
    register(
        id=f"kgrl/{_task.capitalize()}-v0",
        entry_point="kgrl.benchmark.environments:make_task_env",
        kwargs={"task": _task},
    )
