"""What the measurements of `transfer` say: pairs, and the effect by distance with similarity held fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.benchmark.hypothesis.findings import Finding, finding, finding_of
from kgrl.benchmark.hypothesis.plan import FAR, SEED
from kgrl.benchmark.hypothesis.store import Row
from kgrl.benchmark.statistics import Interval, bootstrap_interval

__all__ = ["by_distance", "pair_differences", "transfer_findings"]

FloatArray = NDArray[np.float64]

_DISTANCES = (2, 3, FAR)
_DRAWS = 2000


def _drop(measured: dict[str, Any]) -> float:
    return float(measured["before"] - measured["after"])


def _unnamed(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return not ours["names"] and not theirs["names"]


def pair_differences(
    rows: Sequence[Row], keep: Callable[[dict[str, Any], dict[str, Any]], bool] = lambda ours, theirs: True
) -> FloatArray:
    """Return by how much more the losses of linked topics fell than their controls', a mean for each learned topic.

    Args:
        rows: Measurements, one for each learned topic.
        keep: Whether a pair counts; learned topics without one that does are left out.

    Returns:
        Nats per token, shape `[learned topics]`.
    """
    means = []
    for row in rows:
        sides = {role: {m["pair"]: m for m in row["measured"] if m["role"] == role} for role in ("linked", "control")}
        pairs = [(ours, sides["control"][pair]) for pair, ours in sides["linked"].items()]
        kept = [_drop(ours) - _drop(theirs) for ours, theirs in pairs if keep(ours, theirs)]
        means += [float(np.mean(kept))] if kept else []
    return np.array(means)


def transfer_findings(rows: Sequence[Row], corpus: str, learner: str) -> list[Finding]:
    """Return the findings on pairs: all of them, and those that the learned topic's title has no part in."""
    about = ("transfer", corpus, learner)
    all_pairs = "drop of linked topics minus matched unlinked ones, nats per token"
    unnamed = "the same in pairs whose probe passages do not name what was learned"
    found = [
        _found(pair_differences(rows), all_pairs, about),
        _found(pair_differences(rows, _unnamed), unnamed, about),
    ]
    coefficients, drawn = _coefficients(rows)
    for k, value, draws in zip(_DISTANCES, coefficients, drawn.T, strict=False):
        if not np.isfinite(value):
            continue
        name = f"drop at distance 1 minus distance {_name(k)}, similarity and popularity held fixed, nats per token"
        interval = _percentiles(-float(value), -draws)
        found.append(finding_of(interval, None, len(rows), "transfer", name, corpus, learner, "topics"))
    return [f for f in found if f is not None]


def _found(differences: FloatArray, measure: str, about: tuple[str, str, str]) -> Finding | None:
    question, corpus, learner = about
    return finding(differences, question, measure, corpus, learner, "topics")


def _name(distance: int) -> str:
    return f"{distance}+" if distance == FAR else str(distance)


def by_distance(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the drop of the loss by distance: as it is, and at the covariates of linked topics.

    Distance 0 is the learned topic itself. Intervals are over learned topics, each drawn with all that was measured
    around it.
    """
    own = np.array([_drop(row["own"]) for row in rows])
    table = [{"distance": "0", "topics": len(own), **_interval("drop", bootstrap_interval([own], _mean))}]
    coefficients, drawn = _coefficients(rows)
    for k in (1, *_DISTANCES):
        held = [[m for m in row["measured"] if m["distance"] == k] for row in rows]
        means = np.array([np.mean([_drop(m) for m in ms]) for ms in held if ms])
        if not len(means):
            continue
        line = {
            "distance": _name(k),
            "topics": sum(map(len, held)),
            **_interval("drop", bootstrap_interval([means], _mean)),
        }
        line |= {name: float(np.mean([m[name] for ms in held for m in ms])) for name in ("cosine", "log_degree")}
        if k > 1 and np.isfinite(coefficients[k - 2]):
            adjusted = _percentiles(float(coefficients[k - 2]), drawn[:, k - 2])
            line |= _interval("adjusted_difference_from_1", adjusted)
        table.append(line)
    return table


def _mean(strata: Sequence[FloatArray]) -> float:
    return float(strata[0].mean())


def _interval(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _percentiles(value: float, draws: FloatArray) -> Interval:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(value, min(float(low), value), max(float(high), value))


def _coefficients(rows: Sequence[Row]) -> tuple[FloatArray, FloatArray]:
    """The drop at distances 2, 3 and 4+ less that at 1, by least squares, and the same in each bootstrap draw.

    Covariates are cosine, its square, log-degree and whether the category is the learned topic's; each learned topic
    has its own intercept, and is drawn as a whole. A distance that nothing was measured at has NaN.
    """
    grams, moments = zip(*(_normal_equations(row) for row in rows), strict=True)
    gram, moment = np.array(grams), np.array(moments)
    n, rng = len(rows), np.random.default_rng(SEED)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)
    drawn = _solved(np.tensordot(weights, gram, 1), weights @ moment)
    seen = np.diagonal(gram.sum(axis=0))[:3] > 0
    value = _solved(gram.sum(axis=0)[None], moment.sum(axis=0)[None])[0]
    return np.where(seen, value, np.nan), np.where(seen, drawn, np.nan)


def _solved(gram: FloatArray, moment: FloatArray) -> FloatArray:
    """The coefficients of the three distances, `[draws, 3]`."""
    solved: FloatArray = (np.linalg.pinv(gram, hermitian=True) @ moment[:, :, None])[:, : len(_DISTANCES), 0]
    return solved


def _normal_equations(row: Row) -> tuple[FloatArray, FloatArray]:
    """X'X and X'y of what was measured around one topic, its own means taken off."""
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
