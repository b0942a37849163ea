"""Wikis in 15 languages: a dump of each gives its redirects, disambiguations, categories, sentences and links."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.data.wikimedia import dump
from tests.support.wiki_languages import WIKIS, InlineExecutor, Wiki, read_dump


@pytest.mark.parametrize("wiki", WIKIS, ids=lambda wiki: wiki.language)
def test_a_wiki_in_its_own_words(wiki: Wiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dump, "ProcessPoolExecutor", InlineExecutor
    )  # to start processes would take longer than all else
    found = read_dump(wiki, tmp_path)
    assert found.titles == wiki.names[:2]
    assert found.redirects == 1
    assert found.left_out == {"disambiguation": 1, "another namespace": 2}
    assert found.categories == [wiki.category] * 2
    assert found.links == {(wiki.names[0], wiki.names[1]), (wiki.names[1], wiki.names[0])}
    assert found.sentences == wiki.sentences
    assert found.held_out == {"probe", "exam"}
