"""Every loader, fed damaged files: a right result or an error that names the file, nothing else, and quickly."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from kgrl.errors import DataError
from kgrl.testing.fuzzing import FuzzTarget, fuzz
from tests.support.loaders import TARGETS

COUNT = int(os.environ.get("KGRL_FUZZ", "200"))
"""Damaged inputs a loader; 10,000 take about an hour."""
_MOST_MIB = 200


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files_are_named_or_read_right(target: FuzzTarget, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = fuzz(target, COUNT, tmp_path)
    assert not report.faults, report
    assert report.loaded + report.refused == COUNT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_MIB * 1024


def test_the_fuzzer_finds_what_it_looks_for(tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        (folder / "numbers.json").write_text('{"n": 1}')
        return folder / "numbers.json"

    def load(folder: Path) -> str:
        text = (folder / "numbers.json").read_text(encoding="utf-8", errors="replace")
        if "null" in text:
            raise KeyError("a bare error")
        if len(text) < 4:
            raise DataError("elsewhere", None, "another file is named")
        return text

    def check(text: str) -> None:
        assert "true" not in text, "a wrong result"

    found = " ".join(fuzz(FuzzTarget("sloppy", make, load, check), 600, tmp_path).faults)
    assert "KeyError at test_fuzzing.py" in found
    assert "does not name the file" in found
    assert "a wrong result" in found
