"""The page about other people's trainers: its Python blocks run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "your_trainer.md").read_text(encoding="utf-8")
TRAINER, SAMPLER = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run(block: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sampler_of_the_page_runs(tmp_path: Path) -> None:
    assert "products" in run(SAMPLER, tmp_path)


@pytest.mark.integration
def test_the_trainer_of_the_page_runs(tmp_path: Path) -> None:
    """With the weights that are at hand, if those of the hub are not."""
    from kgrl.errors import KgrlError
    from kgrl.learners import base_folder

    name = "HuggingFaceTB/SmolLM2-135M"  # as on the page
    try:
        folder = base_folder("smollm2")
    except KgrlError as error:
        pytest.skip(str(error))
    smaller = {
        name: str(folder),
        "max_steps=20": "max_steps=4",
        "logging_steps=5": "logging_steps=2",
        "batch_size=4": "batch_size=1",
        "length=128": "length=16",
        "save_steps=10": "save_strategy='no'",  # a checkpoint has 1.6 GB
    }
    block = TRAINER
    for text, other in smaller.items():
        assert text in block
        block = block.replace(text, other)
    assert run(block, tmp_path).splitlines()[-1].startswith("[[")  # the trainer prints its logs before
