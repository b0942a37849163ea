"""The report of a benchmark in Markdown, for a paper's appendix."""

from __future__ import annotations

import html
import shlex
from importlib.metadata import version

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.computed import Computed
from kgrl.benchmark.report.results import PlaceKey, Results
from kgrl.benchmark.report.tables import aggregate_table, gaps_table, summary, verdict_table
from kgrl.benchmark.runner import EXAMS
from kgrl.benchmark.scores import CEILING
from kgrl.benchmark.tasks import USUAL_CORPORA

__all__ = ["PROTOCOL", "as_markdown", "commands"]

PROTOCOL: tuple[tuple[str, str], ...] = (
    (
        "Pairs",
        "Cells of one seed share the learner's initial weights, the probes, the exam, the nucleus, the token budget "
        "and the learning-rate schedule; only the agent differs. A comparison takes the seeds that both agents "
        "finished, and says how many there are. Failed and missing cells are named and left out of the figures.",
    ),
    (
        "Budget and exam",
        "Every cell may train on the same number of tokens. The exam is a fixed set of topics and held-out passages "
        "that no agent and no reward sees; it is taken before any training, and after the expansion that completes a "
        f"further {100 // EXAMS}% of the budget. "
        "Topics weigh the same.",
    ),
    (
        "AULC",
        "The area under the exam's learning curve over the budget, divided by the budget: the mean loss on the way, in "
        "nats per token. Lower is better.",
    ),
    (
        "Verdict",
        f"The mean over seeds of the difference of AULC to {BASELINE}, with a 95% interval: Student's below 30 pairs, "
        "the percentile bootstrap's from 30 on. An agent is better or worse where the interval excludes 0, and not "
        "distinguishable otherwise. The number of further seeds is the least at which the interval would exclude 0 if "
        "mean and spread stayed as they are: a size to plan by, not a promise. Verdicts are not corrected for their "
        "number: of twenty agents that are like random, one is expected to be called better or worse.",
    ),
    (
        "Speed-up",
        f"Tokens that {BASELINE} took to its own final loss over those that the agent took to that loss: the geometric "
        "mean over pairs, its interval Student's on logarithms. A run that never reaches that loss counts as if it "
        "reached it at the end of its budget, and the ratio is then an upper bound.",
    ),
    (
        "Normalised score",
        f"(AULC of {BASELINE} - AULC) / (AULC of {BASELINE} - AULC of {CEILING}): 0 is {BASELINE}, 1 is {CEILING}, "
        "which is near the ceiling but not an optimum. The numerator is of one seed, the denominator the mean over "
        f"seeds. Places where {CEILING} is missing or not clearly better than {BASELINE} give no scores.",
    ),
    (
        "Aggregates",
        "The interquartile mean (the mean of the middle half of all runs), 95% stratified bootstrap intervals with "
        "2,000 draws and places as strata, performance profiles and the probability of improvement are those of "
        'Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS.',
    ),
    (
        "Kept",
        "Backward transfer (BWT), forward transfer (FWT) and the final score (ACC) are those of Lopez-Paz and Ranzato "
        '(2017), "Gradient Episodic Memory for Continual Learning", NeurIPS; scores are negative losses. Forgetting is '
        "how far a learned topic ends below its best. Means over seeds have Student's 95% interval.",
    ),
    (
        "Cost",
        "Operations are 6 N for a token trained on and 2 N for a token measured, N being the learner's parameters "
        '(Kaplan et al. 2020, "Scaling Laws for Neural Language Models"), without the exams. Seconds are of the wall '
        "clock, on a machine that may have done other things. Overhead is what is outside of the learner's training "
        "and measuring: research, making what a cell needs, and the agent's choice with the loop around it.",
    ),
    (
        "Facts known",
        "The share of multiple-choice questions whose true statement the learner finds likelier than all others, as "
        "the mean of two exams in a row. Tokens to a level are those until that share is reached (geometric mean; a "
        "run that never reaches it counts at its budget). The area is the mean share over the budget. Retained is the "
        "last share as a part of the largest.",
    ),
    ("Noise budget", "The share of tokens spent on passages of planted topics, from which nothing can be learned."),
)
"""Definition and source of each figure: pairs of a term and its text."""


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


def _verdicts(computed: Computed, place: PlaceKey) -> str:
    return f"### {_plain(place.name)}\n\n{verdict_table(computed.results, place).markdown()}"


def _aggregates(computed: Computed, learner: str) -> str:
    places = len(computed.results.learners[learner])
    return f"### {_plain(learner)}\n\n{aggregate_table(computed.aggregates[learner], places).markdown()}"


def _plain(name: str) -> str:
    """A name in a heading of Markdown, which lets HTML through."""
    return html.escape(" ".join(name.split()), quote=False)


def commands(results: Results) -> list[str]:
    """Return the commands that make these results, one a learner, from what is in the folder."""
    return [_command(results, learner) for learner in results.learners]


def _command(results: Results, learner: str) -> str:
    places = results.learners[learner]
    tasks = dict.fromkeys(place.task for place in places)
    # Tasks on invented worlds have corpora of their own, whatever --corpus says.
    corpora = dict.fromkeys(place.corpus for place in places if place.task not in USUAL_CORPORA)
    named = ["kgrl", "bench", "--tasks", *tasks]
    named += ["--corpus", *corpora] if corpora else []
    named += ["--agents", *sorted(results.agents(learner)), "--learner", learner]
    # The seeds of a benchmark are counted from 0.
    named += ["--seeds", str(max(results.seeds(learner)) + 1), "--out", results.folder.name]
    # The largest budget of any cell: tasks of smaller ones keep their own, as they did when the cells were made.
    budgets = [int(row["budget"]) for row in results.rows if row["learner"] == learner and "budget" in row]
    named += ["--budget-tokens", str(max(budgets))] if budgets else []
    return shlex.join(named)
