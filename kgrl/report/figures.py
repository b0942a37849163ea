"""Figures of a report, drawn by plotly: learning curves, rewards, grown graphs, and figures of traces.

Plotly reads names, titles and hover texts as a small HTML of its own. `markupsafe` therefore escapes every title and
name; unlike `html.escape` it writes quotation marks as numbers, which is the only form of them that plotly knows.
Colours that follow the page's light or dark theme are set by the page; the ones set here are legible on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.subplots import make_subplots

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import TopicGraph
from kgrl.report.data import GrownTree, RunData
from kgrl.report.knowledge import RunKnowledge
from kgrl.traces.statistics import TraceStats

__all__ = [
    "SHARES",
    "base_layout",
    "components_figure",
    "curves_figure",
    "label",
    "lengths_figure",
    "moves_figure",
    "shares_figure",
    "standing_figure",
    "trace_shares",
    "tree_figure",
]

_LONGEST = 80
"""Most letters of a title in a figure, which breaks no lines. The page's text has titles in full."""

_RUN_COLOURS = ("#8b93a7", "#6366f1", "#f59e0b", "#10b981", "#ec4899", "#06b6d4", "#ef4444", "#84cc16")
"""Colours of runs, in order; the first run is the baseline and grey."""

_ORDER_SCALE = ("#3b82f6", "#8b5cf6", "#ec4899", "#f59e0b")
"""Colours from the first expansion to the last, and from the lowest loss to the highest; `report.css` has them too."""

_GOAL, _FRONTIER, _FAINT = "#10b981", "#94a3b8", "rgba(128,136,152,0.28)"
_TARGET_LINE = {"dash": "dot", "color": "#94a3b8", "width": 1.2}
_LEGEND_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}

_MOST_NUMBERS = 60
"""Most expansions for which picked topics show their numbers; the numbers of more would overlap."""

_ROW_HEIGHT, _ROW_GAP = 150, 46
"""Pixels of one row of the figure of rewards, and of the gap between two rows."""

_MOST_CATEGORIES = 14
"""Most categories of a figure of moves."""

_SHOWN_TRACES = 0.99
"""Share of each source's traces that the figure of lengths shows, the shortest first."""

SHARES = {
    "back clicks": "of the steps",
    "return rate": "of the steps",
    "clustering": "0 to 1",
    "within category": "of the forward clicks",
}
"""Names of the figures that `trace_shares` returns, and the whole that each is a share of."""


def label(text: str) -> Markup:
    """Return a name or a title as figures show it: escaped, and the end of a long one cut off.

    Example:
        >>> label("A < B"), len(label("x" * 10_000))
        (Markup('A &lt; B'), 80)
    """
    return escape(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def base_layout(height: int) -> go.Layout:
    """Return the layout that all figures start from: no template, transparent, in the page's font.

    Args:
        height: The figure's height in pixels.
    """
    return go.Layout(
        template=go.layout.Template(),
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 13},
        margin={"l": 64, "r": 16, "t": 36, "b": 52},
    )


# --- Runs ---


def curves_figure(runs: Sequence[RunData], target: float) -> go.Figure:
    """Draw exam loss against tokens, one line a run, and the target as a dotted line.

    Args:
        runs: The runs, the baseline first.
        target: An exam loss in nats per token.
    """
    figure = go.Figure(layout=base_layout(height=420))
    for position, run in enumerate(runs):
        tokens, losses = zip(*run.curve, strict=True)
        figure.add_scatter(
            x=tokens,
            y=losses,
            name=label(run.agent),
            mode="lines+markers",
            line={"color": _RUN_COLOURS[position % len(_RUN_COLOURS)], "width": 2.5},
            hovertemplate="%{y:.3f} nats per token",
        )
    figure.add_hline(y=target, line=_TARGET_LINE)
    figure.update_layout(hovermode="x unified", legend=_LEGEND_ABOVE)
    figure.update_xaxes(title="tokens trained on", tickformat=",", rangemode="tozero")
    figure.update_yaxes(title="exam loss, nats per token", tickformat=".2f")
    return figure


def components_figure(runs: Sequence[RunData]) -> go.Figure:
    """Draw the value of each part of the reward in each expansion against tokens: a row a part, a line a run.

    Args:
        runs: The runs; at least one has rewards.
    """
    rewarded = [[step for step in run.expansions if step.reward_components] for run in runs]
    names = list(dict.fromkeys(name for steps in rewarded for step in steps for name in step.reward_components))
    titles = [label(name) for name in names]
    # Plotly wants the gap between rows as a share of the height that all rows have together.
    gap = _ROW_GAP / (_ROW_HEIGHT * len(names))
    figure = make_subplots(rows=len(names), shared_xaxes=True, subplot_titles=titles, vertical_spacing=gap)
    for position, (run, steps) in enumerate(zip(runs, rewarded, strict=True)):
        for row, name in enumerate(names, start=1):
            figure.add_trace(_component(run, steps, name, position, shown=row == 1), row=row, col=1)
    figure.update_layout(base_layout(height=_ROW_HEIGHT * len(names) + 80))
    figure.update_layout(hovermode="x unified", legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1})
    figure.update_layout(legend_xanchor="right", margin_t=56)
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    figure.update_xaxes(title="tokens trained on", tickformat=",", rangemode="tozero", row=len(names))
    return figure


