"""Imports that are interrupted, killed, or started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from kgrl.data import load_corpus
from kgrl.data.wikimedia.dump import import_dump
from kgrl.errors import KgrlError

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><siteinfo><case>first-letter</case></siteinfo>'
    "<page><title>{}</title><ns>0</ns><id>1</id><revision><id>1</id><timestamp>2026-01-01T00:00:00Z</timestamp>"
    "<model>wikitext</model><text>{}</text></revision></page>"
)
PAGE = HEAD[HEAD.index("<page>") :]


def _dump(path: Path, pages: int) -> Path:
    texts = (f"Page {n} is one. " + f"It says [[Page {n // 2}]] and {n} more. " * 40 for n in range(pages))
    body = "".join(PAGE.format(f"Page {n}", text) for n, text in enumerate(texts))
    path.write_text(HEAD[: HEAD.index("<page>")] + body + "</mediawiki>")
    return path


@pytest.mark.parametrize("pieces", [0, 2])
def test_ctrl_c_says_one_line(tmp_path: Path, pieces: int) -> None:
    """Ctrl-C reaches every process of the command."""
    dump, parts = _dump(tmp_path / "wiki.xml", 8_000), tmp_path / "out.parts"
    command = [sys.executable, "-m", "kgrl", "data", "import-dump", str(dump), "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not (parts / "import.json").exists() or len(list(parts.glob("*.jsonl"))) < pieces:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "interrupted; the same command continues where it stopped\n")
    assert parts.exists() and not (tmp_path / "out").exists()


def test_a_second_import_to_one_place_is_refused(tmp_path: Path) -> None:
    dump, parts = _dump(tmp_path / "wiki.xml", 5), tmp_path / "out.parts"
    parts.mkdir()
    with (
        filelock.FileLock(parts / ".lock"),
        pytest.raises(KgrlError, match=r"another process imports to .*out; wait .* another --out"),
    ):
        import_dump(dump, tmp_path / "out", workers=1)
    import_dump(dump, tmp_path / "out", workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"wiki.xml", "out"}
    assert len(load_corpus(str(tmp_path / "out")).graph) == 5


@pytest.mark.parametrize("joined", [True, False])
def test_pieces_are_removed_once_they_are_joined(tmp_path: Path, joined: bool) -> None:
    """A process that was killed after the last rename leaves them; those of another import stay."""
    dump, parts = _dump(tmp_path / "wiki.xml", 5), tmp_path / "out.parts"
    for folder in (parts, tmp_path / "out"):
        folder.mkdir()
        (folder / "0000000.jsonl").touch()
    if joined:
        (parts / "joined").touch()
    with pytest.raises(KgrlError, match="holds something already"):
        import_dump(dump, tmp_path / "out", workers=1)
    assert parts.exists() is not joined
