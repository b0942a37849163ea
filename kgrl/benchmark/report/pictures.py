"""Main pictures of a benchmark as PNG files, drawn by matplotlib: on white, for papers and slides."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.computed import Computed
from kgrl.benchmark.report.figures import PHASE_COLOURS
from kgrl.benchmark.report.results import PlaceKey, Row, by_agent
from kgrl.benchmark.scores import CEILING
from kgrl.report.interference import INK, QUIET, one_line, write_plainly
from kgrl.system.files import replacing

__all__ = ["draw_pictures"]

_GRID = "#e3e6ec"
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_WASHES = {"better": "#bcdcf8", "worse": "#fbd0ae", "not distinguishable": "#e8eaef", "missing": "#ffffff"}
_SIGNS = {"better": "+", "worse": "−", "not distinguishable": "≈", "missing": "missing"}
_ROW = 0.24
"""Inches of a row with an agent's name."""

_ACROSS = 3
"""Most places beside one another."""


def draw_pictures(computed: Computed, folder: Path) -> None:
    """Draw verdicts, curves, aggregates and costs of each learner, and forgetting and noise budgets of all.

    Args:
        computed: The benchmark's figures.
        folder: The folder of the pictures; files are replaced atomically.
    """
    for name, figure in _pictures(computed):
        # A canvas of its own instead of pyplot, which keeps every figure and may want a display.
        FigureCanvasAgg(figure)
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", facecolor="white")


def _pictures(computed: Computed) -> Iterator[tuple[str, Figure]]:
    for at, (learner, places) in enumerate(computed.results.learners.items()):
        # A learner can have any name, a path for example; the number tells two apart whose names become the same.
        stem = f"{at}-{''.join(c if c.isalnum() or c in '-._' else '_' for c in learner)[:40]}"
        yield f"verdicts-{stem}", _verdicts(computed, learner, places)
        yield f"curves-{stem}", _curves(computed, places)
        yield f"aggregates-{stem}", _aggregates(computed, learner)
        yield f"cost-{stem}", _cost(computed.mean_costs[learner])
    for name, rows_of, title in (
        ("forgetting", computed.kept, "forgetting, nats per token"),
        ("noise_share", computed.noise, "share of tokens spent on noise"),
    ):
        found = {place: rows for place, rows in rows_of.items() if rows}
        if found:
            yield name.replace("_share", ""), _dots_by_place(found, name, title, computed)


def _verdicts(computed: Computed, learner: str, places: Sequence[PlaceKey]) -> Figure:
    agents = computed.results.agents(learner)
    figure = _figure(2.2 + 1.15 * len(places), 1.3 + _ROW * len(agents))
    axes = figure.add_subplot()
    for column, place in enumerate(places):
        rows = {row["agent"]: row for row in computed.verdicts[place]}
        for line, agent in enumerate(agents):
            _verdict(axes, column, line, rows[agent])
    axes.set_xlim(-0.5, len(places) - 0.5)
    # The task in lines that fit over a column, and the corpus.
    tasks = [textwrap.wrap(place.task, 18, break_long_words=False) for place in places]
    headings = ["\n".join([*task, place.corpus]) for task, place in zip(tasks, places, strict=True)]
    axes.set_xticks(range(len(places)), headings)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    _name_rows(axes, agents)
    axes.grid(visible=False)
    figure.supxlabel("AULC below random's, nats per token: + better, − worse, ≈ not distinguishable", fontsize=8)
    return figure


def _verdict(axes: Axes, column: int, line: int, row: Row) -> None:
    """One cell of the overview: a verdict's colour, its sign and the difference."""
    own = row["agent"] == BASELINE and row["seeds"]
    word = "not distinguishable" if own else row["verdict"]
    # A little less than 1 by 1, which leaves white lines between cells.
    axes.fill_between([column - 0.47, column + 0.47], line - 0.44, line + 0.44, color=_WASHES[word], linewidth=0)
    known = row["difference"] is not None
    gain = f"{_SIGNS[word]} {abs(row['difference']):.3f}" if known else _SIGNS["missing"]
    # The sign of a verdict says on which side of 0 the difference is; without a verdict the number has to.
    if known and word == "not distinguishable":
        gain = f"≈ {-row['difference']:+.3f}"
    axes.text(column, line, "baseline" if own else gain, ha="center", va="center", fontsize=7.5, color=INK)


