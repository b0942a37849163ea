"""Pictures of a curriculum: a few lines of text, and a drawing of the graph around what is learned."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox, BboxBase
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["GraphPainter", "state_text"]

_COLOURS = "viridis_r"
_UNMEASURED, _FRONTIER, _UNKNOWN, _PICKED, _INK = "#9aa0a6", "#e8710a", "#dadce0", "#d01884", "#202124"
_FRONTIER_INK = "#a65208"
_MOST_LEARNED, _MOST_FRONTIER, _MOST_UNKNOWN, _MOST_LABELS = 120, 40, 40, 24


def state_text(view: View, expansions: Sequence[Expansion], picks: int = 5) -> str:
    """Return the state of a curriculum as text: counts, budget and the last picks.

    Args:
        view: The curriculum.
        expansions: Its records so far, the nucleus first.
        picks: Number of picks to list.
    """
    table = Table()
    for column in ("step", "tokens", "training loss", "reward"):
        table.add_column(column, justify="right")
    table.add_column("picked", overflow="ellipsis", no_wrap=True)
    for step in expansions[-picks:]:
        reward = "" if step.reward is None else f"{step.reward:+.4f}"
        title = step.title if step.index else f"nucleus: {step.title} and {len(step.neighbourhood) - 1} more"
        table.add_row(str(step.index), str(step.tokens), f"{step.train_loss:.3f}", reward, title)
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    console.print(_headline(view, expansions), style="bold", highlight=False)
    console.print(table)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def _headline(view: View, expansions: Sequence[Expansion]) -> str:
    learned, tokens = len(view.frontier.learned), f"{view.tokens:,} of {view.budget:,} tokens"
    return f"step {expansions[-1].index} · {learned} learned · {len(view.frontier)} on the frontier · {tokens}"


class GraphPainter:
    """Draws the learned topics, the frontier and what lies behind it; topics keep their places from frame to frame.

    Large curricula are narrowed to the 120 topics learned last, the 40 frontier topics with most learned neighbours and
    40 topics behind them.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """

    def __init__(self, width: int = 1000, height: int = 750) -> None:
        self.width, self.height = width, height
        self._places: dict[int, NDArray[np.float64]] = {}

    def paint(self, view: View, expansions: Sequence[Expansion]) -> NDArray[np.uint8]:
        """Return the drawing, uint8 of shape `[height, width, 3]`."""
        learned, frontier, unknown = _shown(view)
        topics = np.concatenate([learned, frontier, unknown])
        edges = _edges(view, topics)
        self._place(topics, edges)
        figure = Figure(figsize=(self.width / 100, self.height / 100), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        self._draw(axes, view, expansions[-1], (learned, frontier, unknown), edges)
        axes.set_title(f"{expansions[-1].title}\n", loc="left", fontsize=15, color=_INK, fontweight="bold")
        axes.text(0, 1.015, _headline(view, expansions), transform=axes.transAxes, fontsize=10, color="#5f6368")
        canvas.draw()  # type: ignore[no-untyped-call]
        order = [*expansions[-1].neighbourhood[:1], *view.nucleus.tolist(), *learned[::-1].tolist(), *frontier.tolist()]
        self._label(axes, view, order)
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _place(self, topics: IntArray, edges: list[tuple[int, int]]) -> None:
        """Give new topics a place by a spring layout in which the others stay where they are."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(topics.tolist())
        graph.add_edges_from(edges)
        known = [t for t in graph if t in self._places]
        if len(known) == len(graph):
            return
        rng = np.random.default_rng(0)
        start = {t: self._places[t] if t in self._places else self._near(graph, t, rng) for t in graph}
        spread = 1.6 / np.sqrt(len(graph))
        laid = nx.spring_layout(graph, pos=start, fixed=known or None, k=spread, iterations=80, seed=0)
        self._places.update({t: np.asarray(place) for t, place in laid.items() if t not in self._places})

    def _near(self, graph: nx.Graph[int], topic: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """A starting place beside the neighbours that have one."""
        anchors = [self._places[t] for t in graph[topic] if t in self._places]
        return (np.mean(anchors, axis=0) if anchors else np.zeros(2)) + rng.normal(scale=0.3, size=2)

    def _draw(
        self,
        axes: Axes,
        view: View,
        latest: Expansion,
        groups: tuple[IntArray, IntArray, IntArray],
        edges: list[tuple[int, int]],
    ) -> None:
        learned, frontier, unknown = groups
        inside = set(learned.tolist())
        axes.set_axis_off()
        for both, colour, width in ((False, "#dde2e7", 0.7), (True, "#90a4ae", 0.9)):
            lines = [[self._places[a], self._places[b]] for a, b in edges if (a in inside and b in inside) == both]
            faint = min(1.0, max(0.3, 120 / (1 + len(lines))))
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=faint, zorder=1))
        self._dots(axes, unknown, s=18, c=_UNKNOWN, zorder=2)
        self._dots(axes, frontier, s=48, facecolors="white", edgecolors=_FRONTIER, linewidths=1.5, zorder=3)
        self._draw_learned(axes, view, learned)
        picked = np.array([t for t in latest.neighbourhood[:1] if t in inside], dtype=np.int32)
        self._dots(axes, picked, s=210, facecolors="none", edgecolors=_PICKED, linewidths=2.2, zorder=5)
        _draw_legend(axes)

    def _draw_learned(self, axes: Axes, view: View, learned: IntArray) -> None:
        level = view.profile.level[learned]
        known = ~np.isnan(level)
        self._dots(axes, learned[~known], s=70, c=_UNMEASURED, zorder=4)
        if not known.any():
            return
        # The scale is that of all that was measured first, so that colours keep their meaning as losses fall.
        first = view.profile.first[learned[known]]
        norm = Normalize(min(float(level[known].min()), float(first.min())), float(first.max()) + 1e-6)
        x, y = self._at(learned[known])
        dots = axes.scatter(x, y, s=80, c=level[known], cmap=_COLOURS, norm=norm, zorder=4)
        bar = axes.figure.colorbar(dots, ax=axes, shrink=0.6, pad=0.01, aspect=30)
        bar.set_label("probe loss, nats per token", color="#5f6368")
        bar.outline.set_visible(False)

    def _dots(self, axes: Axes, topics: IntArray, **style: Any) -> None:
        if len(topics):
            x, y = self._at(topics)
            axes.scatter(x, y, **style)

    def _at(self, topics: IntArray) -> NDArray[np.float64]:
        return np.array([self._places[int(t)] for t in topics]).reshape(-1, 2).T

    def _label(self, axes: Axes, view: View, order: Sequence[int]) -> None:
        """Write titles in order of importance, leaving out those that would cover another or a learned topic."""
        taken: list[Bbox] = []
        frame = axes.figure.bbox
        dots = axes.transData.transform(self._at(_drawn_learned(view)).T)
        for topic in dict.fromkeys(t for t in order if t in self._places):
            place = tuple(self._places[topic].tolist())
            style: dict[str, Any] = {
                "color": _INK if view.frontier.is_learned[topic] else _FRONTIER_INK,
                "fontsize": 8.5,
                "ha": "center",
            }
            text = axes.annotate(
                view.graph.titles[topic], place, xytext=(0, 8), textcoords="offset points", zorder=6, **style
            )
            box = text.get_window_extent().padded(2)
            covers = any(box.overlaps(other) for other in taken) or box.count_contains(dots) > 0
            if (covers and taken) or not _within(box, frame):
                text.remove()
            else:
                _halo(text)
                taken.append(box)
            if len(taken) > _MOST_LABELS:
                return


