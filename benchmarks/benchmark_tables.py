"""The tables of docs/results/benchmark.md: what was asked, how much is measured, all agents at a glance, each place.

A speed-up with a sign of less or equal is a bound: some runs never reached the loss, and count at the budget.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kgrl.benchmark.comparison import BASELINE, across_goals, finished
from kgrl.benchmark.report.computed import Computed
from kgrl.benchmark.report.results import PlaceKey, Results
from kgrl.benchmark.report.tables import MARKS, Column, Table, aggregate_table, share, span, verdict_table
from kgrl.benchmark.scores import CEILING, rank_agents
from kgrl.benchmark.statistics import paired_difference

Row = Mapping[str, Any]

CONTROLS = {"interleaved": "random-interleaved", "coherent": "iid"}
"""Agents and what they are without their own idea: the policy, or the filter."""

CORPORA = ("vital", "wikispeedia")
TASKS = ("target", "coverage", "noisy", "limited", "forgetting", "deceptive")
_SCRATCH, _LORA = "scratch", "lora"
_CORPORA = {_SCRATCH: CORPORA, _LORA: ("vital",)}
_SPEEDUPS = {("target", _SCRATCH): "interleaved", ("noisy", _SCRATCH): "coherent"}
"""Where half of random's tokens were asked for, and the agent of kgrl's that needs the fewest there."""
_FEWEST_GOALS = 3
_SEEDS, _HOURS, _WORKERS, _OVERHEAD = 10, 6.0, 2, 0.05


def asked(results: Results) -> str:
    """What the benchmark had to reach, what was reached, and with how many seeds."""
    rows = [*_half_the_tokens(results), *_with_smollm2(results), *_ahead(results), *_expenses(results)]
    columns = [Column(name, lambda row, name=name: row[name], text=True) for name in ("required", "found", "reached")]
    return Table(columns, rows).markdown()


def measured(results: Results) -> str:
    """How many agents and seeds there are in each place."""
    columns = [Column("task", lambda row: row["task"], text=True)]
    for learner, corpora in _CORPORA.items():
        for corpus in corpora:
            place = f"{corpus}, {learner}"
            columns.append(Column(place, lambda row, place=place: row[place], text=True))
    tasks = [*TASKS, *sorted({row["task"] for row in results.figures} - set(TASKS))]
    rows = [
        {"task": t} | {f"{c}, {at}": _counted(results, t, c, at) for at, some in _CORPORA.items() for c in some}
        for t in tasks
    ]
    return Table(columns, rows).markdown()


def glance(results: Results) -> Iterator[str]:
    """Verdicts and speed-ups of all agents of each learner, in the order of their mean rank."""
    for learner, corpora in _CORPORA.items():
        wanted = [PlaceKey(learner, task, corpus) for task in TASKS for corpus in corpora]
        places = [place for place in wanted if place in results.places]
        rows = [{"agent": agent, **_by_place(results, places, agent)} for agent in results.agents(learner)]
        for title, told in (("AULC below random's, nats per token", _gain), ("times fewer tokens than random", _speed)):
            columns = [Column("agent", lambda row: row["agent"], text=True)]
            columns += [Column(f"{at.task}, {at.corpus}", lambda row, at=at, told=told: told(row[at])) for at in places]
            yield f"### {learner}: {title}\n\n{Table(columns, rows).markdown()}"


def noise_worth(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What it would be worth to read what random reads without its planted tokens, if these taught it nothing.

    A curriculum without them is at any token where random is at that token divided by the share of real ones.
    """
    found = []
    for (task, corpus, learner), cells in sorted(finished(rows).items()):
        if task == "noisy" and (seeds := cells.get(BASELINE)):
            saved = [_area_saved(row) for row in seeds.values()]
            noise = float(np.mean([row["noise_share"] for row in seeds.values()]))
            place = {"corpus": corpus, "learner": learner, "seeds": len(saved), "noise_share": noise}
            found.append({**place, "speedup": 1 / (1 - noise), "area": float(np.mean(saved))})
    return found


def _area_saved(row: Row) -> float:
    real = 1 - row["noise_share"]
    tokens, losses = np.array(row["curve"], dtype=float).T
    at = np.linspace(0.0, tokens[-1] * real, 1_000)
    return float((np.interp(at, tokens, losses) - np.interp(at / real, tokens, losses)).mean())