def _curves(computed: Computed, places: Sequence[PlaceKey]) -> Figure:
    across = min(_ACROSS, len(places))
    down = -(-len(places) // across)  # rounded up
    figure = _figure(4.2 * across, 3.0 * down + 0.8)
    drawn: dict[str, Artist] = {}
    for at, place in enumerate(places, start=1):
        axes = figure.add_subplot(down, across, at)
        _title(axes, f"{place.task} on {place.corpus}{_without(computed, place)}")
        for agent, points in by_agent(computed.curves[place]).items():
            look = computed.looks[agent]
            if look.shown:
                x = [point["tokens"] for point in points]
                (drawn[agent],) = axes.plot(
                    x, [point["loss"] for point in points], linewidth=1.6, color=look.colour, ls=_DASHES[look.dash]
                )
                low, high = ([point[side] for point in points] for side in ("low", "high"))
                axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
        axes.set_xlabel("tokens trained on")
        axes.set_ylabel("exam loss, nats per token")
    _legend(figure, drawn)
    return figure


def _without(computed: Computed, place: PlaceKey) -> str:
    """A second line of a title, which says how many cells have no figures; empty if all have."""
    cells = sum(gap.cells for gap in computed.results.gaps_of(place))
    return f"\n(cells that failed or are missing: {cells})" if cells else ""


def _aggregates(computed: Computed, learner: str) -> Figure:
    rows = computed.aggregates[learner]
    figure = _figure(12.5, max(3.6, 1.2 + _ROW * len(rows)))
    profile, score, better = (figure.add_subplot(1, 3, at) for at in (1, 2, 3))
    drawn: dict[str, Artist] = {}
    for agent, points in by_agent(computed.profiles[learner]).items():
        look = computed.looks[agent]
        if look.shown:
            x, y = [point["threshold"] for point in points], [point["share"] for point in points]
            (drawn[agent],) = profile.step(x, y, where="post", linewidth=1.6, color=look.colour, ls=_DASHES[look.dash])
    profile.set_xlabel(f"normalised score: 0 {BASELINE}, 1 {CEILING}")
    profile.set_ylabel("share of runs above")
    _quieten(profile)
    _legend(figure, drawn)
    _dots(score, rows, "score", "normalised score", computed, mark=0.0)
    others = [row for row in rows if row["agent"] != BASELINE]
    _dots(better, others, "improvement", f"probability of improvement over {BASELINE}", computed, mark=0.5)
    return figure


def _cost(rows: Sequence[Row]) -> Figure:
    figure = _figure(8, 1.4 + _ROW * len(rows))
    axes, start, drawn = figure.add_subplot(), np.zeros(len(rows)), dict[str, Artist]()
    for phase, colour in PHASE_COLOURS.items():
        shares = np.array([row[f"share_{phase}"] or 0.0 for row in rows])
        drawn[phase] = axes.barh(range(len(rows)), shares, left=start, color=colour, height=0.7).patches[0]
        start += shares
    for at, row in enumerate(rows):
        if row["seconds"] is None:
            _say_missing(axes, at)
    _name_rows(axes, [row["agent"] for row in rows])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of a cell's seconds")
    _legend(figure, drawn)
    return figure


def _dots_by_place(found: dict[PlaceKey, Sequence[Row]], name: str, title: str, computed: Computed) -> Figure:
    across = min(_ACROSS, len(found))
    down, tallest = -(-len(found) // across), max(len(rows) for rows in found.values())
    figure = _figure(4.4 * across, down * (1.1 + _ROW * tallest))
    for at, (place, rows) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(down, across, at)
        _title(axes, place.name + _without(computed, place))
        _dots(axes, rows, name, title, computed)
    return figure


def _dots(
    axes: Axes, rows: Sequence[Row], name: str, title: str, computed: Computed, *, mark: float | None = None
) -> None:
    """Draw a figure of each agent with its interval, or the word "missing"."""
    for at, row in enumerate(rows):
        if row.get(name) is None:
            _say_missing(axes, at)
            continue
        low, high = (row[name] if row[side] is None else row[side] for side in (f"{name}_low", f"{name}_high"))
        colour = computed.looks[row["agent"]].colour
        axes.plot([low, high], [at, at], color=colour, linewidth=1.6, solid_capstyle="round")
        axes.plot([row[name]], [at], "o", color=colour, markersize=5)
    if mark is not None:
        axes.axvline(mark, color=QUIET, linewidth=1, linestyle=":")
    _name_rows(axes, [row["agent"] for row in rows])
    axes.set_xlabel(title)


def _say_missing(axes: Axes, at: int) -> None:
    axes.text(0.02, at, "missing", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color=QUIET)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [one_line(name) for name in names])
    # Downward, so that the first agent is at the top.
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
    _quieten(axes)


def _title(axes: Axes, text: str) -> None:
    axes.set_title("\n".join(one_line(line, 60) for line in text.split("\n")), fontsize=9.5, loc="left")
    _quieten(axes)


def _quieten(axes: Axes) -> None:
    """Draw light lines, and names as plain text, never as formulas."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK)
    axes.grid(visible=True, color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    write_plainly(axes.findobj(Text))


def _legend(figure: Figure, drawn: dict[str, Artist]) -> None:
    if not drawn:
        return
    names = [one_line(name) for name in drawn]
    legend = figure.legend(list(drawn.values()), names, loc="outside upper left", ncols=6, fontsize=8, frameon=False)
    write_plainly(legend.get_texts())
