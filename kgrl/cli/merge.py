"""`kgrl merge`: compose the adapters of runs into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import show_facts, show_table
from kgrl.errors import KgrlError

if TYPE_CHECKING:
    from kgrl.learners.adapters.folder import Adapter

__all__ = ["MergeCommand"]


@dataclass(frozen=True, kw_only=True)
class MergeCommand:
    """Compose LoRA adapters into one, and write it as a PEFT folder with a model card.

    Args:
        runs: Folders of runs or of adapters. All adapters of a run are taken.
        out: Folder for the composed adapter.
        method: Method of composition: task-arithmetic, cat, linear, ties or dare.
        weight: Factor of each adapter.
        density: Share of values, from 0 to 1, that the methods ties and dare keep.
        seed: Random seed of the values that dare drops.
        json: File for the figures, as one JSON object.
    """

    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="FOLDER [FOLDER ...]", help_behavior_hint="(required)")]
    out: Path
    method: str = "task-arithmetic"
    weight: Annotated[float | None, default_is("0.4 for task-arithmetic, 1 for ties, 1/n for others")] = None
    density: Annotated[float | None, default_is("0.2 for ties, 0.5 for dare")] = None
    seed: int = 0
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Compose, write the folder, print the figures and return them.

        Raises:
            KgrlError: If a folder holds no adapter, adapters do not fit together, or a setting is out of range.
            FileExistsError: If `out` exists already.
        """
        from kgrl.learners.adapters.composition import compose
        from kgrl.learners.adapters.folder import save_adapter
        from kgrl.system.files import new_folder

        options = {"weight": self.weight, "density": self.density}
        # Only what is given: each method has defaults of its own, and some take no density.
        given = {name: value for name, value in options.items() if value is not None}
        adapters = [adapter for run in self.runs for adapter in _read(run)]
        composed = compose(adapters, self.method, seed=self.seed, **given)
        # The folder appears when it is complete, so that an interruption leaves no half of an adapter.
        with new_folder(self.out) as folder:
            save_adapter(composed, folder)
        _show(adapters, composed, self.out)
        return {
            "method": self.method,
            **options,
            "base_model": composed.base,
            "rank": composed.rank,
            "tokens": composed.facts.tokens,
            "sources": [_figures(adapter) for adapter in adapters],
            "out": str(self.out),
        }


def _read(folder: Path) -> list[Adapter]:
    """Return the adapters of a run folder, or the adapter of an adapter folder."""
    from kgrl.learners.adapters.folder import is_adapter, read_adapter

    if is_adapter(folder):
        return [read_adapter(folder)]
    found = sorted(path for path in (folder / "adapters").glob("*") if is_adapter(path))
    if not found:
        what = "is neither an adapter folder nor a run folder with adapters" if folder.is_dir() else "is not there"
        raise KgrlError(f"{folder} {what}; `kgrl run --learner lora` writes runs with adapters")
    # Every run calls its adapter `curriculum`, so the run's name is put before it.
    return [replace(adapter, name=f"{folder.name}/{adapter.name}") for adapter in map(read_adapter, found)]


def _figures(adapter: Adapter) -> dict[str, Any]:
    facts = adapter.facts
    return {"adapter": adapter.name, "corpus": facts.corpus, "topics": len(facts.titles), "tokens": facts.tokens}


def _show(adapters: Sequence[Adapter], composed: Adapter, out: Path) -> None:
    rows = [list(_figures(adapter).values()) for adapter in adapters]
    show_table("Adapters", ["adapter", "corpus", "topics", "tokens"], rows)
    facts = [("composed by", composed.facts.method), ("base model", composed.base), ("rank", composed.rank)]
    show_facts("", [*facts, ("written", out)])
