"""The templates of reports: everything is escaped, and a value that is missing is an error."""

from __future__ import annotations

import json
from importlib.resources import files

import jinja2
import pytest
from markupsafe import Markup

from kgrl.report import html
from kgrl.report.html import render, script_json

FOLDERS = ["kgrl.report", "kgrl.benchmark.report"]
NAMES = [(package, file.name) for package in FOLDERS for file in files(package).joinpath("templates").iterdir()]


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render("report/document.html")


def test_a_template_that_is_missing_is_named() -> None:
    with pytest.raises(jinja2.TemplateNotFound, match=r"report/none\.html"):
        render("report/none.html")


@pytest.mark.parametrize(("package", "name"), [pair for pair in NAMES if pair[1].endswith(".html")])
def test_no_template_marks_a_value_as_safe_or_turns_escaping_off(package: str, name: str) -> None:
    text = files(package).joinpath("templates", name).read_text(encoding="utf-8")
    nodes = list(
        html._environment().parse(text).find_all((jinja2.nodes.Filter, jinja2.nodes.ScopedEvalContextModifier))
    )
    assert not [node for node in nodes if isinstance(node, jinja2.nodes.ScopedEvalContextModifier)]
    assert not [node for node in nodes if isinstance(node, jinja2.nodes.Filter) and node.name == "safe"]


@pytest.mark.parametrize(("package", "name"), [pair for pair in NAMES if not pair[1].endswith(".html")])
def test_no_inlined_file_ends_its_element(package: str, name: str) -> None:
    text = files(package).joinpath("templates", name).read_text(encoding="utf-8").lower()
    assert "</" not in text and "<!--" not in text


def test_json_in_a_script_ends_neither_the_element_nor_a_line() -> None:
    hostile = {"</script>": ["<!--", "\u2028\u2029", "数学", None, 0.5]}
    text = script_json(hostile)
    assert isinstance(text, Markup) and "<" not in text and text.isprintable()
    assert json.loads(text) == hostile
    with pytest.raises(ValueError):
        script_json(float("nan"))