def _shown(view: View) -> tuple[IntArray, IntArray, IntArray]:
    """The learned, frontier and unknown topics that are drawn."""
    learned = _drawn_learned(view)
    frontier = view.frontier.topics
    links = view.frontier.links_to_learned[frontier]
    frontier = frontier[np.argsort(-links, kind="stable")[:_MOST_FRONTIER]]
    behind: dict[int, None] = {}
    for topic in frontier.tolist():
        near = view.graph.neighbours(topic)
        behind.update(dict.fromkeys(near[view.frontier.links_to_learned[near] == 0][:3].tolist()))
    unknown = np.array([t for t in behind if not view.frontier.is_learned[t]][:_MOST_UNKNOWN], dtype=np.int32)
    return learned, frontier, unknown


def _drawn_learned(view: View) -> IntArray:
    """The learned topics that are drawn, oldest first."""
    return view.frontier.learned[-_MOST_LEARNED:]


def _edges(view: View, topics: IntArray) -> list[tuple[int, int]]:
    """The links between drawn topics, each once."""
    near = ((t, np.intersect1d(view.graph.neighbours(t), topics).tolist()) for t in topics.tolist())
    return [(a, b) for a, others in near for b in others if a < b]


def _draw_legend(axes: Axes) -> None:
    def dot(label: str, size: float, face: str, edge: str) -> Line2D:
        return Line2D(
            [], [], linestyle="", marker="o", markersize=size, markerfacecolor=face, markeredgecolor=edge, label=label
        )

    handles = [
        dot("learned (by loss)", 8, "#21918c", "#21918c"),
        dot("learned, not measured", 8, _UNMEASURED, _UNMEASURED),
        dot("picked last", 11, "none", _PICKED),
        dot("frontier", 7, "white", _FRONTIER),
        dot("unknown", 5, _UNKNOWN, _UNKNOWN),
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=5, frameon=False, fontsize=9)


def _within(box: Bbox, frame: BboxBase) -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)


def _halo(text: Text) -> None:
    """A white rim, so that a title can be read across a link."""
    text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6})
