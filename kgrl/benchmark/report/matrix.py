"""The verdicts on the page: agents by places at a glance, and a table for each place."""

from __future__ import annotations

import html

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.computed import Computed
from kgrl.benchmark.report.results import PlaceKey, Row
from kgrl.benchmark.report.tables import WORDS, listed, summary, verdict_table

__all__ = ["DASHES", "MARKS", "matrix", "verdicts"]

MARKS = {"better": "▲", "worse": "▼", "not distinguishable": "≈", "missing": "–"}
"""Signs beside the colours, for who cannot tell these apart."""

DASHES = {"solid": "none", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}
"""Plotly's dashes as SVG writes them."""


def matrix(computed: Computed) -> str:
    """Return the overview: for each learner a table of agents by places, coloured by verdict."""
    keys = "".join(f'<span class="key {_class(word)}">{MARKS[word]} {word}</span>' for word in WORDS)
    note = (
        '<p class="note">The number is how far the area under the exam’s learning curve (AULC) is below that of '
        f"{BASELINE}, in nats per token: above 0 is better. "
        "A star: some seeds failed or are missing. Agents are in order of their mean rank.</p>"
    )
    tables = "".join(_matrix(computed, learner) for learner in computed.results.learners)
    return f'<div class="keys">{keys}</div>{tables}{note}'


def verdicts(computed: Computed) -> str:
    """Return a table for each place, folded but for the first, under a line that counts its verdicts."""
    return "".join(_place(computed, at, place) for at, place in enumerate(computed.results.places))


def _place(computed: Computed, at: int, place: PlaceKey) -> str:
    rows, results = computed.verdicts[place], computed.results
    told = ", ".join(f"{number} {word}" for word, number in summary(rows).items() if number)
    partly = [gap.sentence for gap in results.gaps_of(place) if results.finished(place, gap.agent)]
    table = verdict_table(results, place).html(f"Verdicts, {place.name}")
    missing = f'<div class="gaps">{listed(partly)}</div>' if partly else ""
    line = f"<b>{html.escape(place.name)}</b><small>{told}</small>"
    opened = " open" if at == 0 else ""
    inside = f'<div class="inside">{table}{missing}</div>'
    return f'<details id="place-{at}"{opened}><summary>{line}</summary>{inside}</details>'


def _matrix(computed: Computed, learner: str) -> str:
    places = computed.results.learners[learner]
    heads = "".join(
        f'<th scope="col">{html.escape(place.task)}<small>{html.escape(place.corpus)}</small></th>' for place in places
    )
    cells = {a: "".join(_cell(computed, place, a) for place in places) for a in computed.results.agents(learner)}
    rows = "".join(f'<tr><th scope="row">{html.escape(agent)}</th>{of}</tr>' for agent, of in cells.items())
    name = html.escape(f"Verdicts at a glance, learner {learner}", quote=True)
    head = f'<thead><tr><th scope="col">{html.escape(learner)}</th>{heads}</tr></thead>'
    table = f'<table class="matrix"><caption class="unseen">{name}</caption>{head}<tbody>{rows}</tbody></table>'
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{table}</div>'


def _cell(computed: Computed, place: PlaceKey, agent: str) -> str:
    row = next(row for row in computed.verdicts[place] if row["agent"] == agent)
    at = computed.results.places.index(place)
    if agent == BASELINE and row["seeds"]:
        return f'<td class="baseline"><a href="#place-{at}">baseline</a></td>'
    word = str(row["verdict"])
    told = html.escape(f"{agent}, {place.name}: {row['sentence']}", quote=True)
    partly = "*" if row["seeds"] and computed.results.gaps_of(place, agent) else ""
    link = (
        f'<a href="#place-{at}" title="{told}">{MARKS[word]} {_gain(row)}{partly}<span class="unseen">{word}</span></a>'
    )
    return f'<td class="{_class(word)}">{link}</td>'


def _gain(row: Row) -> str:
    if row["difference"] is not None:
        return f"{-row['difference']:+.3f}"
    return "no pair" if row["seeds"] else "missing"


def _class(word: str) -> str:
    return word.replace(" ", "-")
