"""Script: observe a curriculum and a reader's walk after features were added, and save what was seen.

    python -m tests.support.renamed_columns out.npz [before ...]

A feature is added in front of each one named. Kernels read the names when they are imported, so this needs a process
of its own; and as Python (`NUMBA_DISABLE_JIT=1`), so that nothing compiled earlier is used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from kgrl.envs.features import names


def add_features(before: list[str]) -> None:
    """Read the names again, with a new one in front of each of some."""
    source = Path(names.__file__).read_text()
    for at, name in enumerate(before):
        line = f'    "{name}",  #'
        assert source.count(line) == 1, name
        source = source.replace(line, f'    "new_{at}",  # nothing writes it\n{line}')
    exec(compile(source, names.__file__, "exec"), vars(names))  # noqa: S102 - kgrl's own source


def main(out: str, *before: str) -> None:
    """Observe, and save."""
    add_features(list(before))
    from kgrl.envs.features.curriculum_features import FeatureState, observe
    from kgrl.envs.features.space import observe_walks
    from kgrl.envs.features.walk_features import GoalTables, Walks
    from kgrl.envs.features.walk_tables import walk_tables
    from kgrl.traces import BACK, ClickTable, Trace
    from tests.support.simulated import simulated_curriculum
    from tests.support.tiny_corpus import make_tiny_corpus

    corpus = make_tiny_corpus()
    vectors = np.random.default_rng(0).normal(size=(len(corpus.graph), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    curriculum = simulated_curriculum(corpus, vectors, goal="Nature")
    curriculum.start()
    state = FeatureState(curriculum.view)
    for _ in range(4):
        shown = observe(curriculum.view, 6, state)
        state.record(curriculum.expand(int(shown.topics[0])))
    shown = observe(curriculum.view, 6, state)

    graph, tables = corpus.graph, walk_tables(corpus.graph, vectors)
    page = int(np.argmax(np.diff(graph.indptr)))
    candidates = graph.out(page)
    clicks = ClickTable.from_traces([Trace((page, int(candidates[0]), BACK, int(candidates[1])))], graph.titles)
    last, nobody = clicks.take(np.array([-1])), np.zeros(1, dtype=np.int32)
    walks = Walks(last.stack, last.seen, last.start, last.depth, nobody, nobody)
    links = graph.positions(np.full(len(candidates), page), candidates)
    goals = GoalTables.of(tables, [candidates[:1]])
    walk = observe_walks(tables, walks, candidates[None], links[None], goals)
    np.savez(
        out,
        features=np.array(names.FEATURES),
        entries=np.array(names.GLOBAL_FEATURES),
        curriculum=shown.observation["candidates"],
        state=shown.observation["global"],
        path=shown.observation["path"],
        walk=walk["candidates"][0],
        walk_path=walk["path"][0],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
