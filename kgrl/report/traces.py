"""The page about traces: how long, how often they return, how tight, from which category to which."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from kgrl.report.figures import RUN_COLOURS, _layout
from kgrl.report.page import _card, _document, _figure, _grid, _section
from kgrl.system.files import write_text
from kgrl.traces.statistics import TraceStats

__all__ = ["lengths_figure", "moves_figure", "shares_figure", "write_trace_report"]

_CATEGORIES = 14
"""Categories that a picture of moves has room for."""
_SHOWN_OF_LENGTHS = 0.99
_COLUMNS = ("traces", "steps", "mean length", "median length", "longest")
_SHARES = {
    "back clicks": "of the steps",
    "return rate": "of the steps",
    "clustering": "0 to 1",
    "within category": "of the forward clicks",
}
_NOTE = (
    "A step is a forward click or a back click; the length of a trace is its number of steps. A step returns if it "
    "leads to a page opened before in the same trace. Clustering is the mean share of linked pairs among the "
    "neighbours of a page, within the pages that a trace opened."
)
# The page's script shows the ends of a colour scale that this page has not.
_NO_SCALE = "<span hidden><b data-low></b><b data-high></b></span>"


def write_trace_report(path: Path, title: str, stats: Mapping[str, TraceStats]) -> None:
    """Write a page about traces, by source, atomically.

    Args:
        path: The HTML file.
        title: The page's heading.
        stats: The figures of each source, as `kgrl.traces.statistics.trace_stats` gathers them.

    Raises:
        ValueError: If there is no source.
    """
    if not stats:
        raise ValueError("a report needs traces")
    moved = {name: of_source for name, of_source in stats.items() if of_source.moves}
    body = [
        f"<header><h1>{html.escape(title)}</h1><p>{_lead(stats)}</p></header>{_NO_SCALE}",
        _section("Figures", _table(stats)),
        _section("Lengths", _card(_figure(lengths_figure(stats)))),
        _section("Returns and tightness", _card(_figure(shares_figure(stats)))),
    ]
    if moved:
        body.append(_section("Category moves", _grid(_moves(*item) for item in moved.items())))
    write_text(path, _document(html.escape(title), "\n".join(body)))


def lengths_figure(stats: Mapping[str, TraceStats]) -> go.Figure:
    """Draw the share of traces by number of steps, one line a source, up to where 99% of every source have ended."""
    figure = go.Figure(layout=_layout(height=360))
    for (name, of_source), colour in zip(stats.items(), _colours(len(stats)), strict=True):
        lengths = np.arange(max(of_source.lengths) + 1)
        shares = np.array([of_source.lengths[length] for length in lengths.tolist()]) / of_source.traces
        shown = shares.cumsum() - shares < _SHOWN_OF_LENGTHS
        figure.add_scatter(
            x=lengths[shown].tolist(),
            y=shares[shown].tolist(),
            name=html.escape(name),
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{x} steps: %{y:.1%}",
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_xaxes(title="steps", rangemode="tozero")
    figure.update_yaxes(title="share of traces", tickformat=".0%", rangemode="tozero")
    return figure


def shares_figure(stats: Mapping[str, TraceStats]) -> go.Figure:
    """Draw share of back clicks, return rate, clustering and share within a category as bars, grouped by figure."""
    figure = go.Figure(layout=_layout(height=360))
    for (name, of_source), colour in zip(stats.items(), _colours(len(stats)), strict=True):
        marker = {"color": colour}
        figure.add_bar(x=list(_SHARES), y=_shares(of_source), name=html.escape(name), marker=marker)
    figure.update_traces(hovertemplate="%{x}: %{y:.3f}")
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_yaxes(rangemode="tozero")
    return figure


def moves_figure(stats: TraceStats) -> go.Figure:
    """Draw where forward clicks lead: for each category, the shares of the categories they go to."""
    names, counts = stats.category_matrix(_CATEGORIES)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    labels = [html.escape(name) for name in names]
    figure = go.Figure(layout=_layout(height=560))
    figure.add_heatmap(
        # By number, since two categories may have one name once the rest is called "other".
        z=shares.tolist(),
        customdata=counts.tolist(),
        colorscale=[[0, "rgba(99,102,241,0.04)"], [1, "#6366f1"]],
        showscale=False,
        hovertemplate="%{y} to %{x}<br>%{z:.1%}, %{customdata:,} clicks<extra></extra>",
    )
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": labels, "automargin": True}
    figure.update_xaxes(title="to", tickangle=-40, **ticks)
    figure.update_yaxes(title="from", autorange="reversed", **ticks)
    return figure


def _lead(stats: Mapping[str, TraceStats]) -> str:
    traces = sum(of_source.traces for of_source in stats.values())
    names = ", ".join(html.escape(name) for name in stats)
    return f"{traces:,} rabbit holes, recorded by {names}."


def _table(stats: Mapping[str, TraceStats]) -> str:
    units = {**dict.fromkeys(_COLUMNS, ""), **_SHARES}
    heads = "".join(f'<th scope="col">{name}<small>{unit}</small></th>' for name, unit in units.items())
    rows = "".join(_row(*item) for item in stats.items())
    table = f'<table><thead><tr><th scope="col">source</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return _card(f'<div class="scroll">{table}</div>') + f'<p class="note">{_NOTE}</p>'


def _row(name: str, stats: TraceStats) -> str:
    length = stats.figures()["length"]
    numbers = [f"{stats.traces:,}", f"{stats.steps:,}", f"{length['mean']:.2f}", f"{length['median']:g}"]
    shares = ["none" if share is None else f"{share:.3f}" for share in _shares(stats)]
    cells = "".join(f"<td>{cell}</td>" for cell in [*numbers, f"{length['max']:,}", *shares])
    return f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'


def _shares(stats: TraceStats) -> list[float | None]:
    return [stats.back_share, stats.return_rate, stats.clustering, stats.within_category]


def _moves(name: str, stats: TraceStats) -> str:
    caption = f"{stats.moves.total():,} forward clicks, {stats.within_category:.1%} within a category"
    return f"<h3>{html.escape(name)}</h3><p>{caption}</p>{_figure(moves_figure(stats))}"


def _colours(number: int) -> list[str]:
    """One colour a source; the grey is left to baselines."""
    return [RUN_COLOURS[1 + at % (len(RUN_COLOURS) - 1)] for at in range(number)]
