"""`kgrl bench --suite hypothesis`: is what a transformer learns an implicit knowledge graph?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kgrl.cli.output import progress, show_table
from kgrl.errors import SettingError

__all__ = ["ask_hypothesis"]


def ask_hypothesis(
    corpora: Sequence[str], learners: Sequence[str], questions: Sequence[str], topics: int, seeds: int, folder: Path
) -> dict[str, Any]:
    """Measure what is not measured yet, print the findings and return the figures.

    Args:
        corpora: Corpora by name; several may be in one string, with commas between them.
        learners: Learners by name, likewise.
        questions: transfer, order or recall, likewise; all if none.
        topics: Topics that are learned on forks.
        seeds: Seeds of curricula.
        folder: Keeps what was measured.

    Raises:
        KgrlError: If a name is not known, a number senseless, or the folder is of another version or corpus.
    """
    from kgrl.benchmark.hypothesis.suite import QUESTIONS, Suite

    if min(topics, seeds) < 1:
        raise SettingError(f"topics and seeds must be at least 1, not {topics} and {seeds}")
    suite = Suite(_listed(corpora), _listed(learners), _listed(questions) or QUESTIONS, topics, seeds, folder)
    with progress("hypothesis", total=suite.size) as advance:
        suite.run(advance)
    figures = suite.figures()
    columns = ("question", "corpus", "learner", "n", "effect", "low", "high", "holm", "sentence")
    rows = figures["findings"]
    show_table("findings", columns, [[_shown(row[name]) for name in columns] for row in rows])
    return figures


def _listed(names: Sequence[str]) -> tuple[str, ...]:
    """Names apart, whether they came with commas or blanks between them."""
    return tuple(dict.fromkeys(part for name in names for part in name.split(",") if part))


def _shown(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value
