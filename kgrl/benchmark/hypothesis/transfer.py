"""The question `transfer`: does learning a topic lower the losses of linked topics more than those of unlinked ones?

A learner learns one topic on a fork and is measured on probe passages of the planned topics before and after. The drop
of a loss is the loss before less the loss after, in nats per token. Two estimates set links apart from similarity:
matched pairs (`pair_differences`), and least squares over all distances with covariates held fixed (`by_distance`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kgrl.benchmark.hypothesis.findings import Finding, finding, finding_of
from kgrl.benchmark.hypothesis.measuring import MeasurementFolder, Row
from kgrl.benchmark.hypothesis.plan import FAR, SEED, Plan, Planner
from kgrl.benchmark.statistics import Interval, bootstrap_interval
from kgrl.corpus import Corpus, Passages, Split
from kgrl.learners.base import Learner
from kgrl.probes.forks import losses_after
from kgrl.probes.prober import Prober
from kgrl.system.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "LESSON_TOKENS",
    "STATES",
    "by_distance",
    "chosen",
    "draw_distances",
    "lesson",
    "measure_topics",
    "pair_differences",
    "prepare",
    "transfer_findings",
]

FloatArray = NDArray[np.float64]

LESSON_TOKENS = 512
"""Tokens that are learned of every topic; its train passages are read again until they are used up."""
STATES = ("cold", "trained")
"""Before any training, and after some text of the half of the topics that is never learned on forks."""
_TRAINED_TOKENS = {"lora": 20_000}
_SCRATCH_TOKENS = 100_000
"""A scratch learner knows nothing at first; after so many tokens it has the frequent words and how they follow."""

_DISTANCES = (2, 3, FAR)
"""The distances that are compared with distance 1, in links."""
_DRAWS = 2000
"""Bootstrap draws: enough for limits to be steady in the second digit."""

_RAW, _ADJUSTED, _QUIET = "#9aa3b5", "#2457c5", "#626b7d"
_COLUMNS, _CELL = 3, (3.4, 2.7)
"""Most panels in a row of the picture, and width and height of a panel in inches."""


def chosen(planner: Planner, topics: int) -> list[Plan]:
    """Return the plans around the first topics that have a pair, and around the topics before them that have none."""
    plans: list[Plan] = []
    for plan in planner.plans():
        if sum(bool(p.measured) for p in plans) == topics:
            break
        plans.append(plan)
    return plans


def prepare(learner: Learner, name: str, state: str, planner: Planner) -> int:
    """Bring a fresh learner to a state, and return the tokens that it was trained on.

    Args:
        learner: The learner.
        name: Its name.
        state: One of `STATES`.
        planner: Knows the half of the topics that is read.
    """
    if state == "cold":
        return 0
    corpus = planner.corpus
    readable = np.flatnonzero((corpus.splits == Split.TRAIN) & planner.taught[corpus.topics])
    # Drawn uniformly, not along links: otherwise neighbours would have more in common from here on.
    drawn = np.random.default_rng(SEED).permutation(readable)
    return learner.learn(corpus.select(drawn), _TRAINED_TOKENS.get(name, _SCRATCH_TOKENS)).tokens


def lesson(corpus: Corpus, learner: Learner, topic: int) -> Passages:
    """Return a topic's train passages, repeated until they have `LESSON_TOKENS`."""
    ids = corpus.ids_of(topic, Split.TRAIN)
    tokens = int(learner.count_tokens(corpus.select(ids)).sum())
    return corpus.select(np.tile(ids, -(-LESSON_TOKENS // tokens)))  # rounded up


def measure_topics(
    corpus: Corpus, learner: Learner, plans: list[Plan], store: MeasurementFolder, under: str
) -> Iterator[Row]:
    """Measure around each planned topic, except for measurements that the store holds.

    Args:
        corpus: The corpus.
        learner: The learner, in the state that forks begin from; it is put back after each.
        plans: The plans.
        store: Keeps one measurement per learned topic.
        under: Subfolder of the store.
    """
    prober = Prober(corpus, learner, {})
    for plan in plans:
        if plan.measured:
            yield store.once(f"{under}/{plan.topic}", partial(_measure, corpus, prober, plan))


def _measure(corpus: Corpus, prober: Prober, plan: Plan) -> dict[str, Any]:
    topics = np.array([plan.topic, *(m.topic for m in plan.measured)], dtype=np.int32)
    before = prober.losses(topics).tolist()
    after = losses_after(prober, lesson(corpus, prober.learner, plan.topic), LESSON_TOKENS, topics).tolist()
    own = {"before": before[0], "after": after[0]}
    measured = [
        {**asdict(m), "before": b, "after": a} for m, b, a in zip(plan.measured, before[1:], after[1:], strict=True)
    ]
    return {"topic": plan.topic, "title": corpus.graph.titles[plan.topic], "own": own, "measured": measured}


def _drop(measured: dict[str, Any]) -> float:
    """Return by how much a loss fell, in nats per token."""
    return float(measured["before"] - measured["after"])


def pair_differences(
    rows: Sequence[Row], keep: Callable[[dict[str, Any], dict[str, Any]], bool] = lambda ours, theirs: True
) -> FloatArray:
    """Return the drop of linked topics less that of their controls, a mean for each learned topic.

    Args:
        rows: Measurements, one for each learned topic.
        keep: Whether a pair of measured topics counts. Learned topics without such a pair are left out.

    Returns:
        Nats per token, shape `[learned topics]`.
    """
    means = []
    for row in rows:
        sides = {role: {m["pair"]: m for m in row["measured"] if m["role"] == role} for role in ("linked", "control")}
        pairs = [(ours, sides["control"][pair]) for pair, ours in sides["linked"].items()]
        kept = [_drop(ours) - _drop(theirs) for ours, theirs in pairs if keep(ours, theirs)]
        # Pairs around one topic share its lesson and are not independent, so the learned topic is the unit.
        means += [float(np.mean(kept))] if kept else []
    return np.array(means)


def transfer_findings(rows: Sequence[Row], corpus: str, learner: str) -> list[Finding]:
    """Return the findings on all pairs, on pairs that do not name the learned topic, and on each distance.

    Args:
        rows: Measurements, one for each learned topic.
        corpus: The corpus by name.
        learner: The learner by name, with its state.
    """
    all_pairs = "drop of linked topics minus matched unlinked ones, nats per token"
    unnamed = "the same in pairs whose probe passages do not name what was learned"
    # A passage with the learned title could gain from the title's words alone, without any knowledge of links.
    without_names = pair_differences(rows, lambda ours, theirs: not ours["names"] and not theirs["names"])
    found = [
        finding(pair_differences(rows), "transfer", all_pairs, corpus, learner, "topics"),
        finding(without_names, "transfer", unnamed, corpus, learner, "topics"),
    ]
    coefficients, drawn = _coefficients(rows)
    for k, value, draws in zip(_DISTANCES, coefficients, drawn.T, strict=False):
        if not np.isfinite(value):
            continue
        name = f"drop at distance 1 minus distance {_name(k)}, similarity and popularity held fixed, nats per token"
        # The coefficient is distance k less distance 1; a finding is positive where links help.
        interval = _percentiles(-float(value), -draws)
        found.append(finding_of(interval, None, len(rows), "transfer", name, corpus, learner, "topics"))
    return [f for f in found if f is not None]


def _name(distance: int) -> str:
    return f"{distance}+" if distance == FAR else str(distance)


def by_distance(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the drop of the loss by distance: as measured, and adjusted to the covariates of linked topics.

    Distance 0 is the learned topic itself. Intervals are bootstrap intervals over learned topics, each drawn with all
    that was measured around it.
    """
    own = np.array([_drop(row["own"]) for row in rows])
    table = [{"distance": "0", "topics": len(own), **_limits("drop", bootstrap_interval([own], _mean))}]
    coefficients, drawn = _coefficients(rows)
    for k in (1, *_DISTANCES):
        held = [[m for m in row["measured"] if m["distance"] == k] for row in rows]
        means = np.array([np.mean([_drop(m) for m in ms]) for ms in held if ms])
        if not len(means):
            continue
        line = {
            "distance": _name(k),
            "topics": sum(map(len, held)),
            **_limits("drop", bootstrap_interval([means], _mean)),
        }
        line |= {name: float(np.mean([m[name] for ms in held for m in ms])) for name in ("cosine", "log_degree")}
        if k > 1 and np.isfinite(coefficients[k - 2]):  # coefficients begin at distance 2
            adjusted = _percentiles(float(coefficients[k - 2]), drawn[:, k - 2])
            line |= _limits("adjusted_difference_from_1", adjusted)
        table.append(line)
    return table


def _mean(strata: Sequence[FloatArray]) -> float:
    return float(strata[0].mean())


def _limits(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _percentiles(value: float, draws: FloatArray) -> Interval:
    """Return the percentile interval of bootstrap draws, widened where that is needed to hold the estimate."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(value, min(float(low), value), max(float(high), value))


def _coefficients(rows: Sequence[Row]) -> tuple[FloatArray, FloatArray]:
    """Estimate the drop at distances 2, 3 and 4+ less that at distance 1, by least squares.

    Covariates are cosine, its square, log-degree and whether the category is the learned topic's. Each learned topic
    has an intercept of its own, which takes up how much its lesson helps everything.

    Returns:
        The coefficients, `[3]`, and those of each draw of a bootstrap over learned topics (a cluster bootstrap),
        `[draws, 3]`; NaN for a distance at which nothing was measured.
    """
    grams, moments = zip(*(_normal_equations(row) for row in rows), strict=True)
    gram, moment = np.array(grams), np.array(moments)  # [topics, 7, 7] and [topics, 7]
    n, rng = len(rows), np.random.default_rng(SEED)
    # A draw takes topic i some number of times, so its normal equations are sums with those numbers as weights.
    weights = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)
    drawn = _solved(np.tensordot(weights, gram, 1), weights @ moment)
    seen = np.diagonal(gram.sum(axis=0))[:3] > 0
    value = _solved(gram.sum(axis=0)[None], moment.sum(axis=0)[None])[0]
    return np.where(seen, value, np.nan), np.where(seen, drawn, np.nan)


def _solved(gram: FloatArray, moment: FloatArray) -> FloatArray:
    """Solve normal equations and return the coefficients of the three distances, `[draws, 3]`.

    The pseudo-inverse also solves draws in which a column is constant, where the inverse does not exist.
    """
    solved: FloatArray = (np.linalg.pinv(gram, hermitian=True) @ moment[:, :, None])[:, : len(_DISTANCES), 0]
    return solved


def _normal_equations(row: Row) -> tuple[FloatArray, FloatArray]:
    """Return X'X and X'y of the measurements around one topic.

    Subtracting the topic's own means is the same as an intercept for each topic (the within transformation).
    """
    held = row["measured"]
    x = np.array(
        [
            [
                *(m["distance"] == k for k in _DISTANCES),
                m["cosine"],
                m["cosine"] ** 2,
                m["log_degree"],
                m["same_category"],
            ]
            for m in held
        ],
        dtype=np.float64,
    )
    y = np.array([_drop(m) for m in held])
    x, y = x - x.mean(axis=0), y - y.mean()
    return x.T @ x, x.T @ y


def draw_distances(path: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the drop of the loss at each distance from 1 on, as measured and with similarity and popularity held fixed.

    Args:
        path: A PNG file; replaced atomically.
        tables: Tables of `by_distance` by the name of the panel; at least one.
    """
    # Here, since measurements need no matplotlib, and without pyplot, which would look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(tables))
    rows = -(-len(tables) // columns)
    figure = Figure(figsize=(_CELL[0] * columns, _CELL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, table) in enumerate(tables.items(), start=1):
        _panel(figure.add_subplot(rows, columns, place), name, table)
    figure.axes[0].legend(frameon=False, fontsize=7)
    figure.supxlabel("links from the learned topic", fontsize=8)
    figure.supylabel("drop of the loss, nats per token", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _panel(axes: Axes, name: str, table: Sequence[Mapping[str, Any]]) -> None:
    lines = [line for line in table if line["distance"] != "0"]  # the learned topic's own drop would dwarf the others
    at = {line["distance"]: place for place, line in enumerate(lines)}
    axes.axhline(0, color=_QUIET, linewidth=0.6)
    _errors(axes, list(at.values()), lines, "drop", 0.0, _RAW, "as measured")
    adjusted = [line for line in lines if "adjusted_difference_from_1" in line]
    if adjusted and "1" in at:
        base = lines[at["1"]]["drop"]
        places = [at[line["distance"]] + 0.12 for line in adjusted]  # beside the dots of the measured drops
        _errors(
            axes, places, adjusted, "adjusted_difference_from_1", base, _ADJUSTED, "at the covariates of distance 1"
        )
    axes.set_xticks(list(at.values()), list(at))
    axes.set_title(name, fontsize=8)
    axes.tick_params(labelsize=7)


def _errors(
    axes: Axes,
    places: Sequence[float],
    lines: Sequence[Mapping[str, Any]],
    name: str,
    base: float,
    colour: str,
    label: str,
) -> None:
    values = [base + line[name] for line in lines]
    below = [line[name] - line[f"{name}_low"] for line in lines]
    above = [line[f"{name}_high"] - line[name] for line in lines]
    axes.errorbar(places, values, [below, above], fmt="o", markersize=3.5, capsize=2, color=colour, label=label)
