"""Errors name the thing, the place and the way out."""

from __future__ import annotations

import pytest

from kgrl.errors import DataError, KgrlError, MissingDataError, UnknownNameError, closest_name
from kgrl.system.registry import Registry


def test_unknown_names_list_the_known_ones_up_to_a_point() -> None:
    message = str(UnknownNameError("topic", "x", [f"topic {i}" for i in range(30)]))
    assert "topic 19" in message
    assert "topic 20" not in message
    assert "(10 more)" in message


@pytest.mark.parametrize(("name", "found"), [("CLOSURE", "closure"), ("clsoure", "closure"), ("quartz", None)])
def test_nearest_ignores_case_and_gives_up_in_time(name: str, found: str | None) -> None:
    assert closest_name(name, ["closure", "random"]) == found


def test_missing_data_reads_as_its_message() -> None:
    assert str(MissingDataError("install the extra offline")) == "install the extra offline"


def test_every_error_is_one_that_the_command_line_explains() -> None:
    errors = [UnknownNameError("agent", "x", []), DataError("f", None, "empty"), MissingDataError("gone")]
    assert all(isinstance(error, KgrlError) for error in errors)
    assert isinstance(errors[0], ValueError)


def test_a_registry_refuses_a_taken_name() -> None:
    registry = Registry[object]("agent")
    registry.register("a")(object)
    with pytest.raises(ValueError, match="agent 'a' is registered already"):
        registry.register("a")
    assert list(registry) == ["a"]
    assert "a" in registry
