"""Figures of a benchmark's page, drawn by plotly.

A trace that belongs to an agent has the agent's name as its `meta`, by which the page shows and hides agents in all
figures at once. Plotly reads names as a small HTML of its own, so they are escaped here, as in `kgrl.report.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.results import PHASES, Results, Row, by_agent
from kgrl.benchmark.scores import CEILING
from kgrl.report.figures import base_layout, label

__all__ = ["PHASE_COLOURS", "Look", "dots_figure", "exam_curves_figure", "looks", "phases_figure", "profiles_figure"]

_COLOURS = ("#3b82f6", "#e08a00", "#10a37f", "#d6479a", "#8b5cf6", "#0ea5c6", "#dd4b39", "#7c9a0c", "#a8693a")
"""Colours of agents, legible on light and on dark; dashes, names and tables tell agents apart without colours."""

_GREY, _DASHES = "#858da0", ("solid", "dash", "dot", "dashdot")
_SVG_DASHES = {"solid": "none", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}
PHASE_COLOURS = dict(zip(PHASES, ("#3b82f6", "#e08a00", "#10a37f", "#8b5cf6", "#0ea5c6", "#858da0"), strict=True))
"""Colours of the phases of a cell's seconds."""

_BEST, _FEW = 4, 8
"""Best agents of each learner that are shown first, and most agents that are all shown first."""

_ALWAYS = (BASELINE, CEILING, "curiosity", "ppo")
"""Agents that are always shown first."""

_ROW = 24
"""Pixels of a row with an agent's name."""


@dataclass(frozen=True)
class Look:
    """Look of an agent's lines and dots, the same in all figures.

    Args:
        colour: Its colour, as `#rrggbb`.
        dash: Its dashes, by plotly's names.
        shown: True if it is shown before the reader chooses.
    """

    colour: str
    dash: str
    shown: bool

    @property
    def svg_dashes(self) -> str:
        """The dashes as SVG writes them."""
        return _SVG_DASHES[self.dash]


