"""Actions that wait for an import: once, after it, and again if the import failed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from kgrl.system.deferred import after_import


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a package `awaited_package` that can be imported, and is not yet."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delitem(sys.modules, "awaited_package", raising=False)
    path = tmp_path / "awaited_package.py"
    path.write_text("VALUE = 1\n")
    importlib.invalidate_caches()
    return path


def test_the_action_follows_the_import_and_is_carried_out_once(package: Path) -> None:
    seen: list[int] = []
    finders = list(sys.meta_path)
    after_import("awaited_package", lambda: seen.append(sys.modules["awaited_package"].VALUE))
    assert seen == []
    importlib.import_module("awaited_package")
    assert seen == [1] and sys.meta_path == finders
    importlib.reload(sys.modules["awaited_package"])
    assert seen == [1]


def test_a_package_that_was_imported_is_not_waited_for(package: Path) -> None:
    importlib.import_module("awaited_package")
    seen: list[str] = []
    after_import("awaited_package", lambda: seen.append("now"))
    assert seen == ["now"]


def test_an_import_that_fails_is_waited_for_again(package: Path) -> None:
    seen: list[str] = []
    after_import("awaited_package", lambda: seen.append("done"))
    package.write_text("raise ImportError('broken')\n")
    with pytest.raises(ImportError, match="broken"):
        importlib.import_module("awaited_package")
    assert seen == []
    package.write_text("VALUE = 22\n")  # of another length: Python compares size and time with those of its bytecode
    importlib.invalidate_caches()
    importlib.import_module("awaited_package")
    assert seen == ["done"]


def test_a_package_that_is_absent_stays_absent(package: Path) -> None:
    after_import("no_such_package", lambda: pytest.fail("carried out"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_package")
