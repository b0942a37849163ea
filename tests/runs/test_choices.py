"""What agents preferred, recorded beside a run: it changes nothing, is resumed like the rest, and is what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import View
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.runs import Run
from kgrl.runs.choices import Choice, Noting

Make = Callable[..., Curriculum]


class Drawing:
    """Draws what it looks at, as an agent with a shortlist does, and then one of that."""

    frontier_only = True

    def reset(self, view: View) -> None: ...

    def observe(self, expansion: Expansion) -> None: ...

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        seen = view.rng.permutation(view.candidates)[:3]
        return seen, np.full(len(seen), 1 / len(seen))

    def choose(self, view: View) -> int:
        return int(self.preferences(view)[0][0])


def run_in(folder: Path, curriculum: Curriculum, agent: object) -> Run:
    return Run(folder, curriculum, agent, Exam(curriculum.corpus, size=4), {"corpus": "tiny"})  # type: ignore[arg-type]


def test_every_expansion_after_the_nucleus_has_its_choice(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    result = run_in(tmp_path, make_tiny_curriculum(budget_tokens=1_500), Drawing()).carry_out()
    choices = Choice.read(tmp_path)
    assert [c.index for c in choices] == [e.index for e in result.expansions[1:]]
    assert [c.topic for c in choices] == [e.topic for e in result.expansions[1:]]
    assert all(c.topic in c.topics for c in choices)  # it looked at the same when it chose


def test_asking_changes_nothing(make_tiny_curriculum: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = run_in(tmp_path / "asked", make_tiny_curriculum(budget_tokens=1_500), Drawing()).carry_out()
    monkeypatch.setattr("kgrl.runs.run.noting", lambda agent: agent)
    silent = run_in(tmp_path / "silent", make_tiny_curriculum(budget_tokens=1_500), Drawing()).carry_out()
    assert asked.expansions == silent.expansions and asked.curve == silent.curve
    assert (tmp_path / "silent" / "choices.jsonl").read_text() == ""


@pytest.mark.parametrize("name", ["closure", "pagerank", "greedy-loss", "markov", "curiosity", "random"])
def test_agents_that_ship_choose_the_same_when_asked(
    make_tiny_curriculum: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = run_in(tmp_path / "asked", make_tiny_curriculum(budget_tokens=1_500), make_agent(name)).carry_out()
    monkeypatch.setattr("kgrl.runs.run.noting", lambda agent: agent)
    silent = run_in(tmp_path / "silent", make_tiny_curriculum(budget_tokens=1_500), make_agent(name)).carry_out()
    assert asked.expansions == silent.expansions
    assert bool(Choice.read(tmp_path / "asked")) == hasattr(make_agent(name), "preferences")


def test_a_resumed_run_has_the_choices_of_an_undisturbed_one(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    run_in(tmp_path / "whole", make_tiny_curriculum(budget_tokens=1_500), Drawing()).carry_out()

    def stop(expansion: Expansion, loss: float | None) -> None:
        if expansion.index == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run_in(tmp_path / "cut", make_tiny_curriculum(budget_tokens=1_500), Drawing()).carry_out(stop)
    with (tmp_path / "cut" / "choices.jsonl").open("a") as file:
        file.write(json.dumps({"index": 3, "topic": 0, "topics": [0], "chances": [1.0]}) + '\n{"index": 4, "to')
    run_in(tmp_path / "cut", make_tiny_curriculum(budget_tokens=1_500), Drawing()).carry_out()
    assert Choice.read(tmp_path / "cut") == Choice.read(tmp_path / "whole")


def test_the_best_are_kept_in_order() -> None:
    topics = np.arange(100, dtype=np.int32)
    choice = Choice.of(1, 3, topics, np.linspace(0.0, 1.0, 100))
    assert choice.topics == tuple(range(99, 35, -1))
    assert Choice.from_json(choice.to_json()) == choice


def test_a_run_from_before_choices_were_recorded_has_none(tmp_path: Path) -> None:
    assert Choice.read(tmp_path) == []


def test_a_noting_agent_is_the_agent(make_tiny_curriculum: Make) -> None:
    assert Noting(Drawing()).frontier_only
    assert not Noting(type("Global", (Drawing,), {"frontier_only": False})()).frontier_only
