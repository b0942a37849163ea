"""The page cache: shared by processes, and clear about what is wrong with its file."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.errors import DataError
from kgrl.research import Page

SITE = "https://example.org/w/api.php"
_WRITER = """
import sys
from pathlib import Path
from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.research import Page
cache = PageCache(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    cache.put("s", f"{sys.argv[2]} {number}", Page("t", "words " * 2000))
    print(number, flush=True)
"""


def _writer(path: Path, name: str, pages: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(path), name, str(pages)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(title=_words, text=_words, links=st.lists(_words), categories=st.lists(_words))
def test_a_page_comes_back_as_it_was(title: str, text: str, links: list[str], categories: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = PageCache(Path(folder) / "pages.db")
        page = Page(title, text, tuple(links), tuple(categories), 7.25, (title,))
        cache.put(SITE, title, page)
        assert cache.get(SITE, title) == (page,)
        cache.close()


@pytest.mark.parametrize("title", ["../../x", "/etc/passwd", "a\x00b", "'; drop table pages; --", "数学", ""])
def test_a_title_is_never_a_path_or_a_statement(tmp_path: Path, title: str) -> None:
    cache = PageCache(tmp_path / "cache" / "pages.db")
    cache.put(SITE, title, Page(title, "Text."))
    assert cache.get(SITE, title) == (Page(title, "Text."),)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert {path.name for path in (tmp_path / "cache").iterdir()} <= {"pages.db", "pages.db-wal", "pages.db-shm"}


def test_what_is_too_old_is_not_remembered_be_it_a_page_or_none(tmp_path: Path) -> None:
    cache, now = PageCache(tmp_path / "pages.db"), time.time()
    cache.put(SITE, "Logic", Page("Logic", "Old.", fetched=now - 100))
    cache.put(SITE, "Gone", None)
    assert cache.get(SITE, "Logic", max_age=50) is None
    assert cache.get(SITE, "Logic", max_age=150) == cache.get(SITE, "Logic")
    assert cache.get(SITE, "Gone", max_age=50) == (None,)
    assert cache.get(SITE, "Gone", max_age=-1) is None


@pytest.mark.integration
def test_processes_share_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "pages.db"
    writers = [_writer(path, f"w{number}", 50) for number in range(3)]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    cache = PageCache(path)
    assert all(cache.get("s", f"w{writer} {page}") is not None for writer in range(3) for page in range(50))


@pytest.mark.integration
def test_a_killed_process_leaves_every_page_that_it_put(tmp_path: Path) -> None:
    writer = _writer(tmp_path / "pages.db", "w", 100_000)
    assert writer.stdout is not None
    written = [writer.stdout.readline() for _ in range(30)][-1]
    writer.kill()
    written = (writer.communicate()[0].splitlines() or [written])[-1]
    cache = PageCache(tmp_path / "pages.db")
    last = int(written) - 1  # the last line itself may be cut short
    assert all(cache.get("s", f"w {page}") == (Page("t", "words " * 2000),) for page in range(last))


def _no_database(path: Path) -> None:
    path.write_bytes(b"no database at all, " * 100)


def _half_a_row(path: Path) -> None:
    cache = PageCache(path)
    cache.put(SITE, "Logic", Page("Logic", "Text."))
    cache.close()
    with sqlite3.connect(path) as connection:
        connection.execute("update pages set page = substr(page, 1, 20)")
    connection.close()


def _another_row(path: Path) -> None:
    _half_a_row(path)
    with sqlite3.connect(path) as connection:
        connection.execute("update pages set page = '{\"name\": 1}'")
    connection.close()


def _overwritten(path: Path) -> None:
    cache = PageCache(path)
    for number in range(200):
        cache.put(SITE, "Logic" if number == 100 else f"t{number}", Page("t", "words " * 50))
    cache.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


@pytest.mark.parametrize("damage", [_no_database, _half_a_row, _another_row, _overwritten])
def test_a_damaged_cache_names_the_command_that_repairs_it(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path, beside = tmp_path / "my pages.db", tmp_path / "my pages.db.other"
    beside.write_text("not to be harmed")
    damage(path)
    with pytest.raises(DataError, match=r"my pages\.db: the page cache is damaged .*: rm -f ") as raised:
        PageCache(path).get(SITE, "Logic")
    _, _, command = str(raised.value).rpartition("again: ")
    subprocess.run(shlex.split(command), check=True)
    assert PageCache(path).get(SITE, "Logic") is None
    assert beside.read_text() == "not to be harmed"


def _a_folder(path: Path) -> None:
    path.mkdir()


def _another_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table pages (other)")
    connection.close()


@pytest.mark.parametrize("spoil", [_a_folder, _another_table])
def test_a_file_that_is_no_cache_is_named_and_left_alone(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "pages.db"
    spoil(path)
    with pytest.raises(DataError, match=r"pages\.db: the page cache cannot be used"):
        PageCache(path).get(SITE, "Logic")
    assert path.exists()
