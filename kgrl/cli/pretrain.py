"""`kgrl pretrain`: teach the curiosity policy what readers do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgrl.cli.output import progress, show_facts

__all__ = ["PretrainCommand"]


@dataclass(frozen=True)
class PretrainCommand:
    """Pretrain a curiosity policy on traces by behavioural cloning; stopped and started again, it goes on.

    Args:
        source: The traces: wikispeedia, clickstream, or a .parquet file.
        root: Folder of the source files, for sources that are read from some.
        corpus: The corpus the traces are on; if none, what the source names.
        out: Folder of the policy; `--agent` and `--policy` take it.
        members: Networks in the committee, each trained apart; their log-probabilities are averaged.
        epochs: Passes over the training clicks, at most.
        goal_share: Share of clicks that are shown a second time, with the reader's target.
        hide_articles: Leave out all clicks on and to a tenth of the articles, to measure how the policy does on
            articles that nobody was seen on.
        seed: Seeds the first member; each further one has the next seed.
        json: File to write the figures to, as one JSON object.
    """

    source: str = "wikispeedia"
    root: Path | None = None
    corpus: str | None = None
    out: Path = Path("policies/curiosity")
    members: int = 3
    epochs: int = 4
    goal_share: float = 0.2
    hide_articles: bool = False
    seed: int = 0
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Train, write the policy, print and return its validation scores.

        Raises:
            KgrlError: If the traces cannot be read, or the folder holds an unfinished pretraining of other settings.
        """
        from kgrl.agents.pretraining.batches import PolicyPredictor
        from kgrl.agents.pretraining.cloning import ClickData, PretrainingConfig
        from kgrl.agents.pretraining.run import PretrainingRun
        from kgrl.data.traces.traced_clicks import load_clicks
        from kgrl.traces.next_click import score_clicks

        read = load_clicks(self.source, self.root, self.corpus)
        data = ClickData(read.graph, read.embeddings, read.clicks, read.hidden if self.hide_articles else None)
        config = PretrainingConfig(epochs=self.epochs, goal_share=self.goal_share)
        run = PretrainingRun(self.out, data, config, self.members, self.seed)
        with progress("pretraining", total=100 * self.epochs * self.members) as advance:
            committee = run.carry_out(
                lambda member, epoch, share, loss: advance(
                    100 * (member * self.epochs + epoch - 1) + share, f"member {member + 1}, loss {loss:.3f}"
                )
            )
        validation = data.clicks.take(data.validation)
        scores = score_clicks(
            PolicyPredictor(committee, data.tables).log_probabilities(validation), validation, read.graph
        )
        facts = {**run.settings, "seconds": round(run.seconds), "policy": str(self.out)}
        show_facts("validation, without goals", [*scores.to_dict().items(), ("policy", self.out)])
        return {**facts, "validation": scores.to_dict(), "traces": str(read.source.tally)}
