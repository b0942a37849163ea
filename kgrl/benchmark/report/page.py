"""The page of a benchmark: verdicts, curves, aggregates, cost, what was kept, noise, curricula, and how it was made."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from plotly.graph_objects import Figure

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.computed import Computed, csv_tables
from kgrl.benchmark.report.curricula import as_json, cell_name, shown_curricula, write_curricula
from kgrl.benchmark.report.figures import dots_figure, exam_curves_figure, phases_figure, profiles_figure
from kgrl.benchmark.report.markdown import PROTOCOL, as_markdown, commands
from kgrl.benchmark.report.matrix import DASHES, matrix, verdicts
from kgrl.benchmark.report.pictures import draw_pictures
from kgrl.benchmark.report.results import Gap, PlaceKey, Results, Row
from kgrl.benchmark.report.style import BENCHMARK_BEHAVIOUR, BENCHMARK_STYLE
from kgrl.benchmark.report.tables import (
    aggregate_table,
    cost_table,
    gaps_table,
    kept_table,
    listed,
    noise_table,
    summary,
)
from kgrl.benchmark.scores import CEILING
from kgrl.report.page import _card, _document, _figure, _grid
from kgrl.report.style import STYLE
from kgrl.system.files import write_text

__all__ = ["as_page", "write_benchmark_report"]


_FORGETTING = "forgetting"

_TITLE = "Does it beat random?"


def as_page(computed: Computed) -> str:
    """Return the page as one HTML document."""
    sections = {
        "verdicts": ("Verdicts", _verdicts(computed)),
        "curves": ("Sample efficiency", _curves(computed)),
        "aggregates": ("All places together", _aggregates(computed)),
        "cost": ("Cost", _cost(computed)),
        "kept": ("Forgetting", _kept(computed)),
        "noise": ("Noise budget", _noise(computed)),
        "curricula": ("Curricula", _curricula(computed)),
        "how": ("How this was made", _how(computed)),
    }
    there = {name: section for name, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, (heading, _) in there.items())
    body = [
        f'<header><h1>{_TITLE}</h1><p>{_lead(computed)}</p><nav class="contents" aria-label="contents">{links}</nav>',
        "</header>",
        *(_section(name, *section) for name, section in there.items()),
    ]
    return _document(f"kgrl bench: {_TITLE}", "\n".join(body), STYLE + BENCHMARK_STYLE, BENCHMARK_BEHAVIOUR)


def _section(name: str, heading: str, content: str) -> str:
    return f'<section id="{name}"><h2><a class="anchor" href="#{name}">{heading}</a></h2>{content}</section>'


def _lead(computed: Computed) -> str:
    results = computed.results
    finished = sum(row["status"] == "finished" for row in results.rows)
    failed, missing = _count(results.gaps, failed=True), _count(results.gaps, failed=False)
    learners = " and ".join(html.escape(learner) for learner in results.learners)
    return (
        f"{len(computed.looks)} agents in {len(results.places)} places (a task on a corpus with a learner: {learners}"
        f"), each compared with {BASELINE} picks on paired seeds. Cells: {finished:,} finished, {failed:,} failed, "
        f"{missing:,} missing. Made by kgrl {html.escape(version('kgrl'))}."
    )


def _count(gaps: Iterable[Gap], *, failed: bool) -> int:
    return sum(len(gap.seeds) for gap in gaps if (gap.error is not None) == failed)


def _verdicts(computed: Computed) -> str:
    results = computed.results
    told = summary(row for rows in computed.verdicts.values() for row in rows)
    counted = ", ".join(f"<b>{number:,}</b> {word}" for word, number in told.items() if number or word != "missing")
    lead = f'<p class="lead">Of {sum(told.values()):,} comparisons with {BASELINE}: {counted}.</p>'
    gaps = ""
    if results.gaps:
        cells = sum(len(gap.seeds) for gap in results.gaps)
        inside = gaps_table(results).html("Cells without figures")
        gaps = _card(_details(f"<b>Cells without figures: {cells:,}</b><small>which, and why</small>", inside))
    return (
        lead + _card(matrix(computed)) + gaps + "<h3>By place</h3>" + _buttons("verdicts") + _card(verdicts(computed))
    )


def _buttons(section: str) -> str:
    return (
        f'<div class="buttons"><button type="button" data-of="{section}" data-open="yes">open all</button>'
        f'<button type="button" data-of="{section}" data-open="no">close all</button></div>'
    )


def _curves(computed: Computed) -> str:
    lead = (
        '<p class="lead">The exam’s loss over tokens trained on: the interquartile mean over seeds, with pointwise 95% '
        "intervals. Lower is better. The boxes show and hide agents in all figures.</p>"
    )
    cards = (
        _figure_with(place.name, exam_curves_figure(rows, computed.looks)) + _gaps(computed.results.gaps_of(place))
        for place, rows in computed.curves.items()
    )
    return lead + _agents(computed) + _grid(cards)


def _agents(computed: Computed) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" value="{html.escape(agent, quote=True)}"{" checked" if look.shown else ""}>'
        f'<svg aria-hidden="true" viewBox="0 0 26 8"><path d="M0 4H26" stroke="{look.colour}" stroke-width="3" '
        f'stroke-dasharray="{DASHES[look.dash]}"/></svg>{html.escape(agent)}</label>'
        for agent, look in computed.looks.items()
    )
    choices = {"first": f"{BASELINE} and the best", "all": "all", "none": "none"}
    buttons = "".join(f'<button type="button" data-choose="{key}">{text}</button>' for key, text in choices.items())
    return f'<fieldset class="agents"><legend class="unseen">agents shown</legend>{boxes}{buttons}</fieldset>'


def _aggregates(computed: Computed) -> str:
    return "".join(_aggregates_of(computed, learner) for learner in computed.results.learners)


def _aggregates_of(computed: Computed, learner: str) -> str:
    rows, places = computed.aggregates[learner], computed.results.learners[learner]
    scored = [row for row in rows if row.get("score") is not None]
    named = html.escape(learner)
    if scored:
        figures = [
            _figure_with("Performance profiles", profiles_figure(computed.profiles[learner], computed.looks)),
            _dots("Normalised score", rows, "score", f"0 {BASELINE}, 1 {CEILING}", computed, 0.0),
        ]
    else:
        figures = [f"<p>No normalised scores: no place has {BASELINE} and an {CEILING} that is better.</p>"]
    others = [row for row in rows if row["agent"] != BASELINE]
    if others:
        title = f"probability that a run is better than one of {BASELINE}"
        figures.append(_dots("Probability of improvement", others, "improvement", title, computed, 0.5))
    table = _card(aggregate_table(rows, len(places)).html(f"Aggregates, learner {learner}"))
    gaps = _gaps([gap for gap in computed.results.gaps if gap.place.learner == learner])
    return f"<h3>Learner {named}</h3>{_grid(figures)}{table}{gaps}"


def _dots(heading: str, rows: Sequence[Row], name: str, title: str, computed: Computed, mark: float) -> str:
    return _figure_with(heading, dots_figure(rows, name, title, computed.looks, mark=mark))


def _cost(computed: Computed) -> str:
    parts = []
    for learner, rows in computed.mean_costs.items():
        figure = _figure_with("Where the time goes", phases_figure(rows))
        table = cost_table(rows).html(f"Cost of an average cell, learner {learner}")
        gaps = _gaps([gap for gap in computed.results.gaps if gap.place.learner == learner])
        parts.append(f"<h3>Learner {html.escape(learner)}</h3>{_card(figure)}{_card(table)}{gaps}")
    return '<p class="lead">What an average cell takes; retrieval is part of research.</p>' + "".join(parts)


def _kept(computed: Computed) -> str:
    found = {place: rows for place, rows in computed.kept.items() if rows}
    lead = (
        '<p class="lead">Of the exam’s topics that were learned: how far they end below their best (forgetting), what '
        "later lessons changed (BWT), and what came before their own lesson (FWT), in nats per token.</p>"
    )
    drawn = [place for place in found if place.task == _FORGETTING] or list(found)[:1]
    cards = (
        _figure_with(place.name, dots_figure(found[place], "forgetting", "forgetting, nats per token", computed.looks))
        for place in drawn
    )
    tables = (
        _details(html.escape(place.name), kept_table(rows).html(f"Kept, {place.name}") + _gaps(_of(computed, place)))
        for place, rows in found.items()
    )
    return lead + _grid(cards) + _card("".join(tables)) if found else ""


def _noise(computed: Computed) -> str:
    lead = '<p class="lead">The share of tokens spent on planted topics, from which nothing can be learned.</p>'
    found = {place: rows for place, rows in computed.noise.items() if rows}
    cards = (
        _figure_with(place.name, dots_figure(_sorted(rows), "noise_share", "share of tokens", computed.looks))
        + _details("table", noise_table(_sorted(rows)).html(f"Noise budget, {place.name}"))
        + _gaps(_of(computed, place))
        for place, rows in found.items()
    )
    return lead + _grid(cards) if found else ""


def _curricula(computed: Computed) -> str:
    shown, results = shown_curricula(computed.results), computed.results
    lead = (
        f'<p class="lead">What was picked, in order: {len(shown["cells"]):,} curricula, which are in '
        "<code>curricula.parquet</code> beside the page too.</p>"
    )
    places = "".join(_details(html.escape(place.name), _curricula_of(computed, place)) for place in results.places)
    data = f'<script type="application/json" id="curricula-data">{as_json(shown)}</script>'
    return lead + "<noscript><p>The lists need JavaScript.</p></noscript>" + _card(places) + data


def _curricula_of(computed: Computed, place: PlaceKey) -> str:
    agents = computed.results.agents(place.learner)
    return "".join(_agents_curricula(computed, place, agent) for agent in agents) + _gaps(_of(computed, place))


def _agents_curricula(computed: Computed, place: PlaceKey, agent: str) -> str:
    """An agent's curricula in a place, seed by seed; nothing where none finished."""
    cells = computed.results.finished(place, agent)
    if not cells:
        return ""
    line = f"{html.escape(agent)}<small>{len(cells)} curricul{'a' if len(cells) > 1 else 'um'}</small>"
    return _details(line, "".join(_curriculum(place, agent, seed, row) for seed, row in sorted(cells.items())))


