"""The folder of checkpoints holds the learner that the latest one points to, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgrl.runs.checkpoint import Checkpoint

STATE: dict[str, Any] = {"seconds": 1.0, "rng": {}, "about": {}, "records": {}}


def _learner(folder: Path) -> None:
    folder.mkdir(parents=True)  # fails where one is there already
    (folder / "model").write_text("weights")


def _steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoint").glob("step-*"))


def test_learners_that_a_killed_process_left_are_removed(tmp_path: Path) -> None:
    Checkpoint.save(tmp_path, 3, _learner, **STATE)
    for index in (2, 4):  # it died before it had removed the former one, and before it pointed to the next one
        (tmp_path / "checkpoint" / f"step-{index:06d}").mkdir()
    Checkpoint.remove_left_over(tmp_path)
    assert _steps(tmp_path) == ["step-000003"]
    (tmp_path / "checkpoint" / "step-000004").mkdir()
    Checkpoint.save(tmp_path, 4, _learner, **STATE)
    assert _steps(tmp_path) == ["step-000004"]


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_text("{"), lambda path: path.write_bytes(b"\xff"), lambda path: path.write_text("[]")],
)
def test_nothing_is_removed_where_the_pointer_is_damaged(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    Checkpoint.save(tmp_path, 3, _learner, **STATE)
    damage(Checkpoint.file_in(tmp_path))
    Checkpoint.remove_left_over(tmp_path)
    assert _steps(tmp_path) == ["step-000003"]


def test_without_a_checkpoint_there_is_nothing_to_keep(tmp_path: Path) -> None:
    Checkpoint.remove_left_over(tmp_path)
    _learner(tmp_path / "checkpoint" / "step-000000")
    Checkpoint.save(tmp_path, 0, _learner, **STATE)
    assert _steps(tmp_path) == ["step-000000"]
