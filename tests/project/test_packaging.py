"""The package's metadata, its links, and the files that go with it."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, requires, version
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
    assert set(EXTRAS) == {"offline", "minari", "ray", "bm25", "datasets", "rst", "redis", "bench", "test", "dev"}


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


USERS_EXTRAS = ("offline", "minari", "ray", "bm25", "datasets", "rst", "redis")


def licences() -> dict[str, str]:
    """Return the licence that NOTICE gives each package."""
    found, licence = dict[str, str](), ""
    for line in (ROOT / "NOTICE").read_text().splitlines():
        if line.startswith("    "):
            licence = line[4:31].strip() or licence
            named = re.sub(r"\(.*?\)", "", line[31:])
            found |= {name.strip(): licence for name in named.split(",") if name.strip()}
    return found


def test_notice_has_the_licence_of_every_package_that_users_install() -> None:
    lines = [*PROJECT["dependencies"], *(line for extra in USERS_EXTRAS for line in EXTRAS[extra])]
    assert set(licences()) == {canonicalize_name(Requirement(line).name) for line in lines}


def test_licences_in_notice_are_those_that_packages_tell() -> None:
    kinds = ("Apache", "BSD", "MIT", "MPL", "GPL")
    for name, licence in licences().items():
        try:
            about = metadata(name)
        except PackageNotFoundError:
            continue
        classified = [text for text in about.get_all("Classifier", []) if text.startswith("License ::")]
        told = " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:200], *classified])
        for kind in kinds:
            assert not told.strip() or not licence.startswith(kind) or kind in told, f"{name}: {told}"


def test_the_viewers_bundle_is_the_one_that_notice_describes() -> None:
    static, notice = ROOT / "kgrl" / "viewer" / "static", (ROOT / "NOTICE").read_text()
    assert hashlib.sha256((static / "graph.min.js").read_bytes()).hexdigest() in notice
    bundled = re.findall(r"^(@?[a-z/-]+) (\d+\.\d+\.\d+)$", (static / "graph.LICENSE.txt").read_text(), re.MULTILINE)
    words = " ".join(notice.split())
    assert len(bundled) == 5 and all(f"{name} {release}" in words for name, release in bundled)
    pinned = json.loads((ROOT / "kgrl" / "viewer" / "vendor" / "package-lock.json").read_text())["packages"]
    assert all(pinned[f"node_modules/{name}"]["version"] == release for name, release in bundled)
    assert all(about.get("integrity", "").startswith("sha512-") for path, about in pinned.items() if path)


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
