"""HTML of the report pages: one Jinja environment, which escapes everything that a template inserts.

Titles, names and error messages come from data that is not checked, so autoescape is on for every template. Four
functions of this module mark text as safe: `inline` (a file of this package), `plotly` (plotly's script), `script_json`
and `figure_json` (JSON that cannot end its script element).

A template's name begins with the folder that it is in: `report/` is `kgrl/report/templates`, `benchmark/` is
`kgrl/benchmark/report/templates`. Every page extends `report/document.html`. It is one file that requests nothing: its
content security policy forbids requests, and permits only the page's two scripts, by their hashes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import cache
from typing import Any

import plotly.io
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

__all__ = ["figure_json", "render", "script_hash", "script_json"]

_FOLDERS = {"report": "kgrl.report", "benchmark": "kgrl.benchmark.report"}
"""Packages by the first part of their templates' names."""


def render(template: str, **values: Any) -> str:
    """Return a template filled in, with every value escaped.

    Args:
        template: The template's name, for example `"report/runs.html"`.
        values: What the template reads, by name.

    Raises:
        jinja2.UndefinedError: If the template reads a value that is missing.
        jinja2.TemplateNotFound: If the template does not exist.
    """
    return _environment().get_template(template).render(**values)


def script_json(value: Any) -> Markup:
    r"""Return JSON for a script element, in which no character ends the element or a line of a script.

    Args:
        value: Plain data.

    Raises:
        ValueError: If `value` holds a NaN or an infinity.

    Example:
        >>> script_json({"title": "</script>"})
        Markup('{"title":"\\u003c/script>"}')
    """
    return _in_script(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def figure_json(figure: Figure) -> Markup:
    """Return a plotly figure as JSON for a script element."""
    return _in_script(str(plotly.io.to_json(figure)))


def script_hash(script: str) -> str:
    """Return the source expression by which a content security policy permits one inline script.

    Example:
        >>> script_hash("draw();")
        "'sha256-Nrzt+Ak9TKllQ0f6KxPbgRgME4RTzfjVUaOmcylYOV8='"
    """
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    loader = PrefixLoader({prefix: PackageLoader(package) for prefix, package in _FOLDERS.items()})
    # StrictUndefined: a misspelt name is an error instead of an empty place on the page.
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )

    def inline(name: str) -> Markup:
        """Return a stylesheet or script as it is: rendered as a template, its braces could be read as Jinja's."""
        return Markup(loader.get_source(environment, name)[0])

    environment.globals.update(inline=inline, plotly=lambda: Markup(get_plotlyjs()), script_hash=script_hash)
    environment.filters.update(script_json=script_json, figure_json=figure_json)
    return environment


def _in_script(text: str) -> Markup:
    # U+2028 and U+2029 end a line in scripts, but not in JSON.
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
