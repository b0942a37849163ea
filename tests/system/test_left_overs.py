"""Killed processes leave nothing for good, and living ones lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kgrl.system import files
from kgrl.system.files import new_folder, replacing, write_text

WRITES = {
    "file": "with replacing(path) as made: made.write_text('half'); print('now', flush=True); time.sleep(60)",
    "folder": "with new_folder(path) as made: (made / 'a').touch(); print('now', flush=True); time.sleep(60)",
}


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_swept", set())


def _writing(path: Path, what: str) -> subprocess.Popen[str]:
    """Return a process that is in the middle of writing."""
    code = f"import time\nfrom pathlib import Path\nfrom kgrl.system.files import *\npath = Path({str(path)!r})\n"
    command = [sys.executable, "-c", code + WRITES[what]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "now\n"
    return process


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("what", WRITES)
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path, what: str) -> None:
    with _writing(tmp_path / "out", what) as process:
        assert len(_names(tmp_path)) == 1
        write_text(tmp_path / "other", "")
        assert len(_names(tmp_path)) == 2  # it lives
        process.send_signal(signal.SIGKILL)
    files._swept.clear()
    write_text(tmp_path / "other", "")
    assert _names(tmp_path) == {"other"}


def test_only_temporary_names_of_kgrl_are_removed(tmp_path: Path) -> None:
    strange = [".out.kgrl-12345678.tmp.keep", "out.kgrl-12345678.tmp", ".out.abcdefgh.tmp", "tmpabcdefgh", ".kgrl"]
    for name in strange:
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / ".pipe.kgrl-abcdefgh.tmp")
    (tmp_path / ".link.kgrl-abcdefgh.tmp").symlink_to(tmp_path / ".kgrl")
    (tmp_path / ".out.kgrl-abcdefgh.tmp").touch()
    write_text(tmp_path / "other", "")
    assert _names(tmp_path) - {".link.kgrl-abcdefgh.tmp"} == {*strange, "other"}


def test_a_folder_is_searched_once(tmp_path: Path) -> None:
    """A folder of a hundred thousand pieces would otherwise take as many searches of as many names."""
    write_text(tmp_path / "other", "")
    (tmp_path / ".out.kgrl-abcdefgh.tmp").touch()
    write_text(tmp_path / "other", "")
    assert ".out.kgrl-abcdefgh.tmp" in _names(tmp_path)


def test_writers_of_one_folder_do_not_remove_each_other_s_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(30):
                files._swept.clear()
                write_text(tmp_path / f"{number}.txt", str(turn))
                with new_folder(tmp_path / f"{number}-{turn}") as made:
                    (made / "a").touch()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(_names(tmp_path)) == 4 * 31


def test_a_file_system_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    (tmp_path / ".out.kgrl-abcdefgh.tmp").touch()
    with replacing(tmp_path / "a") as made:
        made.write_text("whole")
    assert _names(tmp_path) == {"a", ".out.kgrl-abcdefgh.tmp"}
