"""Every Python block of the README runs, and every command in it is one that kgrl understands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kgrl.cli import parse

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{number}" for number in range(1, len(BLOCKS) + 1)])
def test_block_is_at_most_ten_lines(block: str) -> None:
    assert len([line for line in block.splitlines() if line.strip()]) <= 10


@pytest.mark.integration
@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{number}" for number in range(1, len(BLOCKS) + 1)])
def test_block_runs(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr


def test_readme_has_the_three_examples() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("line", re.findall(r"^kgrl [^#\n]+", README, re.MULTILINE))
def test_command_is_understood(line: str) -> None:
    """A line that is not exits."""
    parse(shlex.split(line)[1:])
