r"""Score curiosity policies on Wikispeedia's test clicks: three seeds, the committee, and an ablation of each input.

    kgrl pretrain --root DIR --out policies/curiosity
    kgrl pretrain --root DIR --out policies/inductive --hide-articles
    python benchmarks/next_click.py --root DIR --policy policies/curiosity --inductive policies/inductive \\
        --json docs/results/next_click.json

Each member of a policy's committee is one seed. The ablation trains one network for each group of inputs that is set
to 0, for a single epoch. Finished rows are kept in the JSON file and not repeated. A pretraining takes a quarter of an
hour, and the script about half an hour, most of it for the eleven networks of the ablation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.policy.network import CandidateScorer, load_policy
from kgrl.agents.pretraining.baselines import click_baselines
from kgrl.agents.pretraining.batches import PolicyPredictor
from kgrl.agents.pretraining.cloning import ClickData, Pretrainer, PretrainingConfig
from kgrl.data import TracedClicks, load_clicks
from kgrl.envs.features.names import GOAL_FEATURES, LINK_FEATURES, PATH_FEATURES, TOPIC_FEATURES, TRANSITION_FEATURES
from kgrl.system.files import write_json
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.next_click import ClickPredictor, inductive, score_clicks

_PLACES = ("mentioned", "log_order", "log_place", "place_rank")
_SIMILARITIES = tuple(name for name in (*LINK_FEATURES, *PATH_FEATURES) if "similarity" in name or "outlook" in name)
_COUNTED = PATH_FEATURES[:3]
_GRAPH = tuple(n for n in LINK_FEATURES if n not in (*_PLACES, *_SIMILARITIES)) + TOPIC_FEATURES
_PATH = tuple(n for n in PATH_FEATURES if n not in _COUNTED)
ABLATIONS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "memory of the path": ("memory",),
    "path features": _PATH,
    "memory and path features": ("memory", *_PATH),
    "candidates' embeddings": ("topics",),
    "embeddings and similarities": ("topics", *_SIMILARITIES, "approach", "departure"),
    "graph features": _GRAPH,
    "place in the text": _PLACES,
    "clicks on the link": TRANSITION_FEATURES,
    "clicks after the previous page": _COUNTED,
    "all click statistics": (*TRANSITION_FEATURES, *_COUNTED),
}
EPOCHS = 1
KINDS = ("finished", "unfinished", "inductive", "goal")
_TRAIN_BUCKETS, _TEST_BUCKET = 8, 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of Wikispeedia's archives")
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--inductive", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    arguments = parser.parse_args()
    read = load_clicks("wikispeedia", arguments.root, None)
    rows = _Rows(arguments.json)
    tested = _Tested(read)
    _score_baselines(rows, tested)
    _score_policy(rows, tested, ClickData(read.graph, read.embeddings, read.clicks), arguments.policy)
    hidden = ClickData(read.graph, read.embeddings, read.clicks, read.hidden)
    for name, scorer in _members(arguments.inductive).items():
        predictor = PolicyPredictor(scorer, hidden.tables)
        rows.add(f"hidden articles: {name}", lambda p=predictor: {"inductive": tested.score(p, "inductive")})
    _ablate(rows, tested, ClickData(read.graph, read.embeddings, read.clicks))
    print(rows.table())


class _Rows:
    """Scores by name, kept in a file.

    Args:
        path: The JSON file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, name: str, score: Any) -> None:
        """Score and keep a row, unless the file has it."""
        if name not in self.rows:
            self.rows[name] = score()
            write_json(self.path, self.rows)

    def table(self) -> str:
        """Return a Markdown row for each predictor: mean reciprocal rank, top-1 and nats per click."""
        lines = [f"| | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
        lines += [
            f"| {name} | {' | '.join(_cell(found.get(kind)) for kind in KINDS)} |" for name, found in self.rows.items()
        ]
        return "\n".join(lines)


def _cell(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['mrr']:.4f} / {found['top1']:.3f} / {found['nll']:.3f}"


class _Tested:
    """The test clicks, by kind.

    Args:
        read: All clicks.
    """

    def __init__(self, read: TracedClicks) -> None:
        clicks = read.clicks
        # Without the final clicks of finished games, which lead to the target that the game asked for.
        free = (clicks.bucket == _TEST_BUCKET) & ~clicks.final
        self.read = read
        self.kinds: dict[str, NDArray[np.bool_]] = {
            "finished": free & clicks.finished,
            "unfinished": free & ~clicks.finished,
            "inductive": free & inductive(clicks, read.hidden),
        }

    def score(self, predictor: ClickPredictor, kind: str) -> dict[str, Any]:
        """Return a predictor's scores on the clicks of a kind."""
        clicks = self.read.clicks.take(self.kinds[kind])
        return score_clicks(predictor.log_probabilities(clicks), clicks, self.read.graph).to_dict()

    def free(self, predictor: ClickPredictor) -> dict[str, Any]:
        """Return a predictor's scores on finished and on unfinished games."""
        return {kind: self.score(predictor, kind) for kind in ("finished", "unfinished")}


def _members(folder: Path) -> dict[str, CandidateScorer]:
    """Return each network of a policy by its seed, and all of them together."""
    committee, about = load_policy(folder)
    alone = {f"seed {about['training']['seed'] + at}": one for at, one in enumerate(committee.apart())}
    return {**alone, "committee": committee}


def _score_baselines(rows: _Rows, tested: _Tested) -> None:
    clicks = tested.read.clicks
    training = clicks.take((clicks.bucket < _TRAIN_BUCKETS) & ~clicks.final)
    counts = ClickCounts.of(tested.read.graph, training)
    seen = click_baselines(counts, tested.read.embeddings)
    unseen = click_baselines(counts.without(tested.read.hidden), tested.read.embeddings)
    for name in seen:
        rows.add(name, lambda n=name: tested.free(seen[n]) | {"inductive": tested.score(unseen[n], "inductive")})


def _score_policy(rows: _Rows, tested: _Tested, data: ClickData, folder: Path) -> None:
    for name, scorer in _members(folder).items():
        free = PolicyPredictor(scorer, data.tables)
        aware = PolicyPredictor(scorer, data.tables, data.goals)
        rows.add(name, lambda f=free, a=aware: tested.free(f) | {"goal": tested.score(a, "finished")})


def _ablate(rows: _Rows, tested: _Tested, data: ClickData) -> None:
    for name, without in ABLATIONS.items():
        rows.add(f"without {name}", lambda w=without: tested.free(_trained(data, w)))


def _trained(data: ClickData, without: tuple[str, ...]) -> ClickPredictor:
    trainer = Pretrainer(data, PretrainingConfig(epochs=EPOCHS, goal_share=0.0, without=(*without, *GOAL_FEATURES)))
    for number in range(1, EPOCHS + 1):
        trainer.epoch(number)
    return trainer.predictor()


if __name__ == "__main__":
    main()
