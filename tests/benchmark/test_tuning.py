"""Tuning: budgets are equal, the defaults take part, the best is written down, and agents are made with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tuning_search
import tuning_spaces
import yaml
from numpy.typing import NDArray
from tuning_search import Search, Trial, write_tuned
from tuning_spaces import SPACES, Range

from kgrl.agents import BaseAgent, agents, make, make_agent
from kgrl.agents.baselines.frontier import Closure
from kgrl.benchmark import runner
from kgrl.benchmark.folder import described
from kgrl.benchmark.places import Place
from kgrl.benchmark.runner import Cell, read_rows
from kgrl.benchmark.tasks import Task
from kgrl.corpus import Corpus
from kgrl.curriculum import CurriculumConfig, Researcher
from kgrl.curriculum.view import View
from kgrl.errors import DataError, KgrlError, SettingError, UnknownNameError
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.system.executors import SerialExecutor
from kgrl.system.files import write_json

PLACES: tuple[tuning_spaces.Place, ...] = (("coverage", "tiny", None), ("noisy", "tiny", 100))
SEARCH = Search(("closure",), trials=3, places=PLACES)


class Skewed(BaseAgent):
    """An agent that picks the first candidates, and crashes where its option is 3."""

    def __init__(self, number: int = 1) -> None:
        self.number = number

    def choose(self, view: View) -> int:
        """Return a candidate, or raise an error that kgrl does not know."""
        if self.number == 3:
            raise ZeroDivisionError("one over nothing")
        return int(view.candidates[-1])


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The agent `skewed`, with a space of three members."""
    agents.register("skewed")(Skewed)
    monkeypatch.setitem(SPACES, "skewed", {"number": (1, 2, 3)})
    yield
    del agents._factories["skewed"]


@pytest.fixture(autouse=True)
def without_trials() -> Iterator[None]:
    """Trials are agents by name in the process that carried them out; forget them."""
    before = set(agents._factories)
    yield
    for name in set(agents._factories) - before:
        del agents._factories[name]


@pytest.fixture
def tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of tuned options, empty."""
    monkeypatch.setattr(make, "TUNED", tmp_path / "tuned")
    (tmp_path / "tuned").mkdir()
    return tmp_path / "tuned"


@pytest.fixture
def tiny_task(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task is a small one, without an encoder, and two seeds of random do."""
    monkeypatch.setattr(tuning_search, "_RANDOM_SEEDS", 2)
    config = CurriculumConfig(budget_tokens=200, expansion_tokens=100, neighbourhood=2, nucleus_size=2, probe_topics=4)
    everything = np.arange(len(tiny_corpus.graph), dtype=np.int32)
    task = Task("any", "Anything.", tiny_corpus, config, "mean-prediction-gain", everything, everything < 0)
    ids = indexed_passages(tiny_corpus)
    embedded = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]]), fake_embeddings
    place = Place(task, embedded, Researcher(tiny_corpus, *embedded, config.neighbourhood).tables, task.make_exam())
    monkeypatch.setattr(runner, "make_place", lambda *names: place)
    monkeypatch.setattr(tuning_search, "check_folder", lambda out, cells: None)  # it reads the encoder's weights


def write_options(into: Path, **options: Any) -> None:
    (into / "closure.yaml").write_text(yaml.safe_dump({"options": options}), encoding="utf-8")


def test_agents_are_made_with_their_tuned_options(tuned: Path) -> None:
    write_options(tuned, c=2.5)
    agent, plain = make_agent("closure"), agents.make("closure")
    assert isinstance(agent, Closure)
    assert isinstance(plain, Closure)
    assert (agent.c, plain.c) == (2.5, Closure().c)
    assert make_agent(plain) is plain


