"""The page on devices: its commands are understood, its Python runs, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kgrl.cli import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "on_a_gpu.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line", re.findall(r"(?:^    |accelerate launch .*-m |`)kgrl (run [^`\n]+)", PAGE, re.MULTILINE)
)
def test_command_is_understood(line: str) -> None:
    """A line that is not exits."""
    parse(shlex.split(line))


def test_the_python_block_runs(base_folder: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert "smollm2" in block
    block = block.replace("smollm2", str(base_folder))
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['")


def test_its_links_and_files_are_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (ROOT / "docs" / link).is_file(), link
    for path in re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path
