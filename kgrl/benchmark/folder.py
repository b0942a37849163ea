"""A folder of results and what they depend on, so that results of another make are never mixed in.

`about.json` has the version of kgrl, for each place the corpus, the task's configuration and the learner, and for each
agent its options and weights: in plain values, so that a refusal can name what differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgrl.agents.make import make_agent
from kgrl.benchmark.places import task_of
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.corpus import Corpus
from kgrl.curriculum.view import Agent
from kgrl.errors import DataError
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json

if TYPE_CHECKING:
    from kgrl.benchmark.runner import Cell

__all__ = ["ABOUT", "agree", "check_folder", "described"]

ABOUT = "about.json"
_PLAIN = (str, int, float, bool, type(None))


def check_folder(out: Path, cells: Iterable[Cell]) -> None:
    """Make a folder for the results of cells, or see that what it holds was made in the same way.

    Args:
        out: The folder.
        cells: What will be carried out.

    Raises:
        DataError: If it holds results of another version of kgrl, or of a place or an agent that has changed since; the
            message names what changed.
        KgrlError: If a corpus, task, goal, learner or agent is not to be had.
    """
    cells = list(cells)
    places = {(cell.task, cell.corpus, cell.learner, cell.budget): cell for cell in cells}
    about = {
        "version": version("kgrl"),
        "agents": {Path(agent).name: described(make_agent(agent)) for agent in dict.fromkeys(c.agent for c in cells)},
        "places": {f"{cell.task}/{cell.corpus}/{cell.learner}": _place(cell) for cell in places.values()},
    }
    write_json(out / ABOUT, agree(out / ABOUT, json.loads(json.dumps(about))))


def agree(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return what is noted in a file and what is to be added to it.

    Args:
        path: An `about.json`, which need not be there.
        about: What is to be added.

    Raises:
        DataError: If the two do not agree.
    """
    noted = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"version": about["version"]}
    if noted["version"] != about["version"]:
        why = f"the folder has results of kgrl {noted['version']}, not {about['version']}; choose another folder"
        raise DataError(path, None, why)
    for kind in ("places", "agents"):
        known = noted.setdefault(kind, {})
        for name, now in about[kind].items():
            before = known.setdefault(name, now)
            if before != now:
                raise DataError(path, None, _differs(name, before, now))
    return dict(noted)


def described(thing: object) -> dict[str, Any]:
    """Return what can be told of an object: class, plain public attributes, networks' weights, and agents within.

    Example:
        >>> described(make_agent("closure"))
        {'class': 'Closure', 'c': 10.0}
    """
    told: dict[str, Any] = {"class": type(thing).__name__}
    for name, value in vars(thing).items():
        if _is_network(value):
            told[name] = _weights(value)
        elif isinstance(value, Agent):
            told[name] = described(value)
        elif not name.startswith("_") and isinstance(value, _PLAIN):
            told[name] = value
    return told


def _place(cell: Cell) -> dict[str, Any]:
    task = task_of(cell.task, cell.corpus, cell.budget)
    config = {name: value for name, value in asdict(task.config).items() if name != "seed"}
    learner = {f"learner {name}": value for name, value in _learner(cell.learner, task.corpus).items()}
    made = {"corpus": task.corpus.fingerprint, "encoder": Encoder().fingerprint, "reward": task.reward}
    return {**made, **config, **learner}


@cache
def _learner(name: str, corpus: Corpus) -> dict[str, Any]:
    return described(make_float32_learner(name, corpus))


def _is_network(value: object) -> bool:
    from torch import nn  # here, since it takes seconds to import

    return isinstance(value, nn.Module)


def _weights(network: Any) -> str:
    from kgrl.learners.decoder.models import fingerprint

    return fingerprint(network)


def _differs(name: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    changes = ", ".join(f"{key} {before.get(key)!r} and not {now.get(key)!r}" for key in keys)
    return f"the folder has results of {name!r} with {changes}; choose another folder"
