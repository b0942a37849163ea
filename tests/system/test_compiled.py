"""Compiled kernels have a place, whatever can be written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from kgrl.system import compiled
from kgrl.system.compiled import place_kernels

VARIABLE = "NUMBA_CACHE_DIR"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.os, "access", lambda path, mode: False)


def test_kernels_stay_beside_the_modules_of_a_package_that_can_be_written_to(tmp_path: Path) -> None:
    place_kernels(tmp_path, lambda: "1.0")
    assert os.environ[VARIABLE] == ""


def test_a_choice_of_the_user_stays(read_only: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "chosen")
    place_kernels(tmp_path, lambda: "1.0")
    assert os.environ[VARIABLE] == "chosen"


def test_they_go_to_the_cache_folder_of_a_read_only_installation(
    read_only: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    place_kernels(tmp_path, lambda: "1.0")
    assert os.environ[VARIABLE] == numba.config.CACHE_DIR == str(tmp_path / "cache" / "numba" / "1.0")


def test_without_a_cache_folder_they_go_to_one_of_the_process(
    read_only: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "file"))
    place_kernels(tmp_path, lambda: "1.0")
    folder = Path(os.environ[VARIABLE])
    assert folder.stat().st_mode & 0o077 == 0 and not list(folder.iterdir())
    folder.rmdir()


@pytest.mark.integration
def test_a_read_only_installation_without_a_home_works(tmp_path: Path) -> None:
    code = "from kgrl.system.random_bits import drawn; drawn(1, 2, 3, 4); import kgrl; print(kgrl.__version__)"
    mount = f"mount --bind {ROOT} {ROOT} && mount -o remount,ro,bind {ROOT}"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount")
    command = ["unshare", "-m", "sh", "-c", f"{mount} && cd {ROOT} && exec {sys.executable} -c '{code}'"]
    environment = {**os.environ, "HOME": "/proc/none", "KGRL_CACHE": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop(VARIABLE)
    assert subprocess.run(command, env=environment, capture_output=True, text=True).stderr == ""
    assert list((tmp_path / "numba").rglob("*.nbi"))
