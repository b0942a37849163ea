"""Concepts mined from text: terms by the rule, passages at the concepts that they are about, links, and the choice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import chi2_contingency

from kgrl.cli import main
from kgrl.data import build_folder, load_corpus
from kgrl.data.building.concepts import LEAST_PASSAGES, _likelihood_ratio, _settled
from kgrl.data.building.terms import mined_terms
from kgrl.errors import KgrlError

ANIMALS = (
    "gray whale",
    "snow leopard",
    "barn owl",
    "Komodo dragon",
    "sea otter",
    "red panda",
    "honey badger",
    "fruit bat",
)
PLACES = ("Lake Tarn", "Port Vell", "Mount Orrin", "Cape Sallow", "Isle of Brume")
FILLER = ("old", "large", "quiet", "known", "common", "slow", "young", "strong", "loud", "early")


def texts() -> list[str]:
    """Untitled documents about an animal and the place where it lives."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(160):
        animal, place = ANIMALS[number % 8], PLACES[number % 5]
        said = []
        for sentence in range(10):
            a, b = rng.choice(FILLER, 2, replace=False)
            w, x, y, z = (f"v{word}" for word in rng.integers(0, 4_000, 4))
            who = f"the {animal}{f' of {place}' if sentence == 2 else ''}" if sentence < 6 else f"people in {place}"
            said.append(
                f"{a.title()} and {b}, {who} {x} more than any {y} that they {z} before there were {w} in years."
            )
        made.append(" ".join(said))
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "shard.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()))
    return path


def test_what_texts_are_about_becomes_topics_with_their_passages(source: Path, tmp_path: Path) -> None:
    built = build_folder(source, tmp_path / "corpus", topics="concepts")
    corpus = load_corpus(tmp_path / "corpus")
    titles = set(corpus.graph.titles)
    assert set(ANIMALS) <= titles and {"gray", "whale", "Komodo", "Tarn", "the"}.isdisjoint(titles)
    topics = built.decisions["topics"]
    assert topics["kind"] == "concepts" and topics["why"] == "it was asked for"
    for passage, topic in zip(corpus.texts, corpus.topics.tolist(), strict=True):
        assert corpus.graph.titles[topic].casefold() in passage.casefold()
    # Every passage is there, was a near-duplicate, or was left out, and says so.
    there = sum(built.decisions["passages"].values())
    assert there + topics["passages_left_out"] == topics["passages"]


def test_concepts_that_are_named_together_are_linked(source: Path, tmp_path: Path) -> None:
    built = build_folder(source, tmp_path / "corpus", topics="concepts")
    graph = load_corpus(tmp_path / "corpus").graph
    linked = {graph.titles[n] for n in graph.neighbours(graph.index("gray whale")).tolist()}
    assert "Lake Tarn" in linked and graph.components.max() == 0
    assert built.decisions["links"]["together"] + built.decisions["links"]["mentions"] > 0
    assert yaml.safe_load((tmp_path / "corpus" / "build.yaml").read_text()) == built.decisions


def test_the_same_text_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        build_folder(source, tmp_path / out, topics="concepts")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_documents_without_titles_are_mined_only_if_there_are_concepts(source: Path, tmp_path: Path) -> None:
    few = build_folder(source, tmp_path / "few")  # thirteen names are no graph to learn by
    assert few.decisions["topics"]["kind"] == "documents"
    assert "160 of the documents have no title, and only" in few.decisions["topics"]["why"]
    asked = build_folder(source, tmp_path / "documents", topics="documents")
    assert asked.decisions["topics"]["count"] == 160
    rng = np.random.default_rng(1)
    names = [f"{a}{b}" for a in ("Bra", "Clo", "Dre", "Fli", "Gru", "Pla") for b in ("non", "vik", "dus", "mar", "tel")]
    lines = []
    for n in range(300):
        said = [
            f"There {names[n % 30]} has v{w} by the {names[(n * 7 + w) % 30]} of v{w * 3}."
            for w in rng.integers(0, 999, 9)
        ]
        lines.append(json.dumps({"text": " ".join(said)}) + "\n")
    (tmp_path / "many.jsonl").write_text("".join(lines))
    many = build_folder(tmp_path / "many.jsonl", tmp_path / "many")
    assert many.decisions["topics"]["kind"] == "concepts"
    assert "300 of the documents have no title" in many.decisions["topics"]["why"]
    titled = [json.dumps({**json.loads(line), "title": f"Entry {n}"}) + "\n" for n, line in enumerate(lines)]
    (tmp_path / "titled.jsonl").write_text("".join(titled))
    assert build_folder(tmp_path / "titled.jsonl", tmp_path / "titled").decisions["topics"]["kind"] == "documents"


def test_text_without_terms_is_refused_with_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_text("".join(json.dumps({"text": f"It was so {n}. And then it is {n}."}) + "\n" for n in range(30)))
    with pytest.raises(KgrlError, match=r"only 0 concepts of 5 passages or more.*--topics documents"):
        build_folder(path, tmp_path / "corpus", topics="concepts")
    assert main(["data", "build", str(path), "--out", str(tmp_path / "c"), "--topics", "concepts"]) == 2
    assert "--topics documents" in capsys.readouterr().err


def test_terms_are_whole_names_and_bursts() -> None:
    """A part of a longer term, a function word, and what is spread evenly over all texts are no terms."""
    rng = np.random.default_rng(2)
    documents = []
    for number in range(60):
        who = ("Ada Quill" if number % 2 else "Bo Marsh") if number < 30 else "nobody"
        documents.append(
            " ".join(
                f"We saw that {who} was w{a} there, with some water w{b}." for a, b in rng.integers(0, 500, (6, 2))
            )
        )
    terms = mined_terms(documents, 50)
    assert set(terms.names[:2]) == {"Ada Quill", "Bo Marsh"}
    assert {"Ada", "Quill", "Marsh", "water", "that"}.isdisjoint(terms.names)
    assert (np.diff(terms.scores) <= 0).all() and terms.words > 60 * 6 * 10


def test_a_term_is_written_as_the_texts_write_it_most_often() -> None:
    said = [
        f"Sea otters b{n}. That sea otter c{n}. The sea-otter d{n} it, and of them sea otters e{n}." for n in range(6)
    ]
    names = mined_terms([*said, *[f"Nobody f{n} was there at all." for n in range(30)]], 9).names
    assert "sea otters" in names and not {"Sea otters", "sea otter", "sea-otter"} & set(names)


@given(arrays.arrays(np.int32, st.tuples(st.integers(1, 60), st.just(4)), elements=st.integers(-1, 6)))
def test_no_concept_has_too_few_passages(ranked: np.ndarray) -> None:
    settled = _settled(ranked, 7)
    used, counts = np.unique(settled[settled >= 0], return_counts=True)
    assert (counts >= LEAST_PASSAGES).all()
    for row, term in zip(ranked, settled.tolist(), strict=True):
        left = [choice for choice in row.tolist() if choice in used]
        assert term == (left[0] if left else -1)


def test_the_likelihood_ratio_is_that_of_the_table() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c, d = (int(n) for n in rng.integers(1, 90, 4))
        n = a + b + c + d
        expected = chi2_contingency([[a, b], [c, d]], correction=False, lambda_="log-likelihood").statistic
        found = _likelihood_ratio(*(np.array([x]) for x in (a, a + b, a + c)), n)[0]
        assert found == pytest.approx(expected if a * n > (a + b) * (a + c) else 0)
