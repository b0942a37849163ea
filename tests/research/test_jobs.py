"""Jobs tell what repeats another split."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Split, near_duplicates
from kgrl.research.wording import Wording
from tests.support.research_pages import made_up


@given(st.lists(st.sampled_from([made_up(f"T{n}", 1) for n in range(4)] + ["short one", "a"]), max_size=6), st.data())
def test_wording_is_that_of_near_duplicates(texts: list[str], data: st.DataObject) -> None:
    splits = data.draw(st.lists(st.sampled_from([0, 2]), min_size=len(texts), max_size=len(texts)))
    held_out = [text for text, split in zip(texts, splits, strict=True) if split == Split.EXAM]
    wording = Wording()
    wording.add(held_out, [Split.EXAM] * len(held_out))
    expected = near_duplicates(texts, np.array(splits, dtype=np.uint8)).tolist()
    assert wording.repeats(texts, splits).tolist() == expected
