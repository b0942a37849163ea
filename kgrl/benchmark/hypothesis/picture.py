"""The effect by distance as a small picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kgrl.system.files import replacing

__all__ = ["draw_distances"]

_RAW, _ADJUSTED, _QUIET = "#9aa3b5", "#2457c5", "#626b7d"
_COLUMNS, _CELL = 3, (3.4, 2.7)


def draw_distances(path: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the drop of the loss at each distance from 1 on, as measured and with similarity and popularity held fixed.

    Args:
        path: A PNG file; replaced atomically.
        tables: Tables of `by_distance` by the name of the panel; at least one.
    """
    columns = min(_COLUMNS, len(tables))
    rows = -(-len(tables) // columns)
    figure = Figure(figsize=(_CELL[0] * columns, _CELL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, table) in enumerate(tables.items(), start=1):
        _panel(figure.add_subplot(rows, columns, place), name, table)
    figure.axes[0].legend(frameon=False, fontsize=7)
    figure.supxlabel("links from the learned topic", fontsize=8)
    figure.supylabel("drop of the loss, nats per token", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _panel(axes: Axes, name: str, table: Sequence[Mapping[str, Any]]) -> None:
    lines = [line for line in table if line["distance"] != "0"]
    at = {line["distance"]: place for place, line in enumerate(lines)}
    axes.axhline(0, color=_QUIET, linewidth=0.6)
    _errors(axes, list(at.values()), lines, "drop", 0.0, _RAW, "as measured")
    adjusted = [line for line in lines if "adjusted_difference_from_1" in line]
    if adjusted and "1" in at:
        base = lines[at["1"]]["drop"]
        places = [at[line["distance"]] + 0.12 for line in adjusted]
        _errors(
            axes, places, adjusted, "adjusted_difference_from_1", base, _ADJUSTED, "at the covariates of distance 1"
        )
    axes.set_xticks(list(at.values()), list(at))
    axes.set_title(name, fontsize=8)
    axes.tick_params(labelsize=7)


def _errors(
    axes: Axes,
    places: Sequence[float],
    lines: Sequence[Mapping[str, Any]],
    name: str,
    base: float,
    colour: str,
    label: str,
) -> None:
    values = [base + line[name] for line in lines]
    below = [line[name] - line[f"{name}_low"] for line in lines]
    above = [line[f"{name}_high"] - line[name] for line in lines]
    axes.errorbar(places, values, [below, above], fmt="o", markersize=3.5, capsize=2, color=colour, label=label)
