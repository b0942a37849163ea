"""Rendering of environments: text, drawings of the graph around a curriculum or a walk, and a window for them."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray, TopicGraph

if TYPE_CHECKING:
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.image import AxesImage

__all__ = ["CurriculumPainter", "WalkPainter", "Window", "state_text"]

Image = NDArray[np.uint8]
Edges = list[tuple[int, int]]

_COLOURS = "viridis_r"
_SOLID, _UNMEASURED, _FRONTIER, _READ, _UNKNOWN = "#21918c", "#9aa0a6", "#e8710a", "#f8d2b0", "#dadce0"
_PICKED, _TARGET, _INK = "#d01884", "#1a73e8", "#202124"
_FRONTIER_INK, _GREY_INK = "#a65208", "#5f6368"
_MOST_SOLID, _MOST_FRONTIER, _MOST_UNKNOWN, _MOST_LABELS = 120, 40, 40, 24
"""Most topics of each kind in a drawing, and most titles: more cannot be told apart."""


def state_text(view: View, expansions: Sequence[Expansion], picks: int = 5, *, colour: bool = True) -> str:
    """Return the state of a curriculum as text: counts, budget and the last picks.

    Args:
        view: The curriculum.
        expansions: Its records so far, the nucleus first.
        picks: Number of picks to list.
        colour: Use the escape sequences of terminals.
    """
    table = Table()
    for column in ("step", "tokens", "training loss", "reward"):
        table.add_column(column, justify="right")
    table.add_column("picked", overflow="ellipsis", no_wrap=True)
    for step in expansions[-picks:]:
        reward = "" if step.reward is None else f"{step.reward:+.4f}"
        title = step.title if step.index else f"nucleus: {step.title} and {len(step.neighbourhood) - 1} more"
        table.add_row(str(step.index), str(step.tokens), f"{step.train_loss:.3f}", reward, title)
    # "standard" is also what a terminal of few colours shows.
    console = Console(file=io.StringIO(), width=100, force_terminal=colour, color_system="standard" if colour else None)
    console.print(_headline(view, expansions), style="bold", highlight=False)
    console.print(table)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def _headline(view: View, expansions: Sequence[Expansion]) -> str:
    read, solid = np.count_nonzero(view.knowledge.exposures), len(view.frontier.solid)
    tokens = f"{view.tokens:,} of {view.budget:,} tokens"
    known = f"{solid} learned" if view.mastery.by_reading else f"{read} read · {solid} solid"
    return f"step {expansions[-1].index} · {known} · {len(view.frontier)} on the frontier · {tokens}"


class _Painter:
    """Base of drawings of topics and links; topics keep their places from frame to frame.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """

    def __init__(self, width: int = 1000, height: int = 750) -> None:
        self.width, self.height = width, height
        self._places: dict[int, NDArray[np.float64]] = {}

    def _frame(
        self,
        title: str,
        headline: str,
        draw: Callable[[Axes], None],
        label: Callable[[Axes], None],
        legend: Sequence[Line2D],
    ) -> Image:
        """Draw a frame: topics and links, then titles; return it as uint8 `[height, width, 3]`."""
        figure = Figure(figsize=(self.width / 100, self.height / 100), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axis_off()
        draw(axes)
        axes.legend(handles=legend, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=5, frameon=False, fontsize=9)
        axes.set_title(f"{title}\n", loc="left", fontsize=15, color=_INK, fontweight="bold")
        axes.text(0, 1.015, headline, transform=axes.transAxes, fontsize=10, color=_GREY_INK)
        # The layout is settled by drawing; only then is it known which titles would overlap.
        canvas.draw()  # type: ignore[no-untyped-call]
        label(axes)
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _place(self, topics: IntArray, edges: Edges) -> None:
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
        """Return a starting place beside the neighbours that have one."""
        anchors = [self._places[t] for t in graph[topic] if t in self._places]
        return (np.mean(anchors, axis=0) if anchors else np.zeros(2)) + rng.normal(scale=0.3, size=2)

    def _links(self, axes: Axes, edges: Edges, **style: Any) -> None:
        axes.add_collection(LineCollection([[self._places[a], self._places[b]] for a, b in edges], **style))

    def _dots(self, axes: Axes, topics: IntArray, **style: Any) -> None:
        if len(topics):
            x, y = self._at(topics)
            axes.scatter(x, y, **style)

    def _at(self, topics: IntArray) -> NDArray[np.float64]:
        """Return the places of topics, `[2, topics]`."""
        return np.array([self._places[int(t)] for t in topics]).reshape(-1, 2).T

    def _label(
        self, axes: Axes, titles: Sequence[str], order: Iterable[int], dark: NDArray[np.bool_], dots: IntArray
    ) -> None:
        """Write titles in order of importance, without those that would cover another title or a dot.

        Args:
            axes: The axes, drawn once.
            titles: Titles of all topics.
            order: Topics in order of importance.
            dark: True for topics whose titles are dark, `[topics]`.
            dots: Topics with dots that only the first title may cover.
        """
        taken: list[Bbox] = []
        frame = axes.figure.bbox
        covered = axes.transData.transform(self._at(dots).T)
        for topic in dict.fromkeys(t for t in order if t in self._places):
            place = tuple(self._places[topic].tolist())
            style: dict[str, Any] = {"color": _INK if dark[topic] else _FRONTIER_INK, "fontsize": 8.5, "ha": "center"}
            text = axes.annotate(titles[topic], place, xytext=(0, 8), textcoords="offset points", zorder=6, **style)
            box = text.get_window_extent().padded(2)
            covers = any(box.overlaps(other) for other in taken) or box.count_contains(covered) > 0
            inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
            if (covers and taken) or not inside:
                text.remove()
            else:
                # A white rim, so that the title can be read across a link.
                text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6})
                taken.append(box)
            if len(taken) > _MOST_LABELS:
                return


class CurriculumPainter(_Painter):
    """Draws the solid topics, the frontier and the topics behind it; of the frontier also what was read.

    Large curricula are narrowed to the 120 topics solid last, the 40 frontier topics with most solid neighbours and 40
    topics behind them. Where reading makes a topic solid, solid topics are called learned.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """

    def paint(self, view: View, expansions: Sequence[Expansion]) -> Image:
        """Return the drawing, uint8 of shape `[height, width, 3]`.

        Args:
            view: The curriculum.
            expansions: Its records so far, the nucleus first.
        """
        latest = expansions[-1]
        groups = solid, frontier, unknown = _shown(view, latest.topic)
        topics = np.concatenate([solid, frontier, unknown])
        edges = _edges(view.graph, topics)
        self._place(topics, edges)
        order = [*latest.neighbourhood[:1], *view.nucleus.tolist(), *solid[::-1].tolist(), *frontier.tolist()]
        return self._frame(
            latest.title,
            _headline(view, expansions),
            lambda axes: self._draw(axes, view, latest, groups, edges),
            lambda axes: self._label(axes, view.graph.titles, order, view.frontier.is_solid, solid),
            self._legend(view),
        )

    def _legend(self, view: View) -> list[Line2D]:
        name = "learned" if view.mastery.by_reading else "solid"
        return [
            _mark(f"{name} (by loss)", 8, _SOLID, _SOLID),
            _mark(f"{name}, not measured", 8, _UNMEASURED, _UNMEASURED),
            _mark("picked last", 11, "none", _PICKED),
            *([] if view.mastery.by_reading else [_mark("read, not solid", 7, _READ, _FRONTIER)]),
            _mark("frontier", 7, "white", _FRONTIER),
            _mark("unknown", 5, _UNKNOWN, _UNKNOWN),
        ]

    def _draw(
        self, axes: Axes, view: View, latest: Expansion, groups: tuple[IntArray, IntArray, IntArray], edges: Edges
    ) -> None:
        solid, frontier, unknown = groups
        inside = set(solid.tolist())
        for both, colour, width in ((False, "#dde2e7", 0.7), (True, "#90a4ae", 0.9)):
            lines = [(a, b) for a, b in edges if (a in inside and b in inside) == both]
            faint = min(1.0, max(0.3, 120 / (1 + len(lines))))
            self._links(axes, lines, colors=colour, linewidths=width, alpha=faint, zorder=1)
        self._dots(axes, unknown, s=18, c=_UNKNOWN, zorder=2)
        self._dots(axes, frontier, s=48, facecolors="white", edgecolors=_FRONTIER, linewidths=1.5, zorder=3)
        if not view.mastery.by_reading:
            self._dots(axes, frontier[view.knowledge.exposures[frontier] > 0], s=30, c=_READ, zorder=3)
        self._draw_solid(axes, view, solid)
        # A topic that was picked may still not be solid.
        picked = np.array([t for t in latest.neighbourhood[:1] if t in inside or t in frontier], dtype=np.int32)
        self._dots(axes, picked, s=210, facecolors="none", edgecolors=_PICKED, linewidths=2.2, zorder=5)

    def _draw_solid(self, axes: Axes, view: View, solid: IntArray) -> None:
        level = view.profile.level[solid]
        known = ~np.isnan(level)
        self._dots(axes, solid[~known], s=70, c=_UNMEASURED, zorder=4)
        if not known.any():
            return
        # The scale is that of the first measurements, so that colours keep their meaning as losses fall.
        first = view.profile.first[solid[known]]
        norm = Normalize(min(float(level[known].min()), float(first.min())), float(first.max()) + 1e-6)
        x, y = self._at(solid[known])
        dots = axes.scatter(x, y, s=80, c=level[known], cmap=_COLOURS, norm=norm, zorder=4)
        bar = axes.figure.colorbar(dots, ax=axes, shrink=0.6, pad=0.01, aspect=30)
        bar.set_label("probe loss, nats per token", color=_GREY_INK)
        bar.outline.set_visible(False)


class WalkPainter(_Painter):
    """Draws the pages opened in link navigation, the links of the current page, and the target.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """

    def paint(self, graph: TopicGraph, path: Sequence[int], offered: IntArray, target: int, most: int) -> Image:
        """Return the drawing, uint8 of shape `[height, width, 3]`.

        Args:
            graph: The topic graph.
            path: The pages opened, in order, the current one last.
            offered: Links of the current page that can be clicked, `[links]`; 40 of them are drawn.
            target: The topic to reach, -1 for none; drawn once it is opened or a link leads to it.
            most: Clicks that an episode may take.
        """
        opened = np.array(list(dict.fromkeys(path[-_MOST_SOLID:])), dtype=np.int32)
        # A target among the links is drawn whatever its place among them.
        links = offered[np.argsort(offered != target, kind="stable")][:_MOST_FRONTIER]
        # A target without a link to it would be drawn far away, and all else small.
        goal = np.array([target] if target in opened or target in links else [], dtype=np.int32)
        walked = [(a, b) for a, b in itertools.pairwise(path) if a in opened and b in opened]
        ahead = [(path[-1], link) for link in links.tolist()]
        self._place(np.union1d(opened, links), walked + ahead)
        waiting = links[~np.isin(links, np.concatenate([opened, goal]))]

        def draw(axes: Axes) -> None:
            self._links(axes, ahead, colors="#dde2e7", linewidths=0.7, zorder=1)
            self._links(axes, walked, colors="#90a4ae", linewidths=1.4, zorder=2)
            self._dots(axes, waiting, s=48, facecolors="white", edgecolors=_FRONTIER, linewidths=1.5, zorder=3)
            self._dots(axes, opened, s=80, c=_SOLID, zorder=4)
            self._dots(axes, goal, s=110, c=_TARGET, marker="s", zorder=4)
            self._dots(
                axes, opened[opened == path[-1]], s=210, facecolors="none", edgecolors=_PICKED, linewidths=2.2, zorder=5
            )

        clicks = f"click {len(path) - 1} of {most} · {len(offered)} links"
        dark = np.isin(np.arange(len(graph)), np.concatenate([opened, goal]))
        order = [path[-1], *goal.tolist(), *opened[::-1].tolist(), *waiting.tolist()]
        return self._frame(
            graph.titles[path[-1]],
            clicks if target < 0 else f"{clicks} · target: {graph.titles[target]}",
            draw,
            lambda axes: self._label(axes, graph.titles, order, dark, opened),
            [
                _mark("opened", 8, _SOLID, _SOLID),
                _mark("current page", 11, "none", _PICKED),
                _mark("link", 7, "white", _FRONTIER),
                *([_mark("target", 9, _TARGET, _TARGET, "s")] if target >= 0 else []),
            ],
        )


def _mark(label: str, size: float, face: str, edge: str, marker: str = "o") -> Line2D:
    """Return an entry of a legend."""
    style: dict[str, Any] = {"markersize": size, "markerfacecolor": face, "markeredgecolor": edge}
    return Line2D([], [], linestyle="", marker=marker, label=label, **style)


def _shown(view: View, picked: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return the solid topics that are drawn, oldest first, the frontier topics, and the unknown ones behind them.

    Args:
        view: The curriculum.
        picked: A topic that is drawn if it is on the frontier.
    """
    solid = view.frontier.solid[-_MOST_SOLID:]
    frontier = view.frontier.topics
    links = np.where(frontier == picked, np.iinfo(np.int32).max, view.frontier.links_to_solid[frontier])
    frontier = frontier[np.argsort(-links, kind="stable")[:_MOST_FRONTIER]]
    behind: dict[int, None] = {}
    for topic in frontier.tolist():
        near = view.graph.neighbours(topic)
        behind.update(dict.fromkeys(near[view.frontier.links_to_solid[near] == 0][:3].tolist()))
    unknown = np.array([t for t in behind if not view.frontier.is_solid[t]][:_MOST_UNKNOWN], dtype=np.int32)
    return solid, frontier, unknown


