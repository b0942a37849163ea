"""Runs on disk: records, results, resuming, and what is left after a failure."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.view import View
from kgrl.errors import DataError, DivergedError
from kgrl.exam import Exam
from kgrl.expansion import Expansion, ExpansionList
from kgrl.learners import LoraLearner
from kgrl.learners.plugins import Isolation
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.runs import Run, RunResult

Make = Callable[..., Curriculum]


class Drawn:
    """Draws from the candidates, so that the random state matters."""

    frontier_only = True

    def reset(self, view: View) -> None:
        self.observed = 0

    def choose(self, view: View) -> int:
        return int(view.rng.choice(view.candidates))

    def observe(self, expansion: Expansion) -> None:
        self.observed += 1


def run_in(folder: Path, curriculum: Curriculum, **options: object) -> Run:
    exam = Exam(curriculum.corpus, curriculum.goal, size=10)
    return Run(folder, curriculum, Drawn(), exam, {"corpus": "tiny", "seed": 0}, **options)  # type: ignore[arg-type]


def test_a_run_leaves_the_files_that_the_design_names(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    run = run_in(tmp_path, make_tiny_curriculum(budget_tokens=900))
    result = run.carry_out()
    assert repr(run).startswith(f"Run('{tmp_path}', Curriculum('tiny', FakeLearner, ")
    assert repr(result).startswith(f"RunResult({len(result.expansions)} expansions, 900 tokens, exam loss ")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {"corpus": "tiny", "seed": 0}
    lines = (tmp_path / "curriculum.jsonl").read_text().splitlines()
    assert [Expansion.from_json(line) for line in lines] == list(result.expansions)
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert metrics[0]["index"] == -1
    assert metrics[-1]["tokens"] == 900
    assert list(tmp_path.glob("events.out.tfevents.*"))
    read = Run.read_expansions(tmp_path)
    assert (
        isinstance(read, ExpansionList) and isinstance(result.expansions, ExpansionList) and read == result.expansions
    )
    assert json.loads((tmp_path / "result.json").read_text())["exam_loss_after"] == result.curve[-1][1]
    assert not list(tmp_path.rglob("*.pkl")) + list(tmp_path.rglob("*.pt"))


def test_the_curve_starts_untrained_and_ends_with_the_budget(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=900)
    untrained = Exam(curriculum.corpus, size=10).losses(curriculum.learner).mean()
    summary = run_in(tmp_path, curriculum).carry_out().summary()
    assert summary["curve"][0] == [0, untrained]
    assert summary["curve"][-1][0] == summary["tokens"] == 900
    assert summary["exam_loss_after"] < summary["aulc"] < summary["exam_loss_before"]


def test_one_learner_can_serve_runs_in_turn(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=900)
    first = run_in(tmp_path / "a", curriculum).carry_out()
    second = run_in(tmp_path / "b", curriculum).carry_out()
    assert first.curve == second.curve
    assert first.expansions == second.expansions


class StopError(Exception):
    """Stands for whatever ends a process."""


def interrupted(folder: Path, curriculum: Curriculum, after: int) -> None:
    def stop(expansion: Expansion, loss: float | None) -> None:
        if expansion.index == after:
            raise StopError

    with pytest.raises(StopError):
        run_in(folder, curriculum).carry_out(stop)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_resumed_run_equals_an_undisturbed_one(make_tiny_curriculum: Make, tmp_path: Path, after: int) -> None:
    whole = run_in(tmp_path / "whole", make_tiny_curriculum("self-prediction-gain", budget_tokens=900)).carry_out()
    interrupted(tmp_path / "cut", make_tiny_curriculum("self-prediction-gain", budget_tokens=900), after)
    # What was written after the checkpoint, half a line included, is dropped.
    with (tmp_path / "cut" / "curriculum.jsonl").open("a") as file:
        file.write('{"index": 99')
    resumed = run_in(tmp_path / "cut", make_tiny_curriculum("self-prediction-gain", budget_tokens=900)).carry_out()
    assert resumed.expansions == whole.expansions
    assert resumed.curve == whole.curve


def test_a_finished_run_is_not_run_again(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    finished = run_in(tmp_path, make_tiny_curriculum(budget_tokens=900)).carry_out()
    seen: list[Expansion] = []
    again = run_in(tmp_path, make_tiny_curriculum(budget_tokens=900)).carry_out(lambda e, _: seen.append(e))
    assert (seen, again.expansions, again.curve) == ([], finished.expansions, finished.curve)


def test_divergence_keeps_what_was_done_and_says_where(
    make_tiny_curriculum: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curriculum = make_tiny_curriculum("self-prediction-gain", budget_tokens=2_000)
    learn, calls = curriculum.learner.learn, []

    def breaking(passages: object, token_budget: int) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise DivergedError("the training loss is nan")
        return learn(passages, token_budget)  # type: ignore[arg-type]

    monkeypatch.setattr(curriculum.learner, "learn", breaking)
    with pytest.raises(DivergedError, match=r"expansion 3 .*the training loss is nan; what was done until then is in"):
        run_in(tmp_path, curriculum).carry_out()
    assert len((tmp_path / "curriculum.jsonl").read_text().splitlines()) == 3


def test_an_exam_that_is_not_finite_stops_the_run(
    make_tiny_curriculum: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curriculum = make_tiny_curriculum("token-cost")
    broken = lambda passages: np.full(len(passages), np.inf, dtype=np.float32)  # noqa: E731
    monkeypatch.setattr(curriculum.learner, "losses", broken)
    with pytest.raises(DivergedError, match=r"exam loss of .* is not finite"):
        run_in(tmp_path, curriculum).carry_out()


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.yaml: no such file"):
        Run.read_config(tmp_path)


def test_exam_topics_do_not_depend_on_anything_but_the_corpus(make_tiny_curriculum: Make) -> None:
    corpus = make_tiny_curriculum().corpus
    assert Exam(corpus, size=7).topics.tolist() == Exam(corpus, size=7).topics.tolist()
    goal = corpus.graph.in_category("Nature")
    assert set(Exam(corpus, goal).topics.tolist()) == set(goal.tolist())


def test_summary_adds_up_phases() -> None:
    step = Expansion(0, 1, "A", (1,), (2,), 10, 10, 20, 3.0, seconds={"learn": 1.0, "probe": 0.5})
    result = RunResult((step, step), ((0, 4.0), (10, 3.0)), 9.0, 2.0, 20)
    assert result.summary()["seconds_by_phase"] == {"research": 0.0, "learn": 2.0, "probe": 1.0, "exam": 2.0}


def test_every_exam_says_what_is_kept_of_topics_learned_before(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    """By hand from the lines of the file: the fake learner forgets nothing, and learns a little from everything."""
    run = run_in(tmp_path, make_tiny_curriculum(budget_tokens=3_000), exam_every=3)
    result = run.carry_out()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    exams = [line for line in lines if "exam_losses" in line]
    assert "acc" not in exams[0] and len(exams[0]["exam_losses"]) == len(run.exam.topics)
    step = {topic: e.index for e in result.expansions for topic in e.neighbourhood}
    last, changes = exams[-1], []
    for column, topic in enumerate(run.exam.topics.tolist()):
        if topic in step:
            first = next(line for line in exams if line["index"] >= step[topic])
            if first is not last:
                changes.append(first["exam_losses"][column] - last["exam_losses"][column])
    assert last["bwt"] == pytest.approx(np.mean(changes)) and last["bwt"] > 0
    assert last["fwt"] > 0
    titles = {run.curriculum.corpus.graph.titles[t] for t in step} & set(last["forgetting"])
    assert titles == set(last["forgetting"]) and max(last["forgetting"].values()) == 0


@pytest.fixture
def lora_curriculum(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], base_folder: Path) -> Curriculum:
    ids = indexed_passages(tiny_corpus)
    retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
    config = CurriculumConfig(budget_tokens=1_500, expansion_tokens=300, neighbourhood=2, nucleus_size=1)
    learner = LoraLearner(tiny_corpus, model=str(base_folder))
    return Curriculum(tiny_corpus, learner, retriever, fake_embeddings, config=config)


def test_the_adapter_of_a_run_comes_with_a_card(lora_curriculum: Curriculum, tmp_path: Path) -> None:
    result = run_in(tmp_path, lora_curriculum).carry_out()
    adapter = tmp_path / "adapters" / "curriculum"
    assert {"adapter_config.json", "adapter_model.safetensors", "kgrl.json", "README.md"} <= {
        path.name for path in adapter.iterdir()
    }
    facts = json.loads((adapter / "kgrl.json").read_text())
    assert facts["base_model"].startswith("tiny-llama@") and facts["tokens"] == 1_500
    assert facts["losses"]["exam"] == result.curve[-1][1]
    changed = [json.loads(line).get("changed") for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert changed[1] is not None and 0 < changed[1] <= 1


def test_isolated_neighbourhoods_are_adapters_of_their_own(
    lora_curriculum: Curriculum, base_folder: Path, tmp_path: Path
) -> None:
    isolated = LoraLearner(
        lora_curriculum.corpus, model=str(base_folder), plugins=[Isolation(lora_curriculum.state.embeddings)]
    )
    curriculum = Curriculum(
        lora_curriculum.corpus,
        isolated,
        lora_curriculum.state.research.retriever,
        lora_curriculum.state.embeddings,
        config=lora_curriculum.config,
    )
    result = run_in(tmp_path, curriculum).carry_out()
    names = [f"neighbourhood-{e.index}" for e in result.expansions]
    assert [e.adapter for e in result.expansions] == names
    assert sorted(path.name for path in (tmp_path / "adapters").iterdir()) == sorted(names)
    facts = json.loads((tmp_path / "adapters" / names[1] / "kgrl.json").read_text())
    assert facts["tokens"] == result.expansions[1].tokens
    assert result.expansions[1].title in facts["titles"]


def test_a_full_disk_leaves_the_last_good_checkpoint(lora_curriculum: Curriculum, tmp_path: Path) -> None:
    """No file may grow beyond a few kilobytes from the second expansion on, as if the disk had that much left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(expansion: Expansion, loss: float | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000 if expansion.index == 1 else limits[0], limits[1]))

    try:
        with pytest.raises(OSError, match=r"cannot write .*safetensors"):
            run_in(tmp_path, lora_curriculum).carry_out(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "checkpoint").glob("step-*")] == ["step-000001"]
    resumed = run_in(tmp_path, lora_curriculum).carry_out()
    assert resumed.expansions[-1].tokens_total == 1_500
