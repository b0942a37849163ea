"""Draw a hunter's and a busybody's walk from the same page, and measure walks of all degrees of curiosity between them.

    python benchmarks/curious_styles.py --json docs/results/curious_styles.json --png docs/results/curious_styles.png

The JSON file has the measures, and the PNG file the picture. It takes about ten seconds once the corpus is
embedded.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from sklearn.manifold import MDS

from kgrl.data import load_corpus
from kgrl.data.traces.walkers import EmbeddingWalker, WalkSource
from kgrl.graph import TopicGraph
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import replacing, write_json
from kgrl.traces import BACK, Trace

Points = NDArray[np.float64]

KNOB = (0.0, 0.25, 0.5, 0.75, 1.0)
SEEDS = range(10)
WALKS = 20
LENGTH = 40
"""Steps of a measured walk."""
DRAWN = 24
"""Steps of a drawn walk: as many as can be labelled."""
STYLES = {"Hunter": 0.0, "Busybody": 1.0}
COLOURS = {"Hunter": "#0f766e", "Busybody": "#c2410c"}
INK, QUIET, GRID, GROUND = "#1c2230", "#626b7d", "#e3e6ec", "#ffffff"
CAPTION = (
    "Arrows are clicks; topics darken in the order they were opened. Dotted arrows are back clicks, grey lines all "
    "other links.\nDistances are those of meaning, as well as a plane can show them, on the same scale left and right."
)
MEASURES = {
    "distance": "Cosine distance of a click",
    "returns": "Share of back clicks",
    "clustering": "Clustering of what was visited",
    "topics": "Distinct topics in 40 steps",
}


def main() -> None:
    """Measure, draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="wikispeedia", help="a corpus that kgrl.data.load_corpus knows")
    parser.add_argument("--start", default="Coffee", help="the page that both drawn walks start from")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn walks")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--png", type=Path, required=True)
    arguments = parser.parse_args()
    corpus = load_corpus(arguments.corpus)
    _, embeddings = embed_corpus(corpus, Encoder())
    walkers = [EmbeddingWalker(corpus.graph, embeddings, curiosity) for curiosity in KNOB]
    rows = [{"curiosity": walker.curiosity, **measure(walker)} for walker in walkers]
    setting = {"corpus": arguments.corpus, "seeds": len(SEEDS), "walks": WALKS, "length": LENGTH}
    write_json(arguments.json, {**setting, "knob": rows})
    start = corpus.graph.index(arguments.start)
    walks = {name: drawn_walk(walkers[KNOB.index(c)], start, arguments.seed) for name, c in STYLES.items()}
    with replacing(arguments.png) as temporary:
        draw(walks, corpus.graph, embeddings, rows, temporary)
    print(table(rows))


def drawn_walk(walker: EmbeddingWalker, start: int, seed: int) -> Trace:
    """Return the walk that the picture shows."""
    return walker.walk(start, DRAWN, np.random.default_rng(seed))


def measure(walker: EmbeddingWalker) -> dict[str, dict[str, float]]:
    """Return each measure's mean over walks, with Student's 95% interval from the means of the seeds."""
    # Walks of one seed are not independent of its starts, so seeds are the unit of the interval.
    by_seed = [
        np.mean([figures(trace, walker) for trace in WalkSource(walker, WALKS, LENGTH, seed)], axis=0) for seed in SEEDS
    ]
    means = np.mean(by_seed, axis=0)
    margins = stats.t.ppf(0.975, len(SEEDS) - 1) * stats.sem(by_seed, axis=0)
    return {
        name: {"mean": float(m), "low": float(m - d), "high": float(m + d)}
        for name, m, d in zip(MEASURES, means, margins, strict=True)
    }


def figures(trace: Trace, walker: EmbeddingWalker) -> list[float]:
    """Return the measures of one walk, in the order of `MEASURES`."""
    clicks = [(click.stack[-1], click.chosen) for click in trace.clicks()]
    sources, targets = np.array(clicks).T
    distance = 1 - (walker.embeddings[sources] * walker.embeddings[targets]).sum(1).mean()
    returns = trace.steps.count(BACK) / (len(trace.steps) - 1)
    topics = opened(trace)
    return [float(distance), returns, clustering(walker.graph, topics), float(len(topics))]