def looks(results: Results) -> dict[str, Look]:
    """Return the look of each agent of a benchmark; random is grey, and the best agents have colours of their own.

    If there are more than eight agents, those shown first are random, the four best with any learner, the oracle and
    the trained agents.
    """
    orders = [results.agents(learner) for learner in results.learners]
    best = {agent for order in orders for agent in [name for name in order if name not in _ALWAYS][:_BEST]}
    # The learner with the most agents gives the order; colours run out after nine agents, dashes after 36.
    names = list(dict.fromkeys(agent for order in sorted(orders, key=len, reverse=True) for agent in order))
    found, others = {}, [name for name in names if name != BASELINE]
    for at, name in enumerate(others):
        dash = _DASHES[at // len(_COLOURS) % len(_DASHES)]
        shown = len(names) <= _FEW or name in best or name in _ALWAYS
        found[name] = Look(_COLOURS[at % len(_COLOURS)], dash, shown)
    return {name: found.get(name, Look(_GREY, "solid", True)) for name in names}


def exam_curves_figure(rows: Sequence[Row], drawn: Mapping[str, Look]) -> go.Figure:
    """Draw exam loss over tokens for each agent: the interquartile mean over seeds and its pointwise interval.

    Args:
        rows: Rows of `kgrl.benchmark.report.results.curves`.
        drawn: The agents' looks.
    """
    figure = go.Figure(layout=base_layout(height=380))
    for agent, points in by_agent(rows).items():
        tokens = [round(point["tokens"]) for point in points]
        # The band's outline: along the upper limit, and back along the lower one.
        band = [*(point["high"] for point in points), *(point["low"] for point in reversed(points))]
        look = drawn[agent]
        red, green, blue = (int(look.colour[at : at + 2], 16) for at in (1, 3, 5))
        figure.add_scatter(
            x=[*tokens, *reversed(tokens)],
            y=_rounded(band),
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.14)",
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
        rows: Rows of `kgrl.benchmark.report.results.profiles`.
        drawn: The agents' looks.
    """
    figure = go.Figure(layout=base_layout(height=400))
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
    """Draw one figure of each agent as a dot with its interval, or the word "missing" for an agent without the figure.

    Args:
        rows: Rows of `agent`, the figure and its limits.
        name: The figure; its limits are `NAME_low` and `NAME_high`.
        title: The axis's title.
        drawn: The agents' looks.
        mark: Place of a line to compare with, or None.
    """
    agents = [row["agent"] for row in rows]
    known = [(at, row) for at, row in enumerate(rows) if row.get(name) is not None]
    high, low = (_rounded([_reach(row, name, side) for _, row in known]) for side in ("high", "low"))
    figure = go.Figure(layout=base_layout(height=_ROW * len(rows) + 84))
    figure.add_scatter(
        x=_rounded([row[name] for _, row in known]),
        y=[at for at, _ in known],
        error_x={"array": high, "arrayminus": low, "color": _GREY, "thickness": 1.6, "width": 0},
        marker={"size": 9, "color": [drawn[row["agent"]].colour for _, row in known]},
        mode="markers",
        hovertext=[label(row["agent"]) for _, row in known],
        hovertemplate="%{hovertext}: %{x:.4g}<extra></extra>",
    )
    if mark is not None:
        figure.add_vline(x=mark, line={"dash": "dot", "color": "#94a3b8", "width": 1.4})
    _say_missing(figure, sorted(set(range(len(rows))) - {at for at, _ in known}))
    _name_rows(figure, agents)
    figure.update_xaxes(title=title)
    return figure


def phases_figure(rows: Sequence[Row]) -> go.Figure:
    """Draw the shares of a cell's seconds by phase, one bar an agent.

    Args:
        rows: Rows of `kgrl.benchmark.report.results.costs`, or their means.
    """
    figure = go.Figure(layout=base_layout(height=_ROW * len(rows) + 110))
    for phase in PHASES:
        figure.add_bar(
            x=_rounded([row[f"share_{phase}"] or 0.0 for row in rows]),
            y=list(range(len(rows))),
            orientation="h",
            name=phase,
            marker={"color": PHASE_COLOURS[phase]},
            hovertext=[label(row["agent"]) for row in rows],
            hovertemplate="%{hovertext}: " + phase + " %{x:.1%}<extra></extra>",
        )
    _say_missing(figure, [at for at, row in enumerate(rows) if row["seconds"] is None])
    figure.update_layout(barmode="stack", bargap=0.25, legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0})
    # Plotly lists the bars of a stack in reverse.
    figure.update_layout(legend_traceorder="normal")
    _name_rows(figure, [row["agent"] for row in rows])
    figure.update_layout(margin_t=40)
    figure.update_xaxes(title="share of a cell's seconds", tickformat=".0%", range=[0, 1])
    return figure


def _name_rows(figure: go.Figure, agents: Sequence[str]) -> None:
    # Rows are numbers, names only their ticks: plotly would read a name like "7" or "2024-01" as a number or a date.
    ticks = {"tickvals": list(range(len(agents))), "ticktext": [label(agent) for agent in agents]}
    # The range runs downward, so that the first agent is at the top.
    figure.update_yaxes(tickmode="array", range=[len(agents) - 0.5, -0.5], automargin=True, **ticks)
    figure.update_layout(margin={"l": 8, "r": 16, "t": 12, "b": 48}, showlegend=len(figure.data) > 1)


def _say_missing(figure: go.Figure, rows: Sequence[int]) -> None:
    for at in rows:
        figure.add_annotation(x=0, xref="paper", xanchor="left", y=at, text="missing", showarrow=False, opacity=0.75)


def _line(agent: str, look: Look, form: str) -> dict[str, object]:
    width = 3.2 if agent == BASELINE else 2.2
    return {
        "name": label(agent),
        "mode": "lines",
        "line": {"color": look.colour, "dash": look.dash, "width": width},
        "meta": agent,
        "visible": look.shown,
        "hovertemplate": f"%{{fullData.name}}: %{{y:{form}}}<extra></extra>",
    }


def _reach(row: Row, name: str, side: str) -> float:
    """Distance of an interval's limit from its figure; 0, which draws nothing, for a limit that is open."""
    limit = row.get(f"{name}_{side}")
    return 0.0 if limit is None else abs(limit - row[name])


def _rounded(values: Sequence[float]) -> list[float]:
    """Numbers to five digits: a figure shows no more, and the page is half as large."""
    return [float(f"{value:.5g}") for value in values]
