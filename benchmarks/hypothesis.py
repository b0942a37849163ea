"""The tables of docs/results/hypothesis.md, from the figures beside it.

    python benchmarks/hypothesis.py

What measures is `kgrl bench --suite hypothesis`, with the commands that stand on the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pages import fill

from kgrl.benchmark.report.tables import Column, Table
from kgrl.system.files import write_text

RESULTS = Path("docs/results")
PAGE = RESULTS / "hypothesis.md"
FILES = (
    "hypothesis.json",
    "hypothesis_smollm2.json",
    "hypothesis_smollm2_order.json",
    "hypothesis_smollm2_recall.json",
)
HOLDS = " †"
"""Behind an effect that holds after Holm's correction for all findings of its file."""
_LEARNERS = {"scratch": "scratch", "lora": "SmolLM2"}
_MEASURES = {
    "transfer": ("linked minus matched control", "the same, pairs that do not name the learned topic"),
    "order": ("AULC of the exam", "final exam loss", "AULC of the set's probes", "final loss of the set's probes"),
    "recall": (
        "links recalled: to unread frontier topics minus to far ones",
        "drop of the loss: unread frontier topics minus matched far ones",
    ),
}
"""The headings of each question's findings, in the order in which the figures have them; more findings have none."""

Row = Mapping[str, Any]


def tables(results: Path = RESULTS) -> dict[str, str]:
    """Return the tables by the names of their places."""
    found: dict[str, list[Row]] = {question: [] for question in _MEASURES}
    for name in FILES:
        figures = json.loads((results / name).read_text(encoding="utf-8"))
        for row in rows(figures):
            found[row["question"]].append(row)
    return {question: Table(columns(question), found[question]).markdown() for question in found}


def rows(figures: Row) -> Iterator[Row]:
    """Join the findings of one question, place and learner in one row, with what is told of the learned topics."""
    joined: dict[tuple[str, str, str], list[Row]] = {}
    for finding in figures["findings"]:
        joined.setdefault((finding["question"], finding["corpus"], finding["learner"]), []).append(finding)
    for (question, corpus, learner), findings in joined.items():
        name, _, detail = learner.partition(", ")
        told = figures["transfer"].get(f"{corpus}, {learner}", {})
        about = {"question": question, "corpus": corpus, "learner": _LEARNERS[name], "detail": detail}
        yield about | told | dict(zip(_MEASURES[question], findings, strict=False))


def columns(question: str) -> list[Column]:
    """Return the columns of a question's table."""
    first = [Column(name, lambda row, name=name: row[name], text=True) for name in ("corpus", "learner")]
    cell = counted if question == "recall" else effect
    measured = [Column(heading, lambda row, heading=heading: cell(row[heading])) for heading in _MEASURES[question]]
    if question == "transfer":
        return [*first, Column("state", lambda row: row["detail"], text=True), *_learned(), *measured]
    if question == "order":
        seeds = Column("seeds", lambda row: str(row["AULC of the exam"]["n"]))
        return [*first, Column("curriculum", lambda row: row["detail"], text=True), seeds, *measured]
    return [*first, *measured]


def _learned() -> list[Column]:
    """What lessons teach about their own topic, and how large the effect is beside that."""
    return [
        Column("loss before", lambda row: f"{row['loss_before']:.2f}"),
        Column("own drop", lambda row: f"{row['own_drop']:.3f}"),
        Column("Cohen's d", lambda row: f"{row[_MEASURES['transfer'][0]]['standardised']:.2f}"),
        Column("share of own drop", lambda row: f"{row['share_of_own_drop']:.0%}"),
    ]


def effect(finding: Row) -> str:
    """Return an effect with its interval."""
    digits = ".4f" if finding["question"] == "transfer" else ".3f"
    low, high = (f"{finding[name]:+{digits}}" for name in ("low", "high"))
    return f"{finding['effect']:+{digits}} ({low} to {high}){HOLDS if finding['holm'] < 0.05 else ''}"


def counted(finding: Row) -> str:
    """Return an effect with its interval and what that is over."""
    return f"{effect(finding)}, {finding['n']} {finding['unit']}"


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, table in tables().items():
        page = fill(page, name, table)
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
