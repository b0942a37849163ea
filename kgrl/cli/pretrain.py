"""`kgrl pretrain`: teach the curiosity policy to click as readers do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import progress, show_facts

__all__ = ["PretrainCommand"]


@dataclass(frozen=True)
class PretrainCommand:
    """Pretrain a curiosity policy on the clicks of readers, by behavioural cloning.

    The result is a committee: networks that are trained separately and whose log-probabilities are averaged. An
    interrupted pretraining continues when it is started again.

    Args:
        source: Traces: wikispeedia, clickstream, or a .parquet file.
        root: Folder of the source files of traces that kgrl does not download; for clickstream its file.
        corpus: Corpus whose topic graph the traces are on: a name that `kgrl info` lists, or a folder.
        out: Folder for the policy. `kgrl run --agent` and `kgrl traces score --policy` take it.
        members: Networks in the committee.
        epochs: Most passes over the training clicks.
        goal_share: Share of clicks, from 0 to 1, that are shown a second time with the reader's target as the goal.
        hide_articles: Leave out all clicks on and to a tenth of the articles, to measure the policy on articles that it
            never saw a click on.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        seed: Random seed of the first member; each further member has the next seed.
        json: File for the figures, as one JSON object.
    """

    source: str = "wikispeedia"
    root: Annotated[Path | None, default_is("none", "PATH")] = None
    corpus: Annotated[str | None, default_is("the source's own")] = None
    out: Path = Path("policies/curiosity")
    members: int = 3
    epochs: int = 4
    goal_share: float = 0.2
    hide_articles: bool = False
    encoder: str = "static"
    seed: int = 0
    json: JsonFile = None

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

        read = load_clicks(self.source, self.root, self.corpus, self.encoder)
        data = ClickData(read.graph, read.embeddings, read.clicks, read.hidden if self.hide_articles else None)
        config = PretrainingConfig(epochs=self.epochs, goal_share=self.goal_share)
        run = PretrainingRun(self.out, data, config, self.members, self.seed, self.encoder)
        # The bar counts hundredths of an epoch, since an epoch takes minutes.
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
