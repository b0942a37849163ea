"""Small corpora of any titles, links, texts, splits and questions, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from kgrl.corpus import Cloze, Corpus
from kgrl.graph import TopicGraph
from kgrl.system.words import canonical

__all__ = ["corpora"]

titles = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=9).filter(canonical),
    min_size=1,
    max_size=8,
    unique_by=canonical,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(canonical)
answers = st.sampled_from(["Ada", "Bob II", "数学", "C++", "x"])


@st.composite
def clozes(draw: st.DrawFn, topics: int) -> Cloze:
    answer, *wrong = draw(st.lists(answers, min_size=2, max_size=5, unique=True))
    before, after = (
        draw(st.sampled_from(["", "It was ", "Not x, but "])),
        draw(st.sampled_from(["", ".", " — of old."])),
    )
    group = draw(st.sampled_from(["easy", "schwer"]))
    return Cloze(draw(st.integers(0, topics - 1)), before, answer, after, tuple(wrong), group)


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    names = draw(titles)
    numbers = st.integers(0, len(names) - 1)
    links = draw(st.lists(st.tuples(numbers, numbers), max_size=12))
    categories = draw(st.lists(st.sampled_from(["", "Science", "Künste"]), min_size=len(names), max_size=len(names)))
    graph = TopicGraph.from_links(names, [a for a, _ in links], [b for _, b in links], categories)
    rows = sorted(draw(st.lists(st.tuples(numbers, texts, st.integers(0, 2)), max_size=12)), key=lambda row: row[0])
    asked = draw(st.lists(clozes(len(names)), max_size=4))
    return Corpus("any", graph, [row[1] for row in rows], [row[0] for row in rows], [row[2] for row in rows], asked)
