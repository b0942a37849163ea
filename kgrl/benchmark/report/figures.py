"""The pictures of a benchmark's report, as plotly figures.

A trace that belongs to an agent says so in its `meta`, by which the page shows and hides agents in all figures at once.
Plotly reads names as its own small HTML, so they are escaped here.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.results import PHASES, Results, Row, by_agent
from kgrl.benchmark.scores import CEILING
from kgrl.report.figures import _layout

__all__ = ["PHASE_COLOURS", "Look", "dots_figure", "exam_curves_figure", "looks", "phases_figure", "profiles_figure"]

_COLOURS = ("#3b82f6", "#e08a00", "#10a37f", "#d6479a", "#8b5cf6", "#0ea5c6", "#dd4b39", "#7c9a0c", "#a8693a")
"""Legible on light and on dark; who cannot tell two of them apart has the dashes, the names and the tables."""

_GREY, _DASHES = "#858da0", ("solid", "dash", "dot", "dashdot")
PHASE_COLOURS = dict(zip(PHASES, ("#3b82f6", "#e08a00", "#10a37f", "#8b5cf6", "#0ea5c6", "#858da0"), strict=True))
_BEST, _FEW = 4, 8
_ALWAYS = (BASELINE, CEILING, "curiosity", "ppo")
_ROW = 24


@dataclass(frozen=True)
class Look:
    """How an agent is drawn, the same everywhere.

    Args:
        colour: Its colour.
        dash: Its dashes, by plotly's names.
        shown: Whether it is shown before the reader chooses.
    """

    colour: str
    dash: str
    shown: bool


def looks(results: Results) -> dict[str, Look]:
    """Return how each agent of a benchmark is drawn; random is grey, and the best have colours of their own.

    Of many agents, random, the four that are best with any learner, the oracle and the trained ones are shown first.
    """
    orders = [results.agents(learner) for learner in results.learners]
    best = {agent for order in orders for agent in [name for name in order if name not in _ALWAYS][:_BEST]}
    names = list(dict.fromkeys(agent for order in sorted(orders, key=len, reverse=True) for agent in order))
    found, others = {}, [name for name in names if name != BASELINE]
    for at, name in enumerate(others):
        dash = _DASHES[at // len(_COLOURS) % len(_DASHES)]
        shown = len(names) <= _FEW or name in best or name in _ALWAYS
        found[name] = Look(_COLOURS[at % len(_COLOURS)], dash, shown)
    return {name: found.get(name, Look(_GREY, "solid", True)) for name in names}


def exam_curves_figure(rows: Sequence[Row], drawn: Mapping[str, Look]) -> go.Figure:
    """Draw the exam's loss over tokens, the interquartile mean over seeds and its pointwise interval, for each agent.

    Args:
        rows: What `kgrl.benchmark.report.results.curves` returns.
        drawn: How agents look.
    """
    figure = go.Figure(layout=_layout(height=380))
    for agent, points in by_agent(rows).items():
        tokens = [round(point["tokens"]) for point in points]
        band = [*(point["high"] for point in points), *(point["low"] for point in reversed(points))]
        look = drawn[agent]
        figure.add_scatter(
            x=[*tokens, *reversed(tokens)],
            y=_rounded(band),
            fill="toself",
            fillcolor=_faint(look.colour),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            meta=agent,
            visible=look.shown,
        )
        figure.add_scatter(x=tokens, y=_rounded([point["loss"] for point in points]), **_line(agent, look, ".3f"))
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 56, "r": 12, "t": 10, "b": 48})
    figure.update_xaxes(title="tokens trained on", tickformat="~s", rangemode="tozero")
    figure.update_yaxes(title="exam loss, nats per token")
    return figure


def profiles_figure(rows: Sequence[Row], drawn: Mapping[str, Look]) -> go.Figure:
    """Draw performance profiles: the share of runs above each normalised score.

    Args:
        rows: What `kgrl.benchmark.report.results.profiles` returns.
        drawn: How agents look.
    """
    figure = go.Figure(layout=_layout(height=400))
    for agent, points in by_agent(rows).items():
        x, y = _rounded([p["threshold"] for p in points]), _rounded([p["share"] for p in points])
        figure.add_scatter(x=x, y=y, **_line(agent, drawn[agent], ".0%"), line_shape="hv")
    for score in (0, 1):
        figure.add_vline(x=score, line={"dash": "dot", "color": "#94a3b8", "width": 1})
    figure.update_layout(showlegend=False, hovermode="closest", margin={"l": 56, "r": 12, "t": 10, "b": 48})
    figure.update_xaxes(title=f"normalised score: 0 {BASELINE}, 1 {CEILING}")
    figure.update_yaxes(title="share of runs above", tickformat=".0%", range=[-0.02, 1.02])
    return figure


def dots_figure(
    rows: Sequence[Row], name: str, title: str, drawn: Mapping[str, Look], *, mark: float | None = None
) -> go.Figure:
    """Draw one figure of each agent as a dot with its interval; an agent without the figure has the word missing there.

    Args:
        rows: Rows of `agent`, the figure and its limits.
        name: The figure; its limits are `NAME_low` and `NAME_high`.
        title: What the axis says.
        drawn: How agents look.
        mark: Where to draw a line to compare with, or None.
    """
    agents = [row["agent"] for row in rows]
    known = [(at, row) for at, row in enumerate(rows) if row.get(name) is not None]
    high, low = (_rounded([_reach(row, name, side) for _, row in known]) for side in ("high", "low"))
    figure = go.Figure(layout=_layout(height=_ROW * len(rows) + 84))
    figure.add_scatter(
        x=_rounded([row[name] for _, row in known]),
        y=[at for at, _ in known],
        error_x={"array": high, "arrayminus": low, "color": _GREY, "thickness": 1.6, "width": 0},
        marker={"size": 9, "color": [drawn[row["agent"]].colour for _, row in known]},
        mode="markers",
        hovertext=[html.escape(row["agent"]) for _, row in known],
        hovertemplate="%{hovertext}: %{x:.4g}<extra></extra>",
    )
    if mark is not None:
        figure.add_vline(x=mark, line={"dash": "dot", "color": "#94a3b8", "width": 1.4})
    _say_missing(figure, sorted(set(range(len(rows))) - {at for at, _ in known}))
    _name_rows(figure, agents)
    figure.update_xaxes(title=title)
    return figure


def phases_figure(rows: Sequence[Row]) -> go.Figure:
    """Draw the shares of a cell's seconds by agent: learning, probing, exam, research and what is left.

    Args:
        rows: What `kgrl.benchmark.report.results.costs` returns, or means of it.
    """
    figure = go.Figure(layout=_layout(height=_ROW * len(rows) + 110))
    for phase in PHASES:
        figure.add_bar(
            x=_rounded([row[f"share_{phase}"] or 0.0 for row in rows]),
            y=list(range(len(rows))),
            orientation="h",
            name=phase,
            marker={"color": PHASE_COLOURS[phase]},
            hovertext=[html.escape(row["agent"]) for row in rows],
            hovertemplate="%{hovertext}: " + phase + " %{x:.1%}<extra></extra>",
        )
    _say_missing(figure, [at for at, row in enumerate(rows) if row["seconds"] is None])
    figure.update_layout(barmode="stack", bargap=0.25, legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0})
    figure.update_layout(legend_traceorder="normal")
    _name_rows(figure, [row["agent"] for row in rows])
    figure.update_layout(margin_t=40)
    figure.update_xaxes(title="share of a cell's seconds", tickformat=".0%", range=[0, 1])
    return figure


def _name_rows(figure: go.Figure, agents: Sequence[str]) -> None:
    ticks = {"tickvals": list(range(len(agents))), "ticktext": [html.escape(agent) for agent in agents]}
    figure.update_yaxes(tickmode="array", range=[len(agents) - 0.5, -0.5], automargin=True, **ticks)
    figure.update_layout(margin={"l": 8, "r": 16, "t": 12, "b": 48}, showlegend=len(figure.data) > 1)


def _say_missing(figure: go.Figure, rows: Sequence[int]) -> None:
    for at in rows:
        figure.add_annotation(x=0, xref="paper", xanchor="left", y=at, text="missing", showarrow=False, opacity=0.75)


def _line(agent: str, look: Look, form: str) -> dict[str, object]:
    width = 3.2 if agent == BASELINE else 2.2
    return {
        "name": html.escape(agent),
        "mode": "lines",
        "line": {"color": look.colour, "dash": look.dash, "width": width},
        "meta": agent,
        "visible": look.shown,
        "hovertemplate": f"%{{fullData.name}}: %{{y:{form}}}<extra></extra>",
    }


def _reach(row: Row, name: str, side: str) -> float:
    """How far an interval reaches from its figure; nothing is drawn of one that is open."""
    limit = row.get(f"{name}_{side}")
    return 0.0 if limit is None else abs(limit - row[name])


def _rounded(values: Sequence[float]) -> list[float]:
    """Numbers as a picture needs them: five digits, which halves the page."""
    return [float(f"{value:.5g}") for value in values]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"
