"""Declared schemas: right values come out as they were, all others are named with their place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from kgrl.errors import DataError
from kgrl.system.schemas import Count, decode_json, decode_yaml, read_json, read_yaml, yaml_text


@dataclass(frozen=True)
class Probe:
    """An inner record."""

    topics: tuple[int, ...]
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A record with inner ones."""

    index: Count
    title: str = ""
    probes: dict[str, Probe] = field(default_factory=dict)
    past: tuple[Probe, ...] = ()
    split: Literal["train", "exam"] = "train"


class Line(Struct, forbid_unknown_fields=True):
    """A flat record."""

    title: str
    count: Count = 0


MISTAKES = {
    "wrong type": ('{"index": "1"}', "index: expected a whole number, found text: '1'"),
    "a number that is no whole one": ('{"index": 1.5}', "index: expected a whole number, found a number: 1.5"),
    "true as a number": ('{"index": true}', "index: expected a whole number, found true or false"),
    "below 0": ('{"index": -1}', "index: expected a whole number >= 0: -1"),
    "too large": ('{"index": 1e999}', "'1e999' is no finite number"),
    "NaN": ('{"index": NaN}', "NaN is no finite number"),
    "digits without end": ('{"index": ' + "9" * 5_000 + "}", "a number has too many digits"),
    "missing": ("{}", "missing required field 'index'"),
    "misspelt": ('{"index": 1, "titel": "x"}', "'titel' is no known key; did you mean 'title'?"),
    "misspelt inside": ('{"index": 1, "probes": {"mean": {"topics": [], "lost": {}}}}', "probes.mean.'lost' is no"),
    "misspelt in a list": ('{"index": 1, "past": [{"topics": [1], "x": 1}]}', "past[0].'x' is no known key"),
    "wrong inside": (
        '{"index": 1, "past": [{"topics": [1, null]}]}',
        "past[0].topics[1]: expected a whole number, found",
    ),
    "not of the choices": ('{"index": 1, "split": "test"}', "split: expected one of exam, train, found 'test'"),
    "given twice": ('{"index": 1, "index": 2}', "the key 'index' is given twice"),
    "half a character": ('{"index": 1, "title": "\\udfff"}', "half a character"),
    "another kind": ("[]", "expected an object, found a list"),
    "nothing": ("", "not JSON"),
    "cut off": ('{"index": 1', "not JSON"),
    "more behind": ('{"index": 1} {"index": 2}', "Extra data"),
    "deep": ('{"past": ' + "[" * 50_000, "nested too deeply"),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        decode_json(text, Step, "steps.jsonl", 7)
    assert str(caught.value).startswith("steps.jsonl:7: ")
    assert told in str(caught.value)


def test_files_that_are_no_utf_8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes('{"index": 1}'.encode("utf-16"))
    with pytest.raises(DataError, match=r"save it as UTF-8.*; make it again"):
        read_json(path, Step, "make it again")
    path.write_bytes(b'\xef\xbb\xbf{"index": 1}\r\n')
    assert read_json(path, Step) == Step(1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_what_was_written_is_read(values: dict[str, Any]) -> None:
    written = json.dumps(values)
    if not any("\ud800" <= c <= "\udfff" for c in json.dumps(values, ensure_ascii=False)):
        assert decode_json(written, dict[str, Any], "x") == values


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
    | st.sampled_from(["No", "1e-4", "012", "~", "", "1.", "12:30", "=", "<<", "on", "2020-01-01", ".5", "- a", "#"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=5), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text("abcn1~", max_size=8), plain, max_size=4))
def test_yaml_reads_what_it_wrote(values: dict[str, Any]) -> None:
    assert decode_yaml(yaml_text(values), dict[str, Any], "x") == values


def test_plain_words_of_yaml_mean_what_people_think() -> None:
    text = "country: No\nrate: 1e-4\nday: 2020-99-99\ntime: 12:30:45\nzip: 012\non: off\nnothing:\n"
    read = decode_yaml(text, dict[str, Any], "x")
    assert read == {
        "country": "No", "rate": 1e-4, "day": "2020-99-99", "time": "12:30:45", "zip": 12, "on": "off", "nothing": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2", "x.yaml:2: not YAML: the key 'a' is given twice"),
        ("a: !!python/name:os.system x", "x.yaml:1: not YAML: tags are not read"),
        ("a: !!bool x", "tags are not read"),
        ("a: &b [1]\nc: *b", "aliases are not read"),
        ("a: .nan", "no finite number"),
        ("a: -.inf", "no finite number"),
        ("? [1]\n: 2", "a key must be text"),
        ("a: " + "9" * 5_000, "too many digits"),
        ("[" * 900, "nested too deeply"),
        ("a: [1", "not YAML"),
        ("a: \x00", "not YAML"),
        ('a: "\\uD800"', "half a character"),
        ("", "expected an object, found null"),
    ],
)
def test_what_yaml_may_not_hold_is_named(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        read_yaml(tmp_path / "x.yaml", dict[str, Any])
    assert told in str(caught.value)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_give_a_value_or_a_named_error(data: bytes | str) -> None:
    for decode in (decode_json, decode_yaml):
        try:
            assert isinstance(decode(data, Line, "x"), Line)
        except DataError as error:
            assert str(error).startswith("x:")
