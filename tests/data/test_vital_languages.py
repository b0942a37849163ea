"""The French and Spanish vital articles, from the package's file to a curriculum.

The package's file is cut to one category; nothing else is left out. No links ship for such a file, so they are found.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.cli import main
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data import load_corpus
from kgrl.data.wikimedia.vital import find_leads

pytestmark = pytest.mark.integration

# Of each language: the category of mathematics, and two articles of which the first names the second.
LANGUAGES = {
    "vital-fr": ("Mathématiques", "Théorème de Pythagore", "Géométrie euclidienne"),
    "vital-es": ("Matemáticas", "Teorema de Pitágoras", "Geometría euclidiana"),
}


@pytest.fixture(params=LANGUAGES)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a language's corpus, which is then loaded from its leads of mathematics."""
    corpus = str(request.param)
    whole = json.loads(find_leads(corpus.removeprefix("vital-")).read_text(encoding="utf-8"))
    kept = {key: row for key, row in whole.items() if row["topic"] == LANGUAGES[corpus][0]}
    path = tmp_path / "leads.json"
    path.write_text(json.dumps(kept))
    monkeypatch.setattr("kgrl.data.wikimedia.vital.find_leads", lambda language: path)
    return corpus


def test_a_curriculum_grows_in_the_language(name: str) -> None:
    corpus = load_corpus(name)
    _, article, named = LANGUAGES[name]
    linked = {corpus.graph.titles[topic] for topic in corpus.graph.neighbours(corpus.graph.index(article))}
    assert named in linked
    config = CurriculumConfig(budget_tokens=1_500, expansion_tokens=300, probe_topics=8, nucleus_size=4)
    curriculum = Curriculum.make(corpus, "scratch", "mean-prediction-gain", config)
    expansions = list(curriculum.run(make_agent("closure")))
    assert sum(expansion.tokens for expansion in expansions) == 1_500
    assert expansions[-1].train_loss < expansions[0].train_loss
    assert all(np.isfinite(expansion.reward) for expansion in expansions[1:] if expansion.reward is not None)


def test_graph_prints_the_language(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--corpus", name, "--goal", LANGUAGES[name][0]]) == 0
    printed = capsys.readouterr().out
    assert f"Topic graph of {name}" in printed
    assert LANGUAGES[name][0] in printed, "accents survive"
