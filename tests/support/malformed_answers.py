"""Answers of an API that are not of the shape that MediaWiki gives, by name, as the bytes that a site sends."""

from __future__ import annotations

import json
from typing import Any

from tests.support.hostile_site import GOOD

DEEP = 100_000
PAGE = {"title": "Logic", "ns": 0, "extract": "Logic studies reasoning."}


def page_of(**fields: Any) -> dict[str, Any]:
    """An answer with one page."""
    return {"query": {"pages": [{**PAGE, **fields}]}}


SHAPES: dict[str, Any] = {
    "answer-list": [1],
    "answer-number": 5,
    "answer-null": None,
    "query-number": {"query": 5},
    "query-text": {"query": "pages"},
    "query-full-list": {"query": [1]},
    "pages-number": {"query": {"pages": 5}},
    "pages-text": {"query": {"pages": "Logic"}},
    "pages-null": {"query": {"pages": None}},
    "page-null": {"query": {"pages": [None]}},
    "page-list": {"query": {"pages": [[]]}},
    "page-table-of-numbers": {"query": {"pages": {"1": 1}}},
    "two-pages": {"query": {"pages": [PAGE, {**PAGE, "title": "Other"}]}},
    "no-title": {"query": {"pages": [{"ns": 0, "extract": "Text."}]}},
    "title-number": page_of(title=5),
    "title-null": page_of(title=None),
    "title-empty": page_of(title=""),
    "title-separator": page_of(title="Lo\u2028gic"),
    "title-tab": page_of(title="Lo\tgic"),
    "title-control": page_of(title="Lo\x1bgic"),
    "title-next-line": page_of(title="Lo\x85gic"),
    "title-long": page_of(title="L" * 10_000),
    "ns-text": page_of(ns="0"),
    "extract-list": page_of(extract=["Logic"]),
    "extract-number": page_of(extract=5),
    "categories-number": page_of(categories=5),
    "categories-of-text": page_of(categories=["Category:Thought"]),
    "category-without-title": page_of(categories=[{}]),
    "category-title-list": page_of(categories=[{"title": []}]),
    "pageprops-text": page_of(pageprops="disambiguation"),
    "revisions-table": page_of(revisions={"0": {}}),
    "revision-null": page_of(revisions=[None]),
    "slots-text": page_of(revisions=[{"slots": "main"}]),
    "slot-number": page_of(revisions=[{"slots": {"main": 5}}]),
    "content-list": page_of(revisions=[{"content": ["x"]}]),
    "redirects-text": {"query": {"pages": [PAGE], "redirects": "x"}},
    "redirect-without-end": {"query": {"pages": [PAGE], "redirects": [{"from": "x"}]}},
    "language-number": page_of(pagelanguage=5),
    "continue-text": {**GOOD, "continue": "more"},
    "continue-list": {**GOOD, "continue": {"clcontinue": [1]}},
    "query-continue-number": {**GOOD, "query-continue": {"links": 5}},
    "error-number": {"error": 5},
}
TEXTS: dict[str, bytes] = {
    "html": b"<html><body>Welcome</body></html>",
    "empty": b"",
    "half": b'{"query": {"pages": [',
    "not-utf-8": b'{"query": {"pages": [{"title": "\xff\xfe", "ns": 0}]}}',
    "half-a-pair": b'{"query": {"pages": [{"title": "Logic", "ns": 0, "extract": "\\ud800"}]}}',
    "deep-lists": b"[" * DEEP,
    "deep-unknown-field": b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep-tables": b'{"query": ' * DEEP,
    "deep-error": b'{"error": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "not-a-number": b'{"query": {"pages": [{"title": "Logic", "ns": NaN}]}}',
    "large-number": b'{"query": {"pages": [{"title": "Logic", "ns": ' + b"9" * 5_000 + b"}]}}",
}
MALFORMED = {name: json.dumps(shape).encode() for name, shape in SHAPES.items()} | TEXTS