def _component(run: RunData, steps: Sequence[Expansion], name: str, position: int, *, shown: bool) -> go.Scatter:
    """One part of the reward over one run."""
    known = [step for step in steps if name in step.reward_components]
    return go.Scatter(
        x=[step.tokens_total for step in known],
        y=[step.reward_components[name] for step in known],
        name=label(run.agent),
        # One entry of the legend, the first row's, shows and hides the run's lines in all rows.
        legendgroup=str(position),
        showlegend=shown,
        mode="lines+markers",
        line={"color": _RUN_COLOURS[position % len(_RUN_COLOURS)], "width": 1.8},
        marker={"size": 4},
        hovertemplate="%{y:.4g}",
    )


def tree_figure(graph: TopicGraph, run: RunData, tree: GrownTree) -> go.Figure:
    """Draw a run's grown graph: read topics by order, the nucleus, the goal and the frontier.

    Args:
        graph: The topic graph.
        run: The run.
        tree: The tree of topics that the run grew.
    """
    read = tree.steps >= 0
    figure = go.Figure(layout=base_layout(height=560))
    # Later traces are drawn over earlier ones: lines below topics, the frontier below read topics.
    figure.add_trace(_growth(tree, ~read, 0.6))
    figure.add_trace(_growth(tree, read, 1.6))
    x, y = tree.places[~read].T
    names = [Markup("{}<br>frontier").format(label(graph.titles[topic])) for topic in tree.topics[~read]]
    marker = {"size": 4, "color": _FRONTIER, "opacity": 0.55}
    figure.add_scatter(x=x, y=y, mode="markers", marker=marker, hovertext=names, hoverinfo="text")
    figure.add_trace(_read(graph, run, tree, read))
    figure.update_layout(showlegend=False, hovermode="closest", dragmode="pan", margin={"l": 0, "r": 0, "t": 0, "b": 0})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def _growth(tree: GrownTree, which: np.ndarray, width: float) -> go.Scatter:
    """Lines from parents to children; the nucleus, whose parent is the centre, has none."""
    children = np.flatnonzero(which & (tree.parents >= 0))
    ends = np.full((len(children), 3, 2), np.nan)  # [children, (parent, child, gap between two lines), (x, y)]
    ends[:, 0], ends[:, 1] = tree.places[tree.parents[children]], tree.places[children]
    x, y = ends.reshape(-1, 2).T
    return go.Scatter(x=x, y=y, mode="lines", line={"color": _FAINT, "width": width}, hoverinfo="skip")


def _read(graph: TopicGraph, run: RunData, tree: GrownTree, which: np.ndarray) -> go.Scatter:
    """The read topics, picked ones with the expansion's number."""
    topics, steps = tree.topics[which], tree.steps[which]
    losses = [run.expansions[step].train_loss for step in steps]
    nucleus, picked = np.isin(topics, list(run.nucleus)), {e.topic: e.index for e in run.expansions}
    numbered = picked if len(run.expansions) <= _MOST_NUMBERS else {}
    goal = np.isin(topics, list(run.goal_topics))
    x, y = tree.places[which].T
    marker = {
        "opacity": 1.0,
        "symbol": [_symbol(run, int(t), bool(n)) for t, n in zip(topics, nucleus, strict=True)],
        "size": [13 if n else 11 if int(t) in picked else 8 for t, n in zip(topics, nucleus, strict=True)],
        "color": steps,
        "colorscale": [[i / (len(_ORDER_SCALE) - 1), colour] for i, colour in enumerate(_ORDER_SCALE)],
        "line": {"width": np.where(goal, 2.4, 0.0).tolist(), "color": _GOAL},
    }
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        marker=marker,
        # The nucleus is expansion 0: it was not picked, and its number is not shown.
        text=[str(numbered.get(int(topic)) or "") for topic in topics],
        textposition="top center",
        textfont={"size": 11},
        hovertext=[_hover(graph, run, int(topic), int(step)) for topic, step in zip(topics, steps, strict=True)],
        hoverinfo="text",
        name="learned" if run.knowledge is None else "read",
        # The two colourings that the page's script switches between.
        meta={"order": steps.tolist(), "loss": losses},
    )


def _symbol(run: RunData, topic: int, nucleus: bool) -> str:
    """Name of a read topic's symbol: filled if it is solid, with a cross if it faded, hollow if it is not known yet."""
    shape, known = "diamond" if nucleus else "circle", run.knowledge
    if known is None or topic in known.solid:
        return shape
    return f"{shape}-x-open" if topic in known.faded else f"{shape}-open"


