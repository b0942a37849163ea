"""The wheel: it holds every file of the package, and is not built where the repository's links are missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKS = ("agents", "data", "envs")
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE", "kgrl", *LINKS)
BUILD_INPUT = "kgrl/viewer/vendor/"
"""Folder that is not packed: the viewer's bundle is made from it."""


def git_files(*options: str) -> list[str]:
    """Files that the wheel is built from, as `git ls-files` lists them."""
    command = ["git", "ls-files", "-z", "--exclude-standard", *options, *BUILT_FROM]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs git and a checkout: {error}")
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


def repository_files() -> list[str]:
    """Tracked files, and new ones that are not ignored."""
    return git_files("--cached", "--others")


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    # In a copy, since setuptools packs whatever an earlier build left in the folder build/.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the files that the wheel is built from, with their links."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in repository_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def packed(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the wheel's files."""
    out = tmp_path_factory.mktemp("wheel")
    done = build(copy, out)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_git_ignores_no_file_of_the_package() -> None:
    """A pattern meant for what runs leave behind would keep a file of the same name out of every other checkout."""
    ignored = git_files("--others", "--ignored")
    assert [name for name in ignored if "__pycache__" not in name and ".egg-info/" not in name] == []


def test_the_wheel_holds_every_file_of_the_package(packed: set[str]) -> None:
    ours = [name for name in repository_files() if name.split("/")[0] in ("kgrl", *LINKS)]
    ours = [f"kgrl/{name}" if name.split("/")[0] in LINKS else name for name in ours]
    wanted = {name for name in ours if not name.startswith(BUILD_INPUT)} - {f"kgrl/{link}" for link in LINKS}
    there = {name for name in packed if ".dist-info/" not in name}
    assert sorted(wanted - there) == [], "missing from the wheel"
    assert sorted(there - wanted) == [], "in the wheel, but not in the repository"


@pytest.mark.parametrize(
    "name",
    [
        "kgrl/viewer/static/index.html",
        "kgrl/viewer/static/graph.LICENSE.txt",
        "kgrl/report/templates/document.html",
        "kgrl/benchmark/report/templates/benchmark.js",
        "kgrl/builtin/policy.safetensors",
        "kgrl/agents/recipes/ppo.yaml",
        "kgrl/agents/tuned/closure.yaml",
        "kgrl/envs/__init__.pyi",
        "kgrl/py.typed",
    ],
)
def test_data_of_every_kind_is_in_the_wheel(packed: set[str], name: str) -> None:
    """Some files by name, in case both the repository and the wheel lose a folder."""
    assert name in packed


def test_licences_are_in_the_wheel(packed: set[str]) -> None:
    licences = {name.rsplit("/", 1)[1] for name in packed if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE", "graph.LICENSE.txt"}, "the last one is that of the viewer's bundle"


def test_the_wheel_has_one_import_root(packed: set[str]) -> None:
    assert {name.split("/")[0] for name in packed if ".dist-info/" not in name} == {"kgrl"}


def test_a_checkout_without_its_links_is_refused(copy: Path, tmp_path: Path) -> None:
    """git without `core.symlinks` writes a link as a text file that holds the link's target."""
    source = tmp_path / "checkout"
    shutil.copytree(copy, source, symlinks=True)
    (source / "kgrl/envs").unlink()
    (source / "kgrl/envs").write_text("../envs")
    done = build(source, tmp_path)
    assert done.returncode != 0 and not list(tmp_path.glob("*.whl"))
    assert "kgrl/envs: symbolic links" in done.stdout + done.stderr
    assert "core.symlinks=true" in done.stdout + done.stderr
