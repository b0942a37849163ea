"""What `kgrl quickstart` and `kgrl run` refuse before they load anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.cli import main


def test_the_baseline_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quickstart", "--agent", "random", "--out", str(tmp_path / "out")]) == 2
    assert "choose another --agent" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_exams_are_at_least_an_expansion_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--exam-every", "0", "--out", str(tmp_path / "out")]) == 2
    assert "--exam-every must be at least 1" in capsys.readouterr().err
