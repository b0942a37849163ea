"""The page on bringing text: its commands are understood, its Python runs, its examples load."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kgrl.cli import parse
from kgrl.data import folder_faults

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your_text.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", re.findall(r"^    kgrl (.+)$", PAGE, re.MULTILINE))
def test_command_is_understood(line: str) -> None:
    """A line that is not exits."""
    parse(shlex.split(line))


def test_the_python_block_runs(tmp_path: Path) -> None:
    (tmp_path / "my-texts").mkdir()
    for name, other in (("Logic", "Set"), ("Set", "Number"), ("Number", "Logic")):
        text = f"{name} is old. It is taught in schools of {name}. Read about [{other}]({other}.md) as well."
        (tmp_path / "my-texts" / f"{name}.md").write_text(text)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'hyperlinks': 3" in done.stdout


def test_the_lines_of_the_examples_make_a_folder(tmp_path: Path) -> None:
    named = re.split(
        r"^`(topics\.jsonl|links\.tsv|passages\.jsonl|questions\.jsonl|exam\.jsonl)`", PAGE, flags=re.MULTILINE
    )[1:]
    for name, told in zip(named[::2], named[1::2], strict=True):
        lines = re.findall(r"^    (?!kgrl )(.+)$", told, re.MULTILINE)
        assert lines
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    with (tmp_path / "passages.jsonl").open("a") as file:
        file.write('{"topic": "Set", "text": "A set has members.", "split": "train"}\n')
    assert folder_faults(tmp_path) == []


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (ROOT / "docs" / link).is_file(), link
