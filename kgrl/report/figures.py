"""The pictures of a report: learning curves, rewards and grown graphs, as plotly figures.

Plotly reads names, titles and hover texts as its own small HTML, so every title and name is escaped here. Colours that
follow the page's light or dark theme are set by the page; the ones set here are legible on both.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import TopicGraph
from kgrl.report.data import RunData
from kgrl.report.tree import GrownTree

__all__ = ["FRONTIER", "GOAL", "ORDER_SCALE", "RUN_COLOURS", "components_figure", "curves_figure", "tree_figure"]

RUN_COLOURS = ("#8b93a7", "#6366f1", "#f59e0b", "#10b981", "#ec4899", "#06b6d4", "#ef4444", "#84cc16")
"""One colour a run, in order; the first run is the baseline and grey."""

ORDER_SCALE = ("#3b82f6", "#8b5cf6", "#ec4899", "#f59e0b")
"""From the first expansion to the last, and from the lowest loss to the highest."""

_MOST_NUMBERS = 60
"""Expansions up to which picked topics bear their numbers; more would lie over one another."""

_ROW_HEIGHT, _ROW_GAP = 150, 46
"""Pixels of a row of a part of the reward, and of what lies between two."""

GOAL, FRONTIER = "#10b981", "#94a3b8"
_FAINT = "rgba(128,136,152,0.28)"


def curves_figure(runs: Sequence[RunData], target: float) -> go.Figure:
    """Draw exam loss against tokens, one line a run, and the target as a dashed line.

    Args:
        runs: The runs, the baseline first.
        target: An exam loss in nats per token.
    """
    figure = go.Figure(layout=_layout(height=420))
    for position, run in enumerate(runs):
        tokens, losses = zip(*run.curve, strict=True)
        figure.add_scatter(
            x=tokens,
            y=losses,
            name=html.escape(run.agent),
            mode="lines+markers",
            line={"color": RUN_COLOURS[position % len(RUN_COLOURS)], "width": 2.5},
            hovertemplate="%{y:.3f} nats per token",
        )
    figure.add_hline(y=target, line={"dash": "dot", "color": "#94a3b8", "width": 1.2})
    figure.update_layout(hovermode="x unified", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_xaxes(title="tokens trained on", tickformat=",", rangemode="tozero")
    figure.update_yaxes(title="exam loss, nats per token", tickformat=".2f")
    return figure


def components_figure(runs: Sequence[RunData]) -> go.Figure:
    """Draw what each part of the reward was worth in each expansion against tokens: a row a part, a line a run.

    Args:
        runs: Runs of which at least one has rewards.
    """
    rewarded = [[step for step in run.expansions if step.reward_components] for run in runs]
    names = list(dict.fromkeys(name for steps in rewarded for step in steps for name in step.reward_components))
    titles = [html.escape(name) for name in names]
    gap = _ROW_GAP / (_ROW_HEIGHT * len(names))
    figure = make_subplots(rows=len(names), shared_xaxes=True, subplot_titles=titles, vertical_spacing=gap)
    for position, (run, steps) in enumerate(zip(runs, rewarded, strict=True)):
        for row, name in enumerate(names, start=1):
            figure.add_trace(_component(run, steps, name, position, shown=row == 1), row=row, col=1)
    figure.update_layout(_layout(height=_ROW_HEIGHT * len(names) + 80))
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
        name=html.escape(run.agent),
        legendgroup=str(position),
        showlegend=shown,
        mode="lines+markers",
        line={"color": RUN_COLOURS[position % len(RUN_COLOURS)], "width": 1.8},
        marker={"size": 4},
        hovertemplate="%{y:.4g}",
    )


def tree_figure(graph: TopicGraph, run: RunData, tree: GrownTree) -> go.Figure:
    """Draw a run's grown graph: learned topics by order, the nucleus, the goal and the frontier.

    Args:
        graph: The topic graph.
        run: The run.
        tree: What grew in it.
    """
    learned = tree.steps >= 0
    figure = go.Figure(layout=_layout(height=560))
    figure.add_trace(_growth(tree, ~learned, 0.6))
    figure.add_trace(_growth(tree, learned, 1.6))
    figure.add_trace(_frontier(graph, tree, ~learned))
    figure.add_trace(_learned(graph, run, tree, learned))
    figure.update_layout(showlegend=False, hovermode="closest", dragmode="pan", margin={"l": 0, "r": 0, "t": 0, "b": 0})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def _layout(height: int) -> go.Layout:
    return go.Layout(
        template=go.layout.Template(),
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 13},
        margin={"l": 64, "r": 16, "t": 36, "b": 52},
    )


def _growth(tree: GrownTree, which: np.ndarray, width: float) -> go.Scatter:
    """Lines from parents to children; the nucleus, whose parent is the centre, has none."""
    children = np.flatnonzero(which & (tree.parents >= 0))
    ends = np.full((len(children), 3, 2), np.nan)  # the third row is the gap between two lines
    ends[:, 0], ends[:, 1] = tree.places[tree.parents[children]], tree.places[children]
    x, y = ends.reshape(-1, 2).T
    return go.Scatter(x=x, y=y, mode="lines", line={"color": _FAINT, "width": width}, hoverinfo="skip")


def _frontier(graph: TopicGraph, tree: GrownTree, which: np.ndarray) -> go.Scatter:
    x, y = tree.places[which].T
    names = [f"{html.escape(graph.titles[topic])}<br>frontier" for topic in tree.topics[which]]
    marker = {"size": 4, "color": FRONTIER, "opacity": 0.55}
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, hovertext=names, hoverinfo="text")


def _learned(graph: TopicGraph, run: RunData, tree: GrownTree, which: np.ndarray) -> go.Scatter:
    """The learned topics, picked ones with the expansion's number; `meta` holds the page's two colourings."""
    topics, steps = tree.topics[which], tree.steps[which]
    losses = [run.expansions[step].train_loss for step in steps]
    nucleus, picked = np.isin(topics, list(run.nucleus)), {e.topic: e.index for e in run.expansions}
    numbered = picked if len(run.expansions) <= _MOST_NUMBERS else {}
    goal = np.isin(topics, [] if run.goal is None else list(run.goal))
    x, y = tree.places[which].T
    marker = {
        "opacity": 1.0,
        "symbol": np.where(nucleus, "diamond", "circle"),
        "size": [13 if n else 11 if int(t) in picked else 8 for t, n in zip(topics, nucleus, strict=True)],
        "color": steps,
        "colorscale": [[i / (len(ORDER_SCALE) - 1), colour] for i, colour in enumerate(ORDER_SCALE)],
        "line": {"width": np.where(goal, 2.4, 0.0).tolist(), "color": GOAL},
    }
    texts = [_hover(graph, run, int(topic), int(step)) for topic, step in zip(topics, steps, strict=True)]
    colourings = {"order": steps.tolist(), "loss": losses}
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        marker=marker,
        text=[str(numbered.get(int(topic)) or "") for topic in topics],
        textposition="top center",
        textfont={"size": 11},
        hovertext=texts,
        hoverinfo="text",
        name="learned",
        meta=colourings,
    )


def _hover(graph: TopicGraph, run: RunData, topic: int, step: int) -> str:
    expansion = run.expansions[step]
    place = "nucleus" if step == 0 else f"expansion {step}: {html.escape(expansion.title)}"
    lines = [f"<b>{html.escape(graph.titles[topic])}</b>", place, f"training loss {expansion.train_loss:.3f}"]
    measured = _last_probe(run, topic)
    if measured is not None:
        lines.append(f"last probe loss {measured:.3f}")
    if graph.categories[topic]:
        lines.append(html.escape(graph.categories[topic]))
    return "<br>".join(lines)


def _last_probe(run: RunData, topic: int) -> float | None:
    for expansion in reversed(run.expansions):
        for probe in expansion.probes.values():
            if topic in probe.topics:
                return probe.after[probe.topics.index(topic)]
    return None