def _curriculum(place: PlaceKey, agent: str, seed: int, row: Row) -> str:
    count = row.get("expansions")
    told = "" if count is None else f"<small>{count:,} expansions</small>"
    name = html.escape(cell_name(place, agent, seed), quote=True)
    return f'<details data-cell="{name}"><summary>seed {seed}{told}</summary><div class="inside"></div></details>'


def _how(computed: Computed) -> str:
    terms = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in PROTOCOL)
    made = "".join(f"<pre>{html.escape(command)}</pre>" for command in commands(computed.results))
    files = (
        "Beside this page: <code>report.md</code> for an appendix, <code>tables/</code> with every table as CSV, "
        "<code>figures/</code> with pictures, <code>curricula.parquet</code> with every curriculum."
    )
    return _card(f"<p>Made from what is in the folder; to make it again:</p>{made}<dl>{terms}</dl><p>{files}</p>")


def _of(computed: Computed, place: PlaceKey) -> list[Gap]:
    return computed.results.gaps_of(place)


def _sorted(rows: Sequence[Row]) -> list[Row]:
    """Those that spend least on noise first, those without a figure last."""
    return sorted(rows, key=lambda row: float(row.get("noise_share", 2.0)))


def _gaps(gaps: Sequence[Gap]) -> str:
    """The gaps behind a figure; a long list is folded."""
    if not gaps:
        return ""
    lines = listed(gap.sentence for gap in gaps)
    if len(gaps) <= 3:
        return f'<div class="gaps">{lines}</div>'
    cells = sum(len(gap.seeds) for gap in gaps)
    return f'<div class="gaps">{_details(f"Cells that failed or are missing: {cells:,}", lines)}</div>'


def _details(line: str, inside: str) -> str:
    return f'<details><summary>{line}</summary><div class="inside">{inside}</div></details>'


def _figure_with(heading: str, figure: Figure) -> str:
    """A figure under its name; its place is as high as it before it is drawn, so that nothing moves when it is."""
    name, height = html.escape(heading), f"min-height:{figure.layout.height}px"
    return f'<h3>{name}</h3><div role="img" aria-label="{name}" style="{height}">{_figure(figure)}</div>'


def write_benchmark_report(folder: Path) -> Path:
    """Write the report of a benchmark into the folder that holds its results; each file is replaced atomically.

    Args:
        folder: What `kgrl bench` was given as `--out`.

    Returns:
        The page.

    Raises:
        KgrlError: If the folder holds no results.
    """
    computed = Computed.of(Results.read(folder))
    for name, table in csv_tables(computed).items():
        write_text(folder / "tables" / f"{name}.csv", table.csv())
    write_curricula(computed.results, folder / "curricula.parquet")
    draw_pictures(computed, folder / "figures")
    write_text(folder / "report.md", as_markdown(computed))
    write_text(folder / "report.html", as_page(computed))
    return folder / "report.html"
