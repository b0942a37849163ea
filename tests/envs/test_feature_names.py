"""Columns go by name: a feature that is added shifts no other, in any kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.envs.features.names import FEATURES, GLOBAL_FEATURES

Seen = dict[str, NDArray[np.generic]]


@pytest.fixture(scope="module")
def seen_before_and_after(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    """One curriculum and one walk observed with the features as they are, and with one more in each group."""
    folder, added = tmp_path_factory.mktemp("seen"), ("approach", "goal_gap", "closure", "loss_drop")
    seen = []
    for name, before in (("as_they_are", ()), ("with_more", added)):
        command = [sys.executable, "-m", "tests.support.renamed_columns", str(folder / f"{name}.npz"), *before]
        root = Path(__file__).parents[2]
        subprocess.run(command, cwd=root, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True, timeout=300)
        seen.append(dict(np.load(folder / f"{name}.npz")))
    return seen[0], seen[1]


@pytest.mark.parametrize(
    ("rows", "names", "known"),
    [
        ("curriculum", "features", FEATURES),
        ("walk", "features", FEATURES),
        ("state", "entries", GLOBAL_FEATURES),
    ],
)
def test_a_feature_that_is_added_shifts_no_other(
    seen_before_and_after: tuple[Seen, Seen], rows: str, names: str, known: tuple[str, ...]
) -> None:
    before, after = seen_before_and_after
    columns = after[names].tolist()
    added = [column for column in columns if column not in known]
    assert before[names].tolist() == list(known) and added
    kept = [columns.index(name) for name in known]
    assert before[rows].any() and np.array_equal(after[rows][..., kept], before[rows])
    assert not np.delete(after[rows], kept, axis=-1).any()


def test_the_path_stays_as_it_is(seen_before_and_after: tuple[Seen, Seen]) -> None:
    before, after = seen_before_and_after
    for rows in ("path", "walk_path"):
        assert before[rows].any() and np.array_equal(before[rows], after[rows])
