"""The report of a benchmark in Markdown, for a paper's appendix."""

from __future__ import annotations

import html
from importlib.metadata import version

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.computed import Computed
from kgrl.benchmark.report.results import Place
from kgrl.report.benchmark_contents import aggregate_table, gaps_table, summary, verdict_table
from kgrl.report.benchmark_protocol import PROTOCOL, commands

__all__ = ["as_markdown"]


def as_markdown(computed: Computed) -> str:
    """Return verdicts, aggregates, gaps, the protocol and the commands as one Markdown document."""
    told = summary(row for rows in computed.verdicts.values() for row in rows)
    counted = ", ".join(f"{number:,} {word}" for word, number in told.items())
    parts = [
        "# Benchmark\n",
        f"kgrl {version('kgrl')}. Of {sum(told.values()):,} comparisons with {BASELINE}: {counted}.\n",
        "## Verdicts\n",
        *(_verdicts(computed, place) for place in computed.results.places),
        "## Aggregates\n",
        *(_aggregates(computed, learner) for learner in computed.results.learners),
        "## Cells without figures\n",
        gaps_table(computed.results).markdown() if computed.results.gaps else "None: every cell finished.\n",
        "## Protocol\n",
        "".join(f"- **{term}.** {text}\n" for term, text in PROTOCOL),
        "## Command\n",
        "".join(f"    {' '.join(command.split())}\n" for command in commands(computed.results)),
    ]
    return "\n".join(parts)


def _verdicts(computed: Computed, place: Place) -> str:
    return f"### {_plain(place.name)}\n\n{verdict_table(computed.results, place).markdown()}"


def _aggregates(computed: Computed, learner: str) -> str:
    places = len(computed.results.learners[learner])
    return f"### {_plain(learner)}\n\n{aggregate_table(computed.aggregates[learner], places).markdown()}"


def _plain(name: str) -> str:
    return html.escape(" ".join(name.split()), quote=False)
