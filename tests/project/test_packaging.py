"""The package's metadata, its links, and the files that go with it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kgrl

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): pinned for name, pinned in pairs}


@pytest.mark.parametrize("folder", ["envs", "agents", "data"])
def test_folders_are_relative_links(folder: str) -> None:
    link = ROOT / "kgrl" / folder
    assert link.is_symlink() and link.readlink() == Path("..") / folder


def test_extras() -> None:
    assert set(EXTRAS) == {"offline", "minari", "ray", "bm25", "datasets", "redis", "bench", "test", "dev"}


def test_every_requirement_has_a_pin_that_satisfies_it() -> None:
    wanted = [Requirement(line) for name, lines in {**EXTRAS, "": PROJECT["dependencies"]}.items() for line in lines]
    for requirement in wanted:
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), requirement


def test_what_is_installed_satisfies_the_lower_bounds() -> None:
    for line in requires("kgrl") or []:
        requirement = Requirement(line)
        if requirement.marker is None:
            assert requirement.specifier.contains(version(requirement.name), prereleases=True), requirement


def test_torch_is_pinned_without_a_local_build() -> None:
    assert pins()["torch"] == "2.13.0"
    assert not [name for name, pinned in pins().items() if not re.fullmatch(r"[0-9][0-9a-z.]*", pinned)]


def test_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert version("kgrl") == PROJECT["version"]


def test_types_are_declared() -> None:
    assert (Path(kgrl.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["envs", "agents", "data"])
def test_no_other_import_root(name: str) -> None:
    with pytest.raises(PackageNotFoundError):
        version(name)