def tables(computed: Computed) -> Iterator[str]:
    """The aggregates of each learner, then the verdicts of each place: who has any cell, without sentences."""
    rows = computed.results.rows
    goals = [row for row in across_goals(rows) if row["goals"] >= _FEWEST_GOALS]
    yield "### Over all goals of target\n\n" + Table(_GOAL_COLUMNS, goals).markdown()
    for agent, control in CONTROLS.items():
        yield f"### {agent} minus {control}\n\n" + Table(_GAIN_COLUMNS, gains(rows, agent, control)).markdown()
    yield "### Random picks without their planted tokens\n\n" + Table(_NOISE_COLUMNS, noise_worth(rows)).markdown()
    for learner, places in computed.results.learners.items():
        yield f"### All tasks, {learner}\n\n{aggregate_table(computed.aggregates[learner], len(places)).markdown()}"
        for place in places:
            table = verdict_table(computed.results, place)
            columns = [column for column in table.columns if column.heading != "in words"]
            if computed.noise[place]:
                columns.append(Column("noise", lambda row: share(row["noise_share"]), "of tokens"))
            there = [row for row in table.rows if row["seeds"]]
            folded = f"<details><summary>{html.escape(place.name)}</summary>"
            yield f"{folded}\n\n{Table(columns, there).markdown()}\n</details>\n"


def gains(rows: Sequence[Row], agent: str, control: str) -> list[dict[str, Any]]:
    """The area of an agent less that of its control, seed by seed, in each place."""
    found = []
    for (task, corpus, learner), cells in sorted(finished(rows).items()):
        ours, theirs = cells.get(agent, {}), cells.get(control, {})
        if seeds := sorted(ours.keys() & theirs.keys()):
            gain = paired_difference([ours[s]["aulc"] for s in seeds], [theirs[s]["aulc"] for s in seeds])
            place = {"task": task, "corpus": corpus, "learner": learner, "pairs": len(seeds)}
            limits = {"low": gain.low, "high": gain.high} if len(seeds) > 1 else {"low": None, "high": None}
            found.append({**place, "difference": gain.value, **limits})
    return found


def _half_the_tokens(results: Results) -> Iterator[Row]:
    for (task, learner), agent in _SPEEDUPS.items():
        for corpus in _CORPORA[learner]:
            row = _figure(results, task, corpus, learner, agent)
            reached = not row["censored"] and row["speedup"] >= 2 and _above(row["speedup_low"], 1.3)
            within = "" if row["censored"] else f" ({_limits(row, 'speedup_', '.2f')})"
            found = f"{agent}: {_speed(row)}{within} times fewer, {row['pairs']} seeds"
            yield _told(f"{task} on {corpus}: 2 times fewer tokens than random, interval above 1.3", found, reached)


def _with_smollm2(results: Results) -> Iterator[Row]:
    goals = {(row["learner"], row["agent"]): row for row in across_goals(results.rows)}
    row = goals[_LORA, "interleaved"]
    reached = row["goals"] >= 6 and row["speedup"] >= 1.6 and _above(row["speedup_low"], 1.3)
    found = f"interleaved: {row['speedup']:.2f} ({_limits(row, 'speedup_', '.2f')}), {row['pairs']} pairs"
    yield _told("SmolLM2, six goals of target: 1.6 times fewer tokens, interval above 1.3", found, reached)
    row = _figure(results, "noisy", "vital", _LORA, "coherent")
    reached = row["difference_high"] is not None and row["difference_high"] < 0
    found = f"coherent: {row['difference']:+.3f} ({_limits(row, 'difference_', '+.3f')}) nats, {row['pairs']} pairs"
    yield _told("SmolLM2, noisy: AULC below random's, interval below 0", found, reached)


def _ahead(results: Results) -> Iterator[Row]:
    ranked = {(row["learner"], row["agent"]): row for row in rank_agents(results.rows)}
    row = ranked[_SCRATCH, "interleaved"]
    lead = f"{row['ahead']:.2f} ({_limits(row, 'ahead_', '.2f')})"
    found = f"interleaved: {row['score']:.2f}, ahead of the best, {row['rival']}, by {lead}"
    yield _told("normalised score above that of every published bandit", found, _above(row["ahead_low"], 0.0))