def opened(trace: Trace) -> list[int]:
    """Return the pages of a walk, which opens no page twice."""
    return [step for step in trace.steps if step != BACK]


def clustering(graph: TopicGraph, topics: Sequence[int]) -> float:
    """Return the mean clustering coefficient of topics in the subgraph of these topics."""
    links = graph.adjacency[list(topics)][:, list(topics)].toarray()
    degree = links.sum(1)
    triangles = np.diag(links @ links @ links)  # closed walks of three steps, from each topic
    return float(np.mean(triangles / np.maximum(degree * (degree - 1), 1)))


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each degree of curiosity."""
    lines = ["| curiosity | " + " | ".join(MEASURES.values()) + " |", "|---" * (len(MEASURES) + 1) + "|"]
    for row in rows:
        cells = [f"{row[m]['mean']:.3g} ({row[m]['low']:.3g} to {row[m]['high']:.3g})" for m in MEASURES]
        lines.append(f"| {row['curiosity']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(
    walks: dict[str, Trace], graph: TopicGraph, embeddings: NDArray[np.float32], rows: list[dict[str, Any]], path: Path
) -> None:
    """Draw the walks side by side on the same scale, and the measures along the knob below them."""
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.edgecolor": GRID})
    figure = plt.figure(figsize=(13, 9.6), facecolor=GROUND)
    grid = figure.add_gridspec(2, 4, height_ratios=[3.4, 1], hspace=0.16, wspace=0.28)
    grid.update(left=0.045, right=0.975, top=0.845, bottom=0.07)
    places = {name: layout(embeddings[opened(trace)]) for name, trace in walks.items()}
    # One scale for both walks, since the picture compares how far they go.
    reach = 1.12 * max(float(np.abs(place).max()) for place in places.values())
    start = graph.titles[next(iter(walks.values())).steps[0]]
    figure.suptitle(f"Two ways to be curious: {DRAWN} steps from “{start}”", x=0.045, y=0.978, ha="left", size=17)
    figure.text(0.045, 0.937, CAPTION, color=QUIET, size=9.5, va="top", linespacing=1.5)
    for column, (name, trace) in enumerate(walks.items()):
        axes = figure.add_subplot(grid[0, 2 * column : 2 * column + 2])
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", anchor="C")
        axes.axis("off")
        draw_walk(axes, name, trace, dict(zip(opened(trace), places[name], strict=True)), graph)
    for column, (name, title) in enumerate(MEASURES.items()):
        draw_measure(figure.add_subplot(grid[1, column]), title, [row[name] for row in rows])
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=100, facecolor=GROUND)
    # A palette of 128 colours looks the same here, in a third of the bytes.
    Image.open(pixels).convert("RGB").quantize(128).save(path, format="png", optimize=True)


def layout(vectors: NDArray[np.float32]) -> Points:
    """Return places in the plane, `[topics, 2]`, whose distances are as close as possible to the cosine distances."""
    distances = np.clip(1 - vectors @ vectors.T, 0, None).astype(np.float64)
    np.fill_diagonal(distances, 0)
    options = {"metric": "precomputed", "n_init": 8, "init": "random", "random_state": 0, "normalized_stress": False}
    places: Points = MDS(2, **options).fit_transform((distances + distances.T) / 2)
    return places - (places.max(0) + places.min(0)) / 2


def draw_walk(axes: Axes, name: str, trace: Trace, places: dict[int, Points], graph: TopicGraph) -> None:
    """Draw the visited pages, all links between them faintly, clicks as arrows and back clicks dotted."""
    topics, colour = opened(trace), COLOURS[name]
    returns = trace.steps.count(BACK)
    axes.set_title(f"{name}: {len(topics)} topics, {returns} back clicks", color=colour, size=13, weight="bold")
    for source in topics:
        for target in set(graph.out(source).tolist()) & set(topics):
            axes.plot(*np.transpose([places[source], places[target]]), color=GRID, lw=0.9, zorder=1)
    pages = trace.pages()
    arrows = []
    for before, after, step in zip(pages, pages[1:], trace.steps[1:], strict=False):
        back = step == BACK
        look = {"color": QUIET, "lw": 1.1, "ls": (0, (1, 2))} if back else {"color": colour, "lw": 1.8}
        arrow = FancyArrowPatch(
            places[before],
            places[after],
            connectionstyle=f"arc3,rad={0.28 if back else 0.1}",
            arrowstyle="-|>",
            mutation_scale=7 if back else 11,
            shrinkA=5,
            shrinkB=5,
            zorder=2 if back else 3,
            **look,
        )
        arrows.append(axes.add_patch(arrow))
    points = np.array([places[topic] for topic in topics])
    shades = mpl.colors.LinearSegmentedColormap.from_list(name, ["#ffffff", colour])
    axes.scatter(
        *points.T, c=np.linspace(0.15, 1, len(topics)), cmap=shades, vmin=0, vmax=1, s=70, edgecolors=colour, zorder=4
    )
    axes.scatter(*points[0], s=230, facecolors="none", edgecolors=colour, linewidths=1.4, zorder=4)
    label(axes, points, [graph.titles[topic] for topic in topics], arrows)


def label(axes: Axes, points: Points, titles: Sequence[str], arrows: Sequence[FancyArrowPatch]) -> None:
    """Put each title beside its point, where it covers least of the points, arrows and titles before it."""
    axes.figure.canvas.draw()
    pixels = axes.transData.transform(points)
    lines = [arrow.get_transform().transform_path(arrow.get_path()).interpolated(4).vertices for arrow in arrows]
    taken = np.concatenate([_squares(pixels, 9), *(_squares(line, 3) for line in lines)])
    halo = [patheffects.withStroke(linewidth=2.6, foreground=GROUND)]
    for at, (point, title) in enumerate(zip(points, titles, strict=True)):
        text = axes.annotate(title, point, (0, 0), textcoords="offset pixels", size=8.5, zorder=6, path_effects=halo)
        text.set_weight("bold" if at == 0 else "normal")
        options = list(_options(text.get_window_extent()))
        frame = axes.get_window_extent()
        costs = [_covered(box, taken, frame) + 0.4 * np.hypot(*offset) for box, offset in options]
        box, offset = options[int(np.argmin(costs))]
        text.set_position(offset)
        taken = np.concatenate([taken, [box.extents]])


def _squares(centres: Points, half: float) -> Points:
    return np.hstack([centres - half, centres + half])


def _options(box: Bbox) -> Iterator[tuple[Bbox, tuple[float, float]]]:
    """Give boxes and offsets, in pixels, of the places around its point where a label can go."""
    for far in (11, 17, 25):
        for angle in np.arange(0, 2 * np.pi, np.pi / 8):
            x = far * np.cos(angle) - box.width * (1 - np.cos(angle)) / 2
            y = far * np.sin(angle) - box.height * (1 - np.sin(angle)) / 2
            yield box.translated(x, y).expanded(1.04, 1.3), (float(x), float(y))


def _covered(box: Bbox, taken: Points, frame: Bbox) -> float:
    """Return the square pixels of `box` on other boxes, plus ten times those outside the frame."""
    shared = np.minimum(box.max, taken[:, 2:]) - np.maximum(box.min, taken[:, :2])
    inside = np.clip(np.minimum(box.max, frame.max) - np.maximum(box.min, frame.min), 0, None)
    outside = box.width * box.height - inside.prod()
    return float(np.clip(shared, 0, None).prod(1).sum() + 10 * outside)


def draw_measure(axes: Axes, title: str, values: list[dict[str, float]]) -> None:
    """Draw one measure along the knob, with its interval."""
    means = np.array([value["mean"] for value in values])
    low, high = (np.array([value[end] for value in values]) for end in ("low", "high"))
    ramp = mpl.colors.LinearSegmentedColormap.from_list("knob", list(COLOURS.values()))
    axes.plot(KNOB, means, color="#c3c9d4", lw=1.6, zorder=1)
    for x, mean, a, b in zip(KNOB, means, low, high, strict=True):
        axes.errorbar(x, mean, [[mean - a], [b - mean]], fmt="o", ms=6, capsize=3, color=ramp(x), zorder=2)
    axes.set_title(title, size=10, loc="left", color=INK)
    axes.set_xticks([0, 0.5, 1], ["0\nhunter", "0.5", "1\nbusybody"])
    axes.set(xlim=(-0.12, 1.12))
    axes.margins(y=0.18)
    axes.tick_params(colors=QUIET, length=0)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)


if __name__ == "__main__":
    main()
