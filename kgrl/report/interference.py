"""The interference matrix as a picture: which adapter helps which neighbourhood, and which it harms."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray

from kgrl.errors import KgrlError
from kgrl.learners.neighbourhoods.interference import Interference
from kgrl.system.files import replacing

__all__ = ["draw_interference"]

_FORMATS = (".png", ".svg")
_COLOURS, _INK, _QUIET, _PAPER = "RdBu", "#1c2230", "#626b7d", "#ffffff"
_LONGEST_NAME = 30
_CELL, _MARGIN = 0.95, (4.4, 3.2)
"""Inches of a cell's side, and of what is beside and above the cells."""
_DARK = 0.6
"""Share of the colour scale from which a cell's value is written in white."""
_CAPTION = (
    "Loss of the base model minus loss with an adapter, in nats per token on held-out passages. "
    "Positive (blue): the adapter helps; negative (red): it harms."
)


def draw_interference(path: Path, measured: Interference, names: Sequence[str]) -> None:
    """Draw what each adapter takes off each neighbourhood's loss, as a heat map with the values in its cells.

    Rows are adapters, columns neighbourhoods with the base model's own loss below their names. The colours are centred
    at 0: blue where an adapter helps, red where it harms.

    Args:
        path: The picture, PNG or SVG by its ending; replaced atomically.
        measured: The matrix.
        names: Names of the neighbourhoods, in the order of its columns.

    Raises:
        KgrlError: If the ending is another.
        ValueError: If there are not as many names as neighbourhoods.
    """
    if path.suffix.lower() not in _FORMATS:
        raise KgrlError(f"cannot draw to {str(path)!r}: the ending must be one of {', '.join(_FORMATS)}")
    if len(names) != measured.losses.shape[1]:
        raise ValueError(f"{measured.losses.shape[1]} neighbourhoods and {len(names)} names")
    figure = _figure(measured, names)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), facecolor=_PAPER)


def _figure(measured: Interference, names: Sequence[str]) -> Figure:
    drops = measured.drops
    height, width = drops.shape
    size = (_CELL * width + _MARGIN[0], _CELL * height + _MARGIN[1])
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    limit = float(np.abs(drops).max(initial=0)) or 1.0
    image = axes.imshow(drops, cmap=_COLOURS, vmin=-limit, vmax=limit)
    _write_values(axes, drops, limit)
    columns = [f"{_shortened(name)}\nbase {loss:.2f}" for name, loss in zip(names, measured.losses[-1], strict=True)]
    _label(axes, columns, [_shortened(name) for name in measured.adapters])
    _scale(figure, axes, image)
    figure.supxlabel(textwrap.fill(_CAPTION, int(size[0] * 12)), x=0.02, ha="left", fontsize=9, color=_QUIET)
    return figure


def _write_values(axes: Axes, drops: NDArray[np.float64], limit: float) -> None:
    for (row, column), drop in np.ndenumerate(drops):
        colour = _PAPER if abs(drop) > _DARK * limit else _INK
        axes.text(column, row, f"{drop:+z.2f}", ha="center", va="center", fontsize=10, color=colour)


def _label(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Write the names at the cells; one that has dollar signs is no formula."""
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelcolor=_INK, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("measured on", color=_QUIET, loc="left")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("adapter", color=_QUIET)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        assert isinstance(label, Text)
        label.set_parse_math(False)


def _scale(figure: Figure, axes: Axes, image: AxesImage) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, aspect=30)
    bar.set_label("harms < 0 < helps, nats per token", color=_QUIET)
    bar.outline.set_visible(False)


def _shortened(name: str) -> str:
    """A name as one short line of characters that fonts can show."""
    line = "".join(character for character in " ".join(name.split()) if character.isprintable())
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1].rstrip() + "…"
