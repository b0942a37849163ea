"""The folder of a benchmark's results: it records what they depend on, and refuses results that depend on other things.

`about.json` holds the version of kgrl; for each place the corpus, the task's configuration and the learner; and for
each agent its options and weights. All are plain values, so that a refusal can name what differs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct, structs

from kgrl.agents.base import ORDER, agent_name, check_space
from kgrl.agents.baselines.orders import check_order
from kgrl.agents.make import make_agent
from kgrl.benchmark.places import task_of
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.corpus import Corpus
from kgrl.curriculum.view import Agent
from kgrl.errors import DataError, SettingError
from kgrl.probes.recall import check_reads_text
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import file_digest, write_json
from kgrl.system.own_code import own_place
from kgrl.system.schemas import read_json

if TYPE_CHECKING:
    from kgrl.benchmark.runner import Cell

__all__ = ["ABOUT", "agree", "check_folder", "described"]

_log = logging.getLogger(__name__)

ABOUT = "about.json"
_PLAIN = (str, int, float, bool, type(None))


def check_folder(out: Path, cells: Iterable[Cell]) -> None:
    """Make a folder for the results of cells, or check that the results in it were made in the same way.

    Args:
        out: The folder.
        cells: The cells that will be carried out.

    Raises:
        DataError: If it holds results of another version of kgrl, or of a place or an agent that has changed since; the
            message names the change.
        KgrlError: If a corpus, task, goal, learner or agent cannot be made, two agents go by one name, or a task asks
            for facts and the learner reads no text.
    """
    cells = list(cells)
    places = {(cell.task, cell.corpus, cell.learner, cell.budget): cell for cell in cells}
    about = {
        "version": version("kgrl"),
        "agents": _agents(dict.fromkeys(cell.agent for cell in cells)),
        "places": {f"{cell.task}/{cell.corpus}/{cell.learner}": _place(cell) for cell in places.values()},
    }
    for agent, encoder in dict.fromkeys((cell.agent, cell.encoder) for cell in cells):
        check_space(make_agent(agent), Encoder(encoder))
    # Through JSON once, so that tuples compare equal to the lists that were read from the file.
    for agent, task, corpus in dict.fromkeys((cell.agent, cell.task, cell.corpus) for cell in cells):
        if agent.startswith(ORDER):
            check_order(make_agent(agent), task_of(task, corpus, None).corpus)
    write_json(out / ABOUT, agree(out / ABOUT, json.loads(json.dumps(about))))


def _agents(named: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the descriptions of agents, by the names that rows know them by."""
    told: dict[str, dict[str, Any]] = {}
    of: dict[str, str] = {}
    for agent in named:
        name = agent_name(agent)
        if of.setdefault(name, agent) != agent:
            raise SettingError(f"the agents {of[name]} and {agent} both go by the name {name!r}; rename one of them")
        told[name] = described(make_agent(agent))
        if (place := own_place(agent)) is not None:  # attributes do not tell what the code does
            told[name]["file"] = file_digest(place[0])
    return told


class _About(Struct, forbid_unknown_fields=True):
    """The making of a folder's results: kgrl's version, and the places and agents by name."""

    version: str
    places: dict[str, dict[str, Any]] = {}
    agents: dict[str, dict[str, Any]] = {}


def agree(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a file together with further ones.

    Args:
        path: An `about.json`; it need not exist.
        about: The further entries.

    Raises:
        DataError: If the two contradict each other.
    """
    # A new folder has nothing to disagree with.
    noted = _noted(path) or {"version": about["version"]}
    if noted["version"] != about["version"]:
        why = f"the folder has results of kgrl {noted['version']}, not {about['version']}; choose another folder"
        raise DataError(path, None, why)
    for kind in ("places", "agents"):
        known = noted.setdefault(kind, {})
        for name, now in about[kind].items():
            before = known.setdefault(name, now)
            if before != now:
                keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
                changes = ", ".join(f"{key} {before.get(key)!r} and not {now.get(key)!r}" for key in keys)
                why = f"the folder has results of {name!r} with {changes}; choose another folder"
                raise DataError(path, None, why)
    return dict(noted)


def _noted(path: Path) -> dict[str, Any] | None:
    """Return the entries of a file; None where there is none, or one that was damaged and is now set aside."""
    if not path.exists():
        return None
    try:
        return structs.asdict(read_json(path, _About))
    except DataError as error:
        _set_aside_all(path, error.reason)
        return None


def _set_aside_all(about: Path, why: str) -> None:
    """Set a damaged `about.json` aside, and with it the results of which nothing says any more how they were made."""
    # A cell's own fault is set aside by the runner; here all are whole, and can be had back by renaming them.
    results = sorted(about.parent.glob("*/*/*/*/*.json"))
    for path in (about, *results):
        path.replace(path.with_name(f"{path.name}.broken"))
    told = f"it is now {about.name}.broken, and so are its {len(results)} results, which are carried out again"
    _log.warning("%s is damaged (%s); %s", about, why, told)


def described(thing: object) -> dict[str, Any]:
    """Return a description of an object: class, plain public attributes, fingerprints of networks, and inner agents.

    Example:
        >>> described(make_agent("closure"))
        {'class': 'Closure', 'c': 10.0}
    """
    from torch import nn  # here, since it takes seconds to import

    told: dict[str, Any] = {"class": type(thing).__name__}
    for name, value in vars(thing).items():
        if isinstance(value, nn.Module):
            from kgrl.learners.decoder.models import fingerprint

            told[name] = fingerprint(cast(Any, value))  # of any network, though its type says less
        elif isinstance(value, Agent):
            told[name] = described(value)
        elif not name.startswith("_") and isinstance(value, _PLAIN):
            told[name] = value
    return told


def _place(cell: Cell) -> dict[str, Any]:
    """Return what the results of a place depend on; seeds are left out, as cells of all seeds share a folder."""
    task = task_of(cell.task, cell.corpus, cell.budget)
    config = {name: value for name, value in asdict(task.config).items() if name != "seed"}
    learner = {f"learner {name}": value for name, value in _learner(cell.learner, task.corpus, task.facts > 0).items()}
    encoder = Encoder(cell.encoder).fingerprint
    made: dict[str, Any] = {"corpus": task.corpus.fingerprint, "encoder": encoder, "reward": task.reward}
    if cell.level is not None:  # folders of before know nothing of it
        made["level"] = cell.level
    return {**made, **config, **learner}


@cache
def _learner(name: str, corpus: Corpus, asked: bool) -> dict[str, Any]:
    """Return what a learner is; one that is asked has to read text."""
    learner = make_float32_learner(name, corpus)
    if asked:
        check_reads_text(learner)
    return described(learner)
