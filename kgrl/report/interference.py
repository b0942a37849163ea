"""Picture of an interference matrix, drawn by matplotlib: which adapter helps which neighbourhood, and which it harms.

`one_line` and `write_plainly` serve every picture with names from unchecked data.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from kgrl.errors import KgrlError
from kgrl.learners.neighbourhoods.interference import Interference
from kgrl.system.files import replacing

__all__ = ["INK", "QUIET", "draw_interference", "interference_figure", "one_line", "write_plainly"]

INK, QUIET = "#1c2230", "#626b7d"
"""Colours of text on white paper: of names and numbers, and of the words around them."""

_FORMATS = (".png", ".svg")
_COLOURS, _PAPER = "RdBu", "#ffffff"

_CELL, _MARGIN = 0.95, (4.4, 3.2)
"""Inches of a cell's side, and of the space beside and above the cells."""

_DARK = 0.6
"""Share of the colour scale from which on a cell's value is written in white."""

_CAPTION = (
    "Loss of the base model minus loss with an adapter, in nats per token on held-out passages. "
    "Positive (blue): the adapter helps; negative (red): it harms."
)


def draw_interference(path: Path, measured: Interference, names: Sequence[str]) -> None:
    """Draw an interference matrix into a file; see `interference_figure`.

    Args:
        path: The picture, PNG or SVG by its ending; replaced atomically.
        measured: The matrix.
        names: Names of the neighbourhoods, in the order of its columns.

    Raises:
        KgrlError: If the path has another ending.
        ValueError: If there are not as many names as neighbourhoods.
    """
    if path.suffix.lower() not in _FORMATS:
        raise KgrlError(f"cannot draw to {str(path)!r}: the ending must be one of {', '.join(_FORMATS)}")
    figure = interference_figure(measured, names)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), facecolor=_PAPER)


def interference_figure(measured: Interference, names: Sequence[str]) -> Figure:
    """Return a heat map of what each adapter takes off each neighbourhood's loss, with the values in its cells.

    Rows are adapters, columns neighbourhoods with the base model's own loss below their names. The colours are centred
    at 0: blue where an adapter helps, red where it harms.

    Args:
        measured: The matrix.
        names: Names of the neighbourhoods, in the order of its columns.

    Raises:
        ValueError: If there are not as many names as neighbourhoods.
    """
    if len(names) != measured.losses.shape[1]:
        raise ValueError(f"{measured.losses.shape[1]} neighbourhoods and {len(names)} names")
    drops = measured.drops  # [adapters, neighbourhoods]
    height, width = drops.shape
    size = (_CELL * width + _MARGIN[0], _CELL * height + _MARGIN[1])
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    limit = float(np.abs(drops).max(initial=0)) or 1.0
    image = axes.imshow(drops, cmap=_COLOURS, vmin=-limit, vmax=limit)
    for (row, column), drop in np.ndenumerate(drops):
        colour = _PAPER if abs(drop) > _DARK * limit else INK
        # "z" writes a value that is rounded to 0 without a minus.
        axes.text(column, row, f"{drop:+z.2f}", ha="center", va="center", fontsize=10, color=colour)
    # The last row of the losses is the base model's.
    columns = [f"{one_line(name)}\nbase {loss:.2f}" for name, loss in zip(names, measured.losses[-1], strict=True)]
    _label(axes, columns, [one_line(name) for name in measured.adapters])
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, aspect=30)
    bar.set_label("harms < 0 < helps, nats per token", color=QUIET)
    bar.outline.set_visible(False)
    # Some twelve characters of the caption fit into an inch.
    figure.supxlabel(textwrap.fill(_CAPTION, int(size[0] * 12)), x=0.02, ha="left", fontsize=9, color=QUIET)
    return figure


def _label(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Write the names of columns above the cells, and those of rows beside them."""
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelcolor=INK, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("measured on", color=QUIET, loc="left")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("adapter", color=QUIET)
    write_plainly([*axes.get_xticklabels(), *axes.get_yticklabels()])


def one_line(name: str, most: int = 30) -> str:
    """Return a name as one short line of characters that fonts can show.

    Args:
        name: The name.
        most: Most characters; a longer name ends in an ellipsis.

    Example:
        >>> one_line("History of" + chr(10) + "Mathematics", most=12)
        'History of…'
    """
    line = "".join(character for character in " ".join(name.split()) if character.isprintable())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def write_plainly(texts: Iterable[Artist]) -> None:
    """Draw texts as plain text: matplotlib would read dollar signs in a name as the ends of a formula."""
    for text in texts:
        assert isinstance(text, Text)
        text.set_parse_math(False)
