"""Agents by name: `make_agent`, which applies tuned options, and the registration of every agent that ships.

Importing this module registers them all; torch is imported when an agent that needs it is made.
"""

from __future__ import annotations

from inspect import isabstract, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

import kgrl.agents.bandits.alp_gmm
import kgrl.agents.bandits.progress
import kgrl.agents.bandits.published
import kgrl.agents.bandits.skill_it
import kgrl.agents.baselines.frontier
import kgrl.agents.baselines.nucleated
import kgrl.agents.baselines.orders
import kgrl.agents.baselines.reviewing  # noqa: F401 - each of these modules registers agents
from kgrl.agents.base import ORDER, POLICY_FILE, agents
from kgrl.agents.baselines.orders import GivenOrder
from kgrl.agents.baselines.passages import Interleaved
from kgrl.builtin import FOLDER
from kgrl.curriculum.view import Agent
from kgrl.errors import DataError, SettingError
from kgrl.system.own_code import from_own_file, own_place
from kgrl.system.schemas import read_yaml

if TYPE_CHECKING:
    from kgrl.agents.policy.agent import PPOAgent

__all__ = ["TUNED", "agents", "make_agent", "tuned_options"]


_PARTS = ("choose", "reset", "observe", "frontier_only")
"""The attributes of an agent; see `kgrl.curriculum.view.Agent`."""
TUNED = Path(__file__).parent / "tuned"
"""The folder of the tuned options of agents, `NAME.yaml`; `benchmarks/tuning_search.py` found them."""


@agents.register("curiosity")
def _curiosity() -> Agent:
    """The policy that ships with kgrl, pretrained on the clicks of Wikispeedia's readers."""
    return _load_policy(FOLDER)


@agents.register("human")
def _human() -> Agent:
    """The same policy, sampled instead of taking its most probable topic, like a reader of Wikispeedia clicking on."""
    agent = _load_policy(FOLDER)
    agent.sample = True
    return agent


@agents.register("ppo")
def _ppo() -> Agent:
    """A policy trained in simulations towards goals and without one, on graphs that the benchmark does not use."""
    return _load_policy(FOLDER / "ppo")


@agents.register("ppo-recall")
def _ppo_recall() -> Agent:
    """A policy trained for knowledge, in invented worlds that a simulated learner reads again and again."""
    return _load_policy(FOLDER / "ppo-recall")


def _load_policy(folder: Path) -> PPOAgent:
    # torch takes seconds to import, and only trained agents need it.
    from kgrl.agents.policy.agent import PPOAgent

    return PPOAgent.load(folder)


@agents.register("interleaved")
def _interleaved(temperature: float = 1.0) -> Agent:
    """Passages of several topics in turn, drawn by the preferences of `ppo`."""
    return Interleaved(_ppo(), temperature)


@agents.register("random-interleaved")
def _random_interleaved() -> Agent:
    """Passages of several topics in turn, drawn uniformly over the frontier: the control for `interleaved`."""
    return Interleaved(agents.make("random"))


def make_agent(agent: str | Path | Agent) -> Agent:
    """Return an agent made of a name, a folder or a file; an agent is returned as it is.

    Agents draw from the curriculum's generator and need no seed.

    Args:
        agent: A registered name, made with its tuned options; the folder of a trained agent; a class of one's own as
            `"FILE.py:CLASS"`, which is called without arguments; the file of an order as `"order:FILE"`; or an agent.

    Raises:
        UnknownNameError: If it is none of these, or the file has no such class.
        MissingDataError: If the file is missing.
        SettingError: If the class is not an agent, or cannot be made without arguments.
        KgrlError: If this version cannot read the folder's policy, or the file cannot be imported.
        DataError: If the agent does not take the options in the file of its tuned options.

    Example:
        >>> make_agent("alp"), make_agent("degree")
        (LearningProgress(rate=0.035, focus=0.011, exploration=0.44), Degree())
    """
    if not isinstance(agent, str | Path):
        return agent
    # A registered name wins over a folder of the same name in the present directory.
    if str(agent) not in agents and (Path(agent) / POLICY_FILE).is_file():
        return _load_policy(Path(agent))
    name = str(agent)
    if name.startswith(ORDER):
        return GivenOrder(name.removeprefix(ORDER))
    place = own_place(name)
    if place is not None:
        return _from_file(*place)
    if name.endswith(".py"):
        raise SettingError(f"{name} is a file; name an agent's class in it, too, as in {name}:MyAgent")
    make, options = agents[name], tuned_options(name)
    if not options:
        return make()
    try:
        return make(**options)
    except (TypeError, ValueError) as error:
        raise DataError(_tuned_file(name), None, f"the agent {name!r} takes no such options: {error}") from error


def _from_file(path: Path, name: str) -> Agent:
    """Return an agent of the class that a Python file defines under a name."""
    kind, place = from_own_file(path, name, "agent"), f"{path}:{name}"
    if not callable(kind):
        raise SettingError(f"{place} is not a class but {kind!r}; name the class of an agent")
    # Bound before the call, so that a TypeError from within the constructor is not taken for a missing argument.
    try:
        signature(kind).bind()
    except TypeError as error:
        why = f"{error}; agents of a file are made without arguments, so give each a default"
        raise SettingError(f"{place} cannot be made: {why}") from error
    if isabstract(kind):
        lacking = ", ".join(sorted(kind.__abstractmethods__))
        raise SettingError(f"{place} cannot be made: it does not define {lacking}")
    made = kind()
    if not isinstance(made, Agent):
        lacking = ", ".join(part for part in _PARTS if not hasattr(made, part))
        raise SettingError(f"{place} is not an agent: it has no {lacking}; inherit kgrl.agents.BaseAgent")
    return made


def tuned_options(agent: str) -> dict[str, Any]:
    """Return the tuned options of an agent by name, empty where it has none.

    Raises:
        DataError: If the file is not YAML with a table `options`.
    """
    path = _tuned_file(agent)
    if not path.is_file():
        return {}
    return read_yaml(path, _Tuned).options


class _Tuned(Struct):
    """A file of tuned options; what else it holds says how they were found."""

    options: dict[str, Any]


def _tuned_file(agent: str) -> Path:
    return TUNED / f"{agent}.yaml"
