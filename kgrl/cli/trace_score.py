"""`kgrl traces score`: how well a policy predicts readers' clicks, beside simple predictors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kgrl.cli.output import progress, show_table

__all__ = ["Score"]

_KINDS = ("finished", "unfinished", "inductive")


@dataclass(frozen=True)
class Score:
    """Score a policy's next-click predictions on traces, beside uniform, in-degree, Markov and similarity predictors.

    Args:
        policy: builtin, or the folder of a pretrained policy.
        source: The traces: wikispeedia, clickstream, a .parquet file, or the folder of a run.
        root: Folder of the source files, for sources that are read from some.
        corpus: The corpus the traces are on; if none, what the source names.
        split: Which (start, target) pairs to score: test, validation, or all there are, which says nothing where the
            policy was trained on them.
        json: File to write the scores to, as one JSON object.
    """

    policy: str = "builtin"
    source: str = "wikispeedia"
    root: Path | None = None
    corpus: str | None = None
    split: Literal["test", "validation", "all"] = "test"
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Score, print and return the scores.

        Raises:
            KgrlError: If the policy or the traces cannot be read, or there is nothing to score.
        """
        from kgrl.agents.pretraining.scoring import ClickScoring
        from kgrl.builtin import FOLDER
        from kgrl.data.traces.traced_clicks import load_clicks

        read = load_clicks(self.source, self.root, self.corpus)
        scoring = ClickScoring(read, FOLDER if self.policy == "builtin" else Path(self.policy), self.split)
        with progress("scoring", scoring.work) as advance:
            done = 0

            def on_clicks(clicks: int) -> None:
                nonlocal done
                done += clicks
                advance(done, "")

            scores = scoring.scores(on_clicks)
        _show(scores)
        return {"policy": self.policy, "split": self.split, "traces": str(read.source.tally), **scores}


def _show(scores: dict[str, Any]) -> None:
    """One row for each predictor and kind of click."""
    rows: list[list[object]] = []
    for name in ("policy", *(name for name in scores if name not in _KINDS)):
        of_name = {kind: scores[kind] for kind in _KINDS} if name == "policy" else scores[name]
        label = "policy, goal shown" if name == "goal" else name
        rows += [[label, kind.replace("_", " "), *found.values()] for kind, found in of_name.items() if found]
    show_table("Next-click predictions", ["predictor", "clicks", "top 1", "MRR", "nats per click", "number"], rows)