def _hover(graph: TopicGraph, run: RunData, topic: int, step: int) -> Markup:
    """Hover text of a read topic."""
    expansion, probed = run.expansions[step], run.last_probe(topic)
    lines = [
        Markup("<b>{}</b>").format(label(graph.titles[topic])),
        "nucleus" if step == 0 else Markup("expansion {}: {}").format(step, label(expansion.title)),
        f"training loss {expansion.train_loss:.3f}",
    ]
    lines += [] if probed is None else [f"last probe loss {probed:.3f}"]
    lines += [] if run.knowledge is None else [run.knowledge.histories.get(topic, "not reached")]
    lines += [label(graph.categories[topic])] if graph.categories[topic] else []
    # Joining by markup escapes the lines that are plain text.
    return Markup("<br>").join(lines)


def standing_figure(runs: Sequence[RunData]) -> go.Figure:
    """Draw the numbers of topics that are solid and read against tokens, two lines a run.

    Args:
        runs: The runs; those in which what was read counts as known have no lines.
    """
    figure = go.Figure(layout=base_layout(height=360))
    for position, run in enumerate(runs):
        if run.knowledge is not None:
            figure.add_traces(_standing(run.knowledge, label(run.agent), _RUN_COLOURS[position % len(_RUN_COLOURS)]))
    figure.update_layout(hovermode="x unified", legend=_LEGEND_ABOVE)
    figure.update_xaxes(title="tokens trained on", tickformat=",", rangemode="tozero")
    figure.update_yaxes(title="topics", tickformat=",", rangemode="tozero")
    return figure


def _standing(knowledge: RunKnowledge, name: str, colour: str) -> list[go.Scatter]:
    """Lines of one run: solid topics, and read ones dotted."""
    tokens, points = [point.tokens for point in knowledge.points], knowledge.points
    style = {"mode": "lines", "x": tokens}
    solid = go.Scatter(
        y=[point.solid for point in points],
        name=f"{name}, solid",
        line={"color": colour, "width": 2.5},
        customdata=[point.faded for point in points],
        hovertemplate="%{y:,} solid, %{customdata:,} faded",
        **style,
    )
    dotted = {"color": colour, "width": 1.5, "dash": "dot"}
    read = [point.read for point in points]
    return [solid, go.Scatter(y=read, name=f"{name}, read", line=dotted, hovertemplate="%{y:,} read", **style)]


# --- Traces ---


def trace_shares(stats: TraceStats) -> list[float | None]:
    """Return share of back clicks, return rate, clustering and share within a category; None for one without data."""
    return [stats.back_share, stats.return_rate, stats.clustering, stats.within_category]


def lengths_figure(stats: Mapping[str, TraceStats]) -> go.Figure:
    """Draw the share of traces by number of steps, one line a source.

    Args:
        stats: The statistics of each source. The axis ends where 99% of every source's traces have ended.
    """
    figure = go.Figure(layout=base_layout(height=360))
    for (name, source), colour in zip(stats.items(), _source_colours(len(stats)), strict=True):
        lengths = np.arange(max(source.lengths) + 1)
        shares = np.array([source.lengths[length] for length in lengths.tolist()]) / source.traces
        # Shown are the lengths below which fewer than 99% of the traces have ended.
        shown = shares.cumsum() - shares < _SHOWN_TRACES
        figure.add_scatter(
            x=lengths[shown].tolist(),
            y=shares[shown].tolist(),
            name=label(name),
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{x} steps: %{y:.1%}",
        )
    figure.update_layout(showlegend=True, legend=_LEGEND_ABOVE)
    figure.update_xaxes(title="steps", rangemode="tozero")
    figure.update_yaxes(title="share of traces", tickformat=".0%", rangemode="tozero")
    return figure


def shares_figure(stats: Mapping[str, TraceStats]) -> go.Figure:
    """Draw the figures that `trace_shares` returns as bars, a group a figure, a bar a source.

    Args:
        stats: The statistics of each source.
    """
    figure = go.Figure(layout=base_layout(height=360))
    for (name, source), colour in zip(stats.items(), _source_colours(len(stats)), strict=True):
        figure.add_bar(x=list(SHARES), y=trace_shares(source), name=label(name), marker={"color": colour})
    figure.update_traces(hovertemplate="%{x}: %{y:.3f}")
    figure.update_layout(showlegend=True, legend=_LEGEND_ABOVE)
    figure.update_yaxes(rangemode="tozero")
    return figure


def moves_figure(stats: TraceStats) -> go.Figure:
    """Draw forward clicks by category: for each category the shares of the categories that its clicks lead to.

    Args:
        stats: The statistics of one source.
    """
    names, counts = stats.category_matrix(_MOST_CATEGORIES)
    totals = counts.sum(axis=1, keepdims=True)  # [from, 1]
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    labels = [label(name) for name in names]
    figure = go.Figure(layout=base_layout(height=560))
    figure.add_heatmap(
        # Cells are placed by number: a category named "other" has the same name as the sum of the remaining ones.
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


def _source_colours(number: int) -> list[str]:
    """One colour a source; the grey stays with baselines."""
    return [_RUN_COLOURS[1 + at % (len(_RUN_COLOURS) - 1)] for at in range(number)]