def _expenses(results: Results) -> Iterator[Row]:
    cells = [row for row in results.rows if row["learner"] == _SCRATCH and row["status"] == "finished"]
    seconds: dict[tuple[str, ...], list[float]] = {}
    for row in cells:
        if row["task"] in TASKS:
            seconds.setdefault((row["task"], row["corpus"], row["agent"]), []).append(row["seconds"]["all"])
    fastest, usual = (_hours([statistic(some) for some in seconds.values()]) for statistic in (np.min, np.median))
    grid = len({agent for _, _, agent in seconds}) * len(TASKS) * len(CORPORA)
    found = f"{fastest:.1f} hours by the fastest seed of each cell, {usual:.1f} by the median, on several machines"
    reached = fastest <= _HOURS and len(seconds) == grid
    yield _told(f"all scratch cells, {_SEEDS} seeds, in {_HOURS:.0f} hours on two cores", found, reached)
    overhead = np.array([row["overhead"] for row in cells])
    within = float((overhead <= _OVERHEAD).mean())
    found = f"median {np.median(overhead):.1%}; {within:.0%} of {len(cells):,} cells are within it"
    yield _told(f"a cell's time outside the learner at most {_OVERHEAD:.0%}", found, within == 1)


def _hours(seconds: Sequence[float]) -> float:
    """What cells that take so long take with all seeds."""
    return _SEEDS * float(np.sum(seconds)) / _WORKERS / 3600


def _told(required: str, found: str, reached: bool) -> Row:
    return {"required": required, "found": found, "reached": "yes" if reached else "no"}


def _counted(results: Results, task: str, corpus: str, learner: str) -> str:
    place = PlaceKey(learner, task, corpus)
    seeds = {row["agent"]: row["seeds"] for row in results.figures if PlaceKey.of(row) == place}
    ceiling = f"; {CEILING} {seeds.pop(CEILING)}" if CEILING in seeds else ""
    if not seeds:
        return "none"
    low, high = min(seeds.values()), max(seeds.values())
    return f"{len(seeds)} agents, {low if low == high else f'{low} to {high}'} seeds{ceiling}"


def _by_place(results: Results, places: Sequence[PlaceKey], agent: str) -> dict[PlaceKey, Row | None]:
    there = {(PlaceKey.of(row), row["agent"]): row for row in results.figures}
    return {place: there.get((place, agent)) for place in places}


def _figure(results: Results, task: str, corpus: str, learner: str, agent: str) -> Row:
    place = PlaceKey(learner, task, corpus)
    return next(row for row in results.figures if PlaceKey.of(row) == place and row["agent"] == agent)


def _gain(row: Row | None) -> str:
    if row is None or row["difference"] is None:
        return MARKS["missing"]
    return BASELINE if row["agent"] == BASELINE else f"{MARKS[row['verdict']]} {-row['difference']:+.3f}"


def _speed(row: Row | None) -> str:
    if row is None or row["speedup"] is None:
        return MARKS["missing"]
    return f"≤ {row['speedup']:.2f}" if row["censored"] else f"{row['speedup']:.2f}"


def _above(limit: float | None, least: float) -> bool:
    return limit is not None and limit > least


def _limits(row: Row, prefix: str, form: str = ".3f") -> str:
    return span(row[f"{prefix}low"], row[f"{prefix}high"], form)


_GOAL_COLUMNS = (
    *(Column(name, lambda row, name=name: str(row[name]), text=True) for name in ("learner", "agent")),
    *(Column(name, lambda row, name=name: str(row[name])) for name in ("goals", "pairs")),
    Column("speed-up", lambda row: f"{row['speedup']:.2f}", "times fewer tokens", lambda row: _limits(row, "speedup_")),
    Column("loss not reached", lambda row: str(row["censored"]), "runs"),
)
_GAIN_COLUMNS = (
    *(Column(name, lambda row, name=name: str(row[name]), text=True) for name in ("task", "corpus", "learner")),
    Column("pairs", lambda row: str(row["pairs"])),
    Column("AULC", lambda row: f"{row['difference']:+.3f}", "nats per token", lambda row: _limits(row, "")),
)
_NOISE_COLUMNS = (
    *(Column(name, lambda row, name=name: str(row[name]), text=True) for name in ("corpus", "learner")),
    Column("seeds", lambda row: str(row["seeds"])),
    Column("planted", lambda row: share(row["noise_share"]), "of random's tokens"),
    Column("speed-up without them", lambda row: f"{row['speedup']:.2f}", "times fewer tokens"),
    Column("AULC saved", lambda row: f"{row['area']:.3f}", "nats per token"),
)
