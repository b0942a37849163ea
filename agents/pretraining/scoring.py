"""Scores of a policy's next-click predictions, compared with those of simple predictors.

The protocol is that of `kgrl.traces.next_click`. Clicks into the target of a finished trace are left out unless the
target is shown. `inductive` scores clicks on and to a tenth of the articles, with weights and statistics that saw no
click there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.policy.network import CandidateScorer, load_policy
from kgrl.agents.pretraining.baselines import click_baselines
from kgrl.agents.pretraining.batches import PolicyPredictor
from kgrl.builtin import click_counts
from kgrl.data.traces.traced_clicks import TracedClicks
from kgrl.envs.features.walk_features import GoalTables
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.errors import KgrlError
from kgrl.graph.relations import TopicRelations
from kgrl.traces.next_click import ClickPredictor, inductive, score_clicks

__all__ = ["INDUCTIVE_WEIGHTS", "SPLITS", "ClickScoring"]

INDUCTIVE_WEIGHTS = "inductive.safetensors"
"""The file of a policy's second weights, which were trained without the hidden articles."""
SPLITS = {"test": (9,), "validation": (8,), "all": tuple(range(10))}
"""The buckets of (start, target) pairs of each split."""

Kinds = dict[str, NDArray[np.bool_]]


class ClickScoring:
    """Scores one policy on the clicks of some traces.

    Args:
        read: The clicks, with their graph and embeddings.
        folder: The policy's folder.
        split: One of `SPLITS`.

    Attributes:
        work: Number of predictions that `scores` will make with the policy.

    Raises:
        KgrlError: If the policy cannot be read, or the split has no click to score.
    """

    def __init__(self, read: TracedClicks, folder: Path, split: str = "test") -> None:
        self.read = read
        self.scorer, about = load_policy(folder)
        self.inductive_scorer = _inductive_scorer(self.scorer, about, folder)
        counts = click_counts(read.graph, folder)
        self._counts = (counts, counts.without(read.hidden))
        self._relations = TopicRelations(read.graph, read.embeddings)
        clicks = read.clicks
        chosen = np.isin(clicks.bucket, SPLITS[split])
        free = chosen & ~clicks.final
        if not free.any():
            raise KgrlError(f"{read.source.tally}: no click to score in the split {split!r}")
        # Masks over all clicks, bool `[clicks]`: predicted without targets, with weights that saw no hidden article,
        # and with targets. The click into the target counts only where the target is shown.
        self._free: Kinds = {"finished": free & clicks.finished, "unfinished": free & ~clicks.finished}
        self._hidden: Kinds = {"inductive": free & inductive(clicks, read.hidden)}
        aimed = clicks.target >= 0
        with_final = {"finished_with_final": chosen & clicks.finished & aimed}
        self._aware: Kinds = {**{name: mask & aimed for name, mask in self._free.items()}, **with_final}
        kinds = (self._free, self._aware, self._hidden if self.inductive_scorer else {})
        self.work = sum(int(mask.sum()) for group in kinds for mask in group.values())

    def scores(self, on_clicks: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Return `top1`, `mrr`, `nll` and `clicks` by kind of click.

        Args:
            on_clicks: Called with the number of clicks after each batch of the policy's predictions.

        Returns:
            The policy's scores for `finished`, `unfinished` and `inductive`; its scores with targets shown under
            `goal`; and those of each baseline under its name. A score is None if clicks of its kind, or weights for
            them, are missing.
        """
        tables, without_hidden = (WalkTables(self._relations, (counts,)) for counts in self._counts)
        policy = PolicyPredictor(self.scorer, tables, on_clicks=on_clicks)
        aware = PolicyPredictor(self.scorer, tables, GoalTables.of_each_topic(tables), on_clicks)
        results = self._of(policy, self._free)
        results["inductive"] = None
        if self.inductive_scorer is not None:
            blind = PolicyPredictor(self.inductive_scorer, without_hidden, on_clicks=on_clicks)
            results |= self._of(blind, self._hidden)
        results["goal"] = self._of(aware, self._aware)
        # Baselines get the same counts as the policy: all of them, or those without hidden articles.
        seen, unseen = (click_baselines(counts, self.read.embeddings) for counts in self._counts)
        for name, baseline in seen.items():
            results[name] = self._of(baseline, self._free) | self._of(unseen[name], self._hidden)
        return results

    def _of(self, predictor: ClickPredictor, kinds: Kinds) -> dict[str, Any]:
        scores: dict[str, Any] = {}
        for name, mask in kinds.items():
            clicks = self.read.clicks.take(mask)
            found = score_clicks(predictor.log_probabilities(clicks), clicks, self.read.graph) if len(clicks) else None
            scores[name] = None if found is None else found.to_dict()
        return scores


def _inductive_scorer(scorer: CandidateScorer, about: dict[str, Any], folder: Path) -> CandidateScorer | None:
    """The network that saw no click on or to hidden articles, None if there is none."""
    # A policy that was trained without them altogether serves itself.
    if about["training"].get("hidden_topics"):
        return scorer
    if not (folder / INDUCTIVE_WEIGHTS).is_file():
        return None
    return load_policy(folder, INDUCTIVE_WEIGHTS)[0]
