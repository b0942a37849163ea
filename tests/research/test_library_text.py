"""A library's file is one line for each arrival, whatever its texts hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgrl.errors import DataError
from kgrl.research import Library
from kgrl.research.log import Arrival


def arrival(title: str, text: str) -> Arrival:
    return Arrival(title, "", (), (), (text,), (0,), np.ones((1, 2), np.float32), 0.0)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\n"])
def test_texts_with_line_separators_are_read_again(tmp_path: Path, mark: str) -> None:
    library = Library(tmp_path / "pages.jsonl")
    library.add([arrival("Logic", f"Logic is{mark}old."), arrival("Set", "A set.")])
    again = Library(tmp_path / "pages.jsonl")
    assert len(again) == 2 and list(again.corpus(2).texts) == list(library.corpus(2).texts)


@pytest.mark.parametrize(("title", "text"), [("Logic\ud800", "Logic is old."), ("Logic", "Logic is \udfff old.")])
def test_half_of_a_surrogate_pair_is_named_and_not_written(tmp_path: Path, title: str, text: str) -> None:
    library = Library(tmp_path / "pages.jsonl")
    with pytest.raises(DataError, match=r"'Logic.*' holds half of a surrogate pair"):
        library.add([arrival("Set", "A set."), arrival(title, text)])
    assert len(library) == len(Library(tmp_path / "pages.jsonl")) == 1
