"""Names that installed packages add: found at the first look-up, reported when broken, never replacing another name."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from kgrl.agents import agents
from kgrl.data import corpora
from kgrl.errors import KgrlError, UnknownNameError
from kgrl.learners import learners
from kgrl.rewards import Reward, rewards
from kgrl.rewards.registry import RewardRegistry
from kgrl.system.registry import PluggedIn, Registry
from kgrl.testing.samples import sample_expansions

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs packages: `install(name, entry points of kgrl.rewards, code)`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(name: str, points: str, code: str) -> None:
        folder = tmp_path / f"{name}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(f"[kgrl.rewards]\n{points}\n")
        (tmp_path / f"{name}.py").write_text(code)
        importlib.invalidate_caches()

    return made


@pytest.fixture
def registry() -> Registry[Reward]:
    made = RewardRegistry("reward", group="kgrl.rewards")
    made.register("own")(lambda expansion: 0.0)
    return made


CODE = "def short(expansion):\n    return -float(expansion.tokens)\n"


def test_the_four_kinds_have_groups() -> None:
    groups = [registry.group for registry in (rewards, agents, learners, corpora)]
    assert groups == ["kgrl.rewards", "kgrl.agents", "kgrl.learners", "kgrl.sources"]


def test_a_package_adds_a_name(install: Install, registry: Registry[Reward]) -> None:
    install("good_one", "short = good_one:short", CODE)
    assert list(registry) == ["own", "short"]
    reward = registry.make("short")
    assert reward.evaluate(sample_expansions()[0]) == (-50.0, {"short": -50.0})
    assert registry.plugged_in == (PluggedIn("short", "good_one 1.2"),)


def test_nothing_is_loaded_before_a_name_is_looked_up(install: Install) -> None:
    install("late_one", "short = late_one:short", "raise SystemExit('loaded too early')")
    registry = RewardRegistry("reward", group="kgrl.rewards")
    registry.register("own")(lambda expansion: 0.0)
    assert "late_one" not in sys.modules


@pytest.mark.parametrize(
    ("points", "code", "why"),
    [
        ("bad = bad_one:short", "import nothing_of_that_name", "ModuleNotFoundError: .*nothing_of_that_name"),
        ("bad = bad_one:longer", CODE, "AttributeError: .*longer"),
        ("bad = bad_one:short", "short = 3", "TypeError: 3 is not a class or function"),
        ("bad = bad_one", CODE, "TypeError: .*not a class or function"),
    ],
)
def test_a_broken_package_is_reported_and_keeps_no_other_from_loading(
    install: Install,
    registry: Registry[Reward],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    points: str,
    code: str,
    why: str,
) -> None:
    monkeypatch.delitem(sys.modules, "bad_one", raising=False)
    install("bad_one", points, code)
    install("fine_one", "short = fine_one:short", CODE)
    with caplog.at_level(logging.WARNING):
        assert "short" in registry
    assert [record.getMessage() for record in caplog.records] == [
        f"the reward 'bad' of the package bad_one 1.2 is left out: {registry.plugged_in[0].error}"
    ]
    with pytest.raises(KgrlError, match=f"the reward 'bad' of the package bad_one 1.2 is broken: {why}"):
        registry.make("bad")
    with pytest.raises(UnknownNameError, match="did you mean 'short'"):
        registry.make("shorts")


def test_a_name_that_is_there_is_not_replaced(
    install: Install, registry: Registry[Reward], caplog: pytest.LogCaptureFixture
) -> None:
    install("first_one", "short = first_one:short\nown = first_one:short", CODE)
    install("second_one", "short = second_one:short", CODE)
    assert registry.make("own")(sample_expansions()[0]) == 0.0
    refused = [plugged for plugged in registry.plugged_in if plugged.error]
    assert [(plugged.name, plugged.package) for plugged in refused] == [
        ("own", "first_one 1.2"),
        ("short", "second_one 1.2"),
    ]
    assert "reward 'own' is registered already" in caplog.text


def test_a_package_may_register_what_it_has_an_entry_for(
    install: Install, registry: Registry[Reward], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("twice_one", "short = twice_one:short", "import registry_of_test\n@registry_of_test.add('short')\n" + CODE)
    module = ModuleType("registry_of_test")
    module.add = registry.register  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "registry_of_test", module)
    assert [plugged.error for plugged in registry.plugged_in] == [None]


def test_a_declared_name_is_listed_and_imported_when_it_is_looked_up() -> None:
    declared: Registry[object] = Registry("thing")
    declared.declare("plain", "tests.support.no_such_module:Thing")
    declared.declare("path", "pathlib:Path")
    assert list(declared) == ["path", "plain"] and "path" in declared
    assert declared["path"] is Path and declared.make("path", "a") == Path("a")
    with pytest.raises(ModuleNotFoundError):
        declared["plain"]