def _edges(graph: TopicGraph, topics: IntArray) -> Edges:
    """Return the links between drawn topics, each once."""
    near = ((t, np.intersect1d(graph.neighbours(t), topics).tolist()) for t in topics.tolist())
    return [(a, b) for a, others in near for b in others if a < b]


class Window:
    """A window of matplotlib that shows frames one after the other, where there is a display.

    It opens with the first frame. Once somebody has closed it, nothing is shown any more. pyplot's own figures stay as
    they are.

    Args:
        title: Title of the window.
        fps: Most frames a second; `show` waits for as long as that takes.
    """

    def __init__(self, title: str, fps: float) -> None:
        self.title, self.fps = title, fps
        self._manager: FigureManagerBase | None = None
        self._picture: AxesImage | None = None
        self._state = "new"
        self._shown = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Window:
        """Return a window of its own: a toolkit's windows cannot be copied."""
        return Window(self.title, self.fps)

    def show(self, image: Callable[[], Image]) -> bool:
        """Show a frame.

        Args:
            image: Draws it, uint8 `[height, width, 3]`; called only if a window is open.

        Returns:
            False if this machine has no display.
        """
        if self._state == "new":
            self._open()
        if self._manager is not None:
            frame = image()
            if self._picture is None:
                self._picture = self._manager.canvas.figure.add_axes((0, 0, 1, 1)).imshow(frame)
                self._picture.axes.set_axis_off()
                self._manager.show()
            self._picture.set_data(frame)
            self._manager.canvas.draw_idle()
            # The loop draws, and reacts to a click on the window's cross.
            self._manager.canvas.start_event_loop(max(0.001, self._shown + 1 / self.fps - time.monotonic()))
            self._shown = time.monotonic()
        return self._state != "no display"

    def close(self) -> None:
        """Close the window; the next frame opens it anew."""
        if self._manager is not None:
            self._manager.destroy()
            self._manager = self._picture = None
        if self._state != "no display":
            self._state = "new"

    def _open(self) -> None:
        from matplotlib import pyplot

        try:
            # Not `pyplot.figure`, which would make it the current figure of a user's own plots.
            manager = pyplot.new_figure_manager(1, figsize=(10, 7.5), dpi=100)  # type: ignore[no-untyped-call]
        except ImportError:  # MPLBACKEND names a toolkit that cannot run here
            self._state = "no display"
            return
        if getattr(manager.canvas, "required_interactive_framework", None) is None:
            self._state = "no display"  # drawing into memory: a machine without a display, or a notebook
            return
        manager.set_window_title(self.title)
        manager.canvas.mpl_connect("close_event", self._on_close)
        self._manager, self._state = manager, "open"

    def _on_close(self, event: object) -> None:
        self._manager, self._state = None, "closed"
