"""What the jobs do to text: cleaning, and telling what repeats another split."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Split, cut, near_duplicates
from kgrl.research.jobs import clean_text
from kgrl.research.wording import Wording
from tests.support.research_pages import made_up


def test_huge_lines_are_cleaned_in_bounded_time() -> None:
    began = time.monotonic()
    cleaned = clean_text("word " * 2_000_000)
    assert max(map(len, cut(cleaned))) <= 1_000
    assert "".join(cut(clean_text("x" * 10_000_000))) == "x" * 10_000_000
    assert time.monotonic() - began < 60


@given(st.text(max_size=300))
def test_cleaned_text_is_clean_and_stays_as_it_is(text: str) -> None:
    cleaned = clean_text(text)
    assert not any((ord(c) < 32 and c != "\n") or 0xD800 <= ord(c) < 0xE000 for c in cleaned)
    assert clean_text(cleaned) == cleaned


@given(st.lists(st.sampled_from([made_up(f"T{n}", 1) for n in range(4)] + ["short one", "a"]), max_size=6), st.data())
def test_wording_is_that_of_near_duplicates(texts: list[str], data: st.DataObject) -> None:
    splits = data.draw(st.lists(st.sampled_from([0, 2]), min_size=len(texts), max_size=len(texts)))
    held_out = [text for text, split in zip(texts, splits, strict=True) if split == Split.EXAM]
    wording = Wording()
    wording.add(held_out, [Split.EXAM] * len(held_out))
    expected = near_duplicates(texts, np.array(splits, dtype=np.uint8)).tolist()
    assert wording.repeats(texts, splits).tolist() == expected
