"""Knowledge-nucleated curriculum learning."""

from gymnasium.envs.registration import register

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