@pytest.mark.parametrize("options", [{"d": 1.0}, {"c": -1.0}])
def test_options_that_an_agent_does_not_take_name_the_file(tuned: Path, options: dict[str, float]) -> None:
    write_options(tuned, **options)
    with pytest.raises(DataError, match=r"closure\.yaml: the agent 'closure' takes no such options"):
        make_agent("closure")


@pytest.mark.parametrize("text", ["options: [1, 2]", "score: 1", "{", "- 1"])
def test_a_file_without_a_table_of_options_is_refused(tuned: Path, text: str) -> None:
    (tuned / "closure.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"closure\.yaml.*(options|not YAML|expected an object)"):
        make_agent("closure")


def test_a_file_is_no_agent(tuned: Path) -> None:
    (tuned / "clozure.yaml").write_text("options: {c: 1}", encoding="utf-8")
    with pytest.raises(UnknownNameError, match="closure"):
        make_agent("clozure")


@pytest.mark.parametrize("path", sorted(make.TUNED.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_ships_is_of_an_agent_and_can_be_made(path: Path) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["score"] >= found["score_of_defaults"]
    assert found["options"].keys() == SPACES[path.stem].keys()
    make_agent(path.stem)


@pytest.mark.parametrize("agent", SPACES)
def test_every_trial_can_be_made_and_the_first_is_the_defaults(agent: str) -> None:
    trials = Search((agent,)).trials_of(agent)
    assert len(trials) == len(set(trials)) <= 12
    default = agents.make(agent)
    for trial in trials:
        made = agents.make(agent, **dict(trial.options))
        assert (described(made) == described(default)) == (trial is trials[0])


def test_trials_are_as_many_for_all_and_the_same_again() -> None:
    ranged = [agent for agent in SPACES if any(isinstance(values, Range) for values in SPACES[agent].values())]
    assert {len(Search().trials_of(agent)) for agent in ranged} == {12}
    assert Search().trials_of("closure") == Search(trials=12).trials_of("closure")
    assert Search(trials=4).trials_of("closure") == Search().trials_of("closure")[:4]
    assert Search(seed=1).trials_of("closure")[1:] != Search().trials_of("closure")[1:]


def test_a_small_space_is_tried_in_whole(skewed: None) -> None:
    assert {trial.options for trial in Search(("skewed",)).trials_of("skewed")} == {
        (("number", number),) for number in (1, 2, 3)
    }


def test_draws_stay_in_their_range() -> None:
    rng = np.random.default_rng(0)
    drawn = [Range(0.01, 100.0).draw(rng) for _ in range(500)]
    assert 0.01 <= min(drawn) < 0.02
    assert 50 < max(drawn) <= 100
    assert np.mean(np.log(drawn)) == pytest.approx(0.0, abs=0.5)
    assert np.mean([Range(0.0, 1.0, "linear").draw(rng) for _ in range(500)]) == pytest.approx(0.5, abs=0.05)


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="agent with options to tune 'oracle'"):
        Search(("oracle",))
    with pytest.raises(SettingError, match="at least 1"):
        Search(trials=0)


def test_an_option_that_is_no_argument_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES, "closure", {"cc": (1.0,)})
    with pytest.raises(UnknownNameError, match=r"option of the agent 'closure' 'cc'.*'c'"):
        SEARCH.trials_of("closure")


def test_a_search_goes_on_where_it_was_stopped(tiny_task: None, tmp_path: Path) -> None:
    search = replace(SEARCH, places=PLACES[:1])
    first = next(search.run(tmp_path, SerialExecutor()))
    path = tmp_path / f"{search.cells()[0].name}.json"
    written = path.stat().st_mtime_ns
    rows = list(search.run(tmp_path, SerialExecutor()))
    assert rows[0]["seconds"] == first["seconds"]
    assert path.stat().st_mtime_ns == written
    assert len(rows) == len(search.cells()) == 2 + 3
    (found,) = search.results(tmp_path)
    assert [outcome.error for outcome in found.outcomes] == [None] * 3
    assert found.outcomes[0].options == {"c": Closure().c}
    assert found.best.score == max(outcome.score or 0 for outcome in found.outcomes)


def test_a_trial_that_crashes_is_recorded_and_the_others_go_on(skewed: None, tiny_task: None, tmp_path: Path) -> None:
    search = Search(("skewed",), places=PLACES[:1])
    list(search.run(tmp_path, SerialExecutor()))
    (found,) = search.results(tmp_path)
    failed = {outcome.options["number"]: outcome.error for outcome in found.outcomes}
    assert "ZeroDivisionError: one over nothing" in (failed[3] or "")
    assert failed[1] is failed[2] is None
    assert found.best is found.outcomes[0]  # 1 and 2 do the same, and 1 is the default


def row(agent: str, place: tuning_spaces.Place, seed: int, aulc: float) -> tuple[Cell, dict[str, Any]]:
    cell = Cell(*place[:2], tuning_search.LEARNER, agent, seed)
    named = {"task": cell.task, "corpus": cell.corpus, "learner": cell.learner, "agent": agent, "seed": seed}
    figures = {"aulc": aulc, "budget": 100, "tokens": 100, "probe_tokens": 0, "expansions": 1, "noise_share": None}
    return cell, {**named, **figures, "status": "finished", "curve": [[0, 6.0], [100, 4.0]], "seconds": {}}


def made_up(out: Path, scores: Sequence[float]) -> list[Trial]:
    """Cells in which the trials of `SEARCH` are so many standard deviations of random better than random."""
    trials = SEARCH.trials_of("closure")
    for place, unit in zip(PLACES, (1.0, 0.01), strict=True):
        random = [5.0 + unit * seed for seed in range(5)]
        rows = [row("random", place, seed, aulc) for seed, aulc in enumerate(random)]
        spread = float(np.std(random, ddof=1))
        rows += [
            row(trial.name, place, 0, random[0] - score * spread) for trial, score in zip(trials, scores, strict=True)
        ]
        for cell, written in rows:
            write_json(out / f"{cell.name}.json", written)
    return trials


def test_scores_have_no_unit_and_the_best_is_written(tmp_path: Path) -> None:
    trials = made_up(tmp_path / "out", [1.0, 3.0, 2.0])
    (found,) = SEARCH.results(tmp_path / "out")
    assert [outcome.score for outcome in found.outcomes] == pytest.approx([1.0, 3.0, 2.0])
    assert found.best.places == pytest.approx({"coverage/tiny": 3.0, "noisy/tiny": 3.0})
    written = yaml.safe_load(write_tuned(found, SEARCH, "python tune", tmp_path).read_text(encoding="utf-8"))
    assert written["options"] == dict(trials[1].options)
    assert (written["score"], written["score_of_defaults"]) == pytest.approx((3.0, 1.0))
    assert (written["trials"], written["cells"], written["command"]) == (3, 6, "python tune")
    assert written["places"] == ["coverage/tiny", "noisy/tiny"]


def test_of_equal_trials_the_defaults_are_best(tmp_path: Path) -> None:
    made_up(tmp_path, [-1.0, -1.0, -2.0])
    (found,) = SEARCH.results(tmp_path)
    assert found.best.score == pytest.approx(-1.0)


def test_nothing_is_written_where_all_trials_failed(tmp_path: Path) -> None:
    trials = made_up(tmp_path, [1.0, 1.0, 1.0])
    for trial in trials:
        cell = Cell("noisy", "tiny", tuning_search.LEARNER, trial.name, 0)
        (tmp_path / f"{cell.name}.json").unlink()
    assert len(read_rows(tmp_path)) == 13
    (found,) = SEARCH.results(tmp_path)
    with pytest.raises(KgrlError, match=r"all trials of 'closure' failed.*was not carried out"):
        write_tuned(found, SEARCH, "python tune", tmp_path)
    assert not (tmp_path / "closure.yaml").exists()
