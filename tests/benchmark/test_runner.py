"""The benchmark of agents: each cell is carried out once, failures stay with their cell, pairs are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmark_archive import read_archive, write_archive
from numpy.typing import NDArray

from kgrl.agents import BaseAgent, agents
from kgrl.agents.baselines.frontier import Closure
from kgrl.benchmark import folder, runner
from kgrl.benchmark.comparison import compare, missing
from kgrl.benchmark.folder import check_folder
from kgrl.benchmark.places import Place, task_of
from kgrl.benchmark.runner import Cell, failures, read_rows, run_cells
from kgrl.benchmark.tasks import Task
from kgrl.cli.bench import BenchCommand, _show_ranking
from kgrl.corpus import Corpus
from kgrl.curriculum import CurriculumConfig, Researcher
from kgrl.curriculum.view import View
from kgrl.errors import DataError, KgrlError, SettingError, UnknownNameError
from kgrl.probes import Question, Recall
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.system.executors import SerialExecutor
from tests.support.fake_learner import FakeLearner


class Crashing(BaseAgent):
    """An agent with a bug."""

    def choose(self, view: View) -> int:
        """Raise an error that kgrl does not know."""
        raise ZeroDivisionError("one over nothing")


@pytest.fixture(autouse=True)
def tiny_task(
    tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every task is a small one, without an encoder."""
    config = CurriculumConfig(budget_tokens=400, expansion_tokens=100, neighbourhood=2, nucleus_size=2, probe_topics=4)
    everything = np.arange(len(tiny_corpus.graph), dtype=np.int32)
    planted = everything % 5 == 0
    task = Task("noisy", "Anything.", tiny_corpus, config, "mean-prediction-gain", everything, planted)
    ids = indexed_passages(tiny_corpus)
    embedded = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]]), fake_embeddings
    tables = Researcher(tiny_corpus, *embedded, config.neighbourhood).tables
    place = Place(task, embedded, tables, task.make_exam())
    monkeypatch.setattr(runner, "make_place", lambda *names: place)
    monkeypatch.setattr(folder, "task_of", lambda name, corpus, budget: task_with(task, budget))
    agents.register("crashing")(Crashing)
    yield
    del agents._factories["crashing"]


def task_with(task: Task, budget: int | None) -> Task:
    return replace(task, config=replace(task.config, budget_tokens=budget or task.config.budget_tokens))


def cells(*named: str, seeds: int = 2) -> list[Cell]:
    return [Cell("noisy", "tiny", "scratch", agent, seed) for seed in range(seeds) for agent in named]


def run(named: list[Cell], out: Path) -> list[dict[str, Any]]:
    return list(run_cells(named, out, SerialExecutor()))


def test_what_is_finished_is_not_carried_out_again(tmp_path: Path) -> None:
    run(cells("random", seeds=1), tmp_path)
    path = tmp_path / "noisy/tiny/scratch/random/0.json"
    first = path.stat().st_mtime_ns
    assert len(run(cells("random", "bfs"), tmp_path)) == 4
    assert path.stat().st_mtime_ns == first
    assert len(read_rows(tmp_path)) == 4


def test_a_row_has_the_curve_and_the_curriculum_is_beside_it(tmp_path: Path) -> None:
    run(cells("random", seeds=1), tmp_path)
    (row,) = read_rows(tmp_path)
    steps = pq.read_table(tmp_path / "noisy/tiny/scratch/random/0.parquet").to_pylist()
    assert row["curve"][0][0] == 0
    assert row["curve"][-1][0] == row["tokens"] == sum(step["tokens"] for step in steps)
    assert len(steps) == row["expansions"]
    assert steps[1]["title"]
    assert 0 <= row["noise_share"] <= 1
    parts = [row["seconds"][phase] for phase in ("research", "learn", "probe", "exam", "make", "choose")]
    assert min(parts) >= 0
    assert sum(parts) <= row["seconds"]["all"]
    assert 0 < row["overhead"] < 1


def test_an_agent_that_crashes_fails_its_own_cells_alone(tmp_path: Path) -> None:
    run(cells("crashing", "random"), tmp_path)
    rows = read_rows(tmp_path)
    assert failures(rows) == [
        f"noisy/tiny/scratch/crashing/{seed}: ZeroDivisionError: one over nothing" for seed in range(2)
    ]
    assert {row["agent"] for row in compare(rows)} == {"random"}


def changed(out: Path, **about: Any) -> None:
    path = out / "about.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **about}), encoding="utf-8")


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path, cells("random"))
    changed(tmp_path, version="0.0.0")
    with pytest.raises(DataError, match=r"kgrl 0\.0\.0"):
        check_folder(tmp_path, cells("random"))


def test_a_folder_with_another_corpus_learner_or_task_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path, cells("random"))
    about = json.loads((tmp_path / "about.json").read_text(encoding="utf-8"))
    (name,) = about["places"]
    assert name == "noisy/tiny/scratch"
    for what in ("corpus", "learner learning_rate", "expansion_tokens", "encoder"):
        changed(tmp_path, places={name: {**about["places"][name], what: "another"}})
        with pytest.raises(DataError, match=f"{what} 'another' and not"):
            check_folder(tmp_path, cells("random"))
    changed(tmp_path, places=about["places"])
    check_folder(tmp_path, cells("random", "bfs"))


def test_an_order_goes_by_its_file_s_name_and_is_compared_by_its_titles(tmp_path: Path, tiny_corpus: Corpus) -> None:
    one, other, out = tmp_path / "syllabus.txt", tmp_path / "mine" / "syllabus.txt", tmp_path / "out"
    other.parent.mkdir()
    for path in (one, other):
        path.write_text("\n".join(tiny_corpus.graph.titles[5:9]))
    check_folder(out, cells("random", f"order:{one}"))
    run(cells(f"order:{one}", seeds=1), out)
    (row,) = read_rows(out)
    assert row["agent"] == "order:syllabus" and row["status"] == "finished"
    assert (out / "noisy/tiny/scratch/order%3Asyllabus/0.json").exists()
    check_folder(out, cells(f"order:{other}"))  # the same titles
    other.write_text("\n".join(tiny_corpus.graph.titles[5:10]))
    with pytest.raises(DataError, match="results of 'order:syllabus' with digest"):
        check_folder(out, cells(f"order:{other}"))
    with pytest.raises(SettingError, match="both go by the name 'order:syllabus'; rename one"):
        check_folder(tmp_path / "new", cells(f"order:{one}", f"order:{other}"))
    other.write_text("Atlantis")
    with pytest.raises(DataError, match="'Atlantis' is not a topic"):
        check_folder(tmp_path / "new", cells(f"order:{other}"))


def test_a_learner_that_reads_no_text_is_refused_where_facts_are_asked_for(
    tmp_path: Path, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = cells("random", seeds=1)
    asking = replace(folder.task_of(cell.task, cell.corpus, None), facts=2)
    monkeypatch.setattr(folder, "task_of", lambda *names: asking)
    monkeypatch.setattr(folder, "make_float32_learner", lambda name, corpus: FakeLearner(corpus))
    with pytest.raises(SettingError, match="reads no text"):
        check_folder(tmp_path, [replace(cell, learner="fake")])
    assert not (tmp_path / "about.json").exists()


def test_a_row_has_what_is_recalled_by_group(
    tmp_path: Path, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = cells("random", seeds=1)
    asked = [Question(0, "It is so.", ("It is not so.",), group) for group in ("a", "b")]
    place = replace(runner.make_place(*cell.key.values()), recall=Recall(tiny_corpus, asked))
    monkeypatch.setattr(runner, "make_place", lambda *names: place)
    run([cell], tmp_path)
    (row,) = read_rows(tmp_path)
    assert row["recalled"].keys() == {"a", "b"}
    assert all(len(shares) == len(row["curve"]) for shares in row["recalled"].values())


def test_a_cell_ends_once_its_level_is_reached(
    tmp_path: Path, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = cells("random", seeds=1)
    asked = [Question(0, "It is so.", ("It is not so, and never was.",), "1")]
    place = replace(runner.make_place(*cell.key.values()), recall=Recall(tiny_corpus, asked))
    monkeypatch.setattr(runner, "make_place", lambda *names: place)
    for folder_name, level in (("whole", None), ("level", 0.75)):
        answers = iter([False, False, *[True] * 40])
        monkeypatch.setattr(Recall, "answers", lambda *asked, answers=answers: np.array([next(answers)]))
        run([replace(cell, level=level)], tmp_path / folder_name)
    (whole,), (ended,) = read_rows(tmp_path / "whole"), read_rows(tmp_path / "level")
    shares = ended["recalled"]["1"]
    assert shares == [0.0, 0.0, 1.0, 1.0]
    assert ended["curve"] == whole["curve"][: len(ended["curve"])] and len(ended["curve"]) < len(whole["curve"])


def test_results_up_to_another_level_are_refused(tmp_path: Path) -> None:
    check_folder(tmp_path, cells("random"))
    with pytest.raises(DataError, match=r"level None and not 0\.3"):
        check_folder(tmp_path, [replace(cell, level=0.3) for cell in cells("random")])


@pytest.mark.parametrize("budget", [5_000, 2_000_000])
def test_a_budget_lowers_and_raises_that_of_a_task(budget: int) -> None:
    assert task_of("recall", "invented:300", budget).config.budget_tokens == budget


def test_another_budget_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path, cells("random"))
    with pytest.raises(DataError, match="budget_tokens 400 and not 300"):
        check_folder(tmp_path, [replace(cell, budget=300) for cell in cells("random")])


def test_an_agent_of_other_options_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path, cells("closure"))
    monkeypatch.setattr(folder, "make_agent", lambda name: Closure(c=3.0))
    with pytest.raises(DataError, match=r"results of 'closure' with c 10\.0 and not 3\.0"):
        check_folder(tmp_path, cells("closure"))


OWN_AGENT = Path(__file__).parents[2] / "examples" / "my_agent.py"


def test_an_agent_of_a_file_goes_by_file_and_class_and_its_code_counts(tmp_path: Path) -> None:
    code, out = tmp_path / "mine.py", tmp_path / "out"
    code.write_text(OWN_AGENT.read_text(encoding="utf-8"))
    mine = cells(f"{code}:TrainOfThought", seeds=1)
    check_folder(out, mine)
    (row,) = run(mine, out)
    assert row["status"] == "finished" and row["agent"] == "mine.TrainOfThought"
    assert (out / "noisy/tiny/scratch/mine.TrainOfThought/0.json").is_file()
    check_folder(out, mine)
    code.write_text(code.read_text(encoding="utf-8") + "# changed\n")
    with pytest.raises(DataError, match=r"results of 'mine.TrainOfThought' with file '.*' and not '.*'; choose"):
        check_folder(out, mine)


def test_two_agents_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder_of in ("one", "two"):
        (tmp_path / folder_of).mkdir()
        (tmp_path / folder_of / "mine.py").write_text(OWN_AGENT.read_text(encoding="utf-8"))
    named = [f"{tmp_path / folder_of / 'mine.py'}:TrainOfThought" for folder_of in ("one", "two")]
    with pytest.raises(SettingError, match=r"one/mine.py:.* and .*two/mine.py:.* both go by the name 'mine.Train"):
        check_folder(tmp_path, cells(*named))


def test_cells_go_to_another_folder_in_one_file(tmp_path: Path) -> None:
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "cells.parquet"
    check_folder(old, cells("random", "crashing"))
    run(cells("random", "crashing"), old)
    assert write_archive(old, file) == 4
    assert read_archive(file, new) == 4
    assert read_rows(new) == read_rows(old)
    assert read_archive(file, new) == 0
    check_folder(new, cells("random", "crashing"))
    changed(new, version="0.0.0")
    with pytest.raises(DataError, match="choose another folder"):
        read_archive(file, new)
    pq.write_table(pq.read_table(file).select(["task"]).replace_schema_metadata({}), file)
    with pytest.raises(DataError, match="no archive"):
        read_archive(file, tmp_path / "third")


def test_left_over_temporary_files_of_a_cell_go_when_it_is_carried_out(tmp_path: Path) -> None:
    path = tmp_path / "noisy/tiny/scratch/random/.0.json.abc.tmp"
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "fini')
    run(cells("random", seeds=1), tmp_path)
    assert not path.exists()
    assert [row["status"] for row in read_rows(tmp_path)] == ["finished"]


def test_the_exam_is_taken_at_so_many_parts_of_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "EXAMS", 2)
    (row,) = run(cells("random", seeds=1), tmp_path)
    assert len(row["curve"]) == 3


def test_what_is_missing_of_the_grid_is_named() -> None:
    rows = [made_up("random", seed, [5.0, 3.0]) for seed in range(2)] + [made_up("a", 1, [5.0, 2.0])]
    assert missing([*rows, made_up("a", 0, [5.0, 2.0], learner="lora")]) == ["noisy/tiny/scratch/a/0"]
    assert missing([*rows, {**made_up("a", 0, [5.0]), "status": "failed"}]) == []


def test_an_empty_folder_says_how_results_are_made(tmp_path: Path) -> None:
    with pytest.raises(KgrlError, match="kgrl bench"):
        read_rows(tmp_path)


def made_up(agent: str, seed: int, losses: list[float], **more: Any) -> dict[str, Any]:
    curve = [(100 * i, loss) for i, loss in enumerate(losses)]
    place = {"task": "noisy", "corpus": "tiny", "learner": "scratch", "agent": agent, "seed": seed}
    figures = {"status": "finished", "curve": curve, "tokens": curve[-1][0], "aulc": float(np.mean(losses))}
    return {**place, **figures, "noise_share": None, **more}


def test_agents_are_compared_with_random_seed_by_seed() -> None:
    rows = [made_up("random", seed, [5.0 + seed, 4.0 + seed, 3.0 + seed]) for seed in range(4)]
    rows += [made_up("good", seed, [5.0 + seed, 3.0 + seed, 2.0 + seed + seed / 100]) for seed in range(4)]
    good, random = compare(rows)
    assert (good["agent"], good["verdict"], good["pairs"]) == ("good", "better", 4)
    assert good["speedup"] == pytest.approx(2.0)
    assert good["speedup_low"] == pytest.approx(2.0)
    assert (random["verdict"], random["difference"]) == ("not distinguishable", 0.0)


def test_unpaired_seeds_are_left_out_and_none_in_common_is_said() -> None:
    rows = [made_up("random", 0, [5.0, 3.0]), made_up("a", 1, [5.0, 2.0]), made_up("b", 0, [5.0, 2.0])]
    a, b, _ = compare(rows)
    assert (a["verdict"], a["speedup"], a["pairs"], a["seeds"]) == ("missing", None, 0, 1)
    assert (b["verdict"], b["pairs"], b["difference_low"]) == ("not distinguishable", 1, None)
    assert "two seeds" in b["sentence"]


def test_a_run_that_never_reaches_the_target_is_counted() -> None:
    rows = [made_up("random", seed, [5.0, 3.0]) for seed in range(2)]
    rows += [made_up("slow", seed, [5.0, 4.0 - seed / 10]) for seed in range(2)]
    slow = compare(rows)[1]
    assert (slow["verdict"], slow["censored"], slow["speedup_low"]) == ("worse", 2, 0.0)


def bench(out: Path, **options: Any) -> BenchCommand:
    usual: dict[str, Any] = {"tasks": ("noisy",), "corpus": ("tiny",), "seeds": 1, "executor": "serial", "out": out}
    return BenchCommand(**{**usual, **options})


def test_the_command_takes_lists_with_commas_and_as_several_values(tmp_path: Path) -> None:
    result = bench(tmp_path, tasks=("noisy,coverage", "target:Arts"), agents=("bfs, degree",)).run()
    assert {row["task"] for row in result["rows"]} == {"noisy", "coverage", "target:Arts"}
    assert {row["agent"] for row in result["rows"]} == {"random", "bfs", "degree"}
    assert (len(result["ranking"]), result["failed"], result["missing"]) == (3, [], [])
    assert "Not distinguishable" in Path(result["report"]).read_text(encoding="utf-8")


def test_goals_of_the_task_target_are_put_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = bench(tmp_path, tasks=("target:Arts", "target:Craft", "coverage"), agents=("bfs",)).run()
    (together,) = result["across_goals"]
    assert (together["agent"], together["goals"], together["pairs"]) == ("bfs", 2, 2)
    goals = [row["speedup"] for row in result["rows"] if row["agent"] == "bfs" and row["task"].startswith("target:")]
    assert together["speedup"] == pytest.approx(np.prod(goals) ** 0.5)
    printed = capsys.readouterr().out
    assert "all goals together" in printed and f"{together['speedup']:.3f}" in printed
    assert bench(tmp_path / "one", tasks=("target:Arts",), agents=("bfs",)).run()["across_goals"] == []
    assert "all goals together" not in capsys.readouterr().out


def test_without_scores_there_is_no_ranking_but_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = bench(tmp_path, agents=("bfs", "degree")).run()
    assert {(row["rank"], row["score"]) for row in result["ranking"]} == {(None, None)}
    printed = capsys.readouterr().out
    assert "no ranking of scratch" in printed and "--agents has no oracle" in printed
    assert not re.search(r"^ranking$", printed, re.MULTILINE)
    _show_ranking([{"learner": "scratch", "agent": "oracle", "rank": None, "score": None}])
    assert "oracle is nowhere clearly better than random" in capsys.readouterr().out


def test_all_agents_are_those_that_are_registered(tmp_path: Path) -> None:
    named = {cell.agent for cell in bench(tmp_path, agents=("all",))._agent_cells()}
    assert named == set(agents) > {"random", "ppo", "oracle"}


@pytest.mark.parametrize(
    ("options", "meant"),
    [({"tasks": ("noisy,coverge",)}, "coverage"), ({"agents": ("clozure",)}, "closure")],
)
def test_misspelt_names_are_told_before_work_begins(options: dict[str, Any], meant: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{meant}'"):
        bench(tmp_path / "out", **options).run()
    assert not (tmp_path / "out").exists()


def test_the_result_names_what_is_missing_of_the_folders_grid(tmp_path: Path) -> None:
    check_folder(tmp_path, cells("random", "bfs"))
    run(cells("random", "bfs"), tmp_path)
    (tmp_path / "noisy/tiny/scratch/bfs/1.json").unlink()
    result = bench(tmp_path, agents=("random",)).run()
    assert result["missing"] == ["noisy/tiny/scratch/bfs/1"]


@pytest.mark.parametrize("damage", ["", "[]", '{"status": "finished"}', "{", "[" * 100_000])
def test_a_damaged_result_is_named_set_aside_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cells = [Cell("noisy", "tiny", "scratch", "random", seed) for seed in (0, 1)]
    before = list(run_cells(cells, tmp_path, SerialExecutor()))
    path = runner.cell_file(tmp_path, cells[1].key)
    path.write_text(damage)
    assert [row["seed"] for row in read_rows(tmp_path)] == [0]
    assert str(path) in caplog.text and path.with_name("1.json.broken").read_text() == damage
    after = list(run_cells(cells, tmp_path, SerialExecutor()))
    assert [json.loads(json.dumps(row["curve"])) for row in after] == [
        [list(p) for p in row["curve"]] for row in before
    ]


def test_results_that_nothing_is_known_about_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cells = [Cell("noisy", "tiny", "scratch", "random", 0)]
    check_folder(tmp_path, cells)
    known = (tmp_path / "about.json").read_text()
    list(run_cells(cells, tmp_path, SerialExecutor()))
    (tmp_path / "about.json").write_text(known[: len(known) // 2])
    check_folder(tmp_path, cells)
    assert (tmp_path / "about.json").read_text() == known
    assert "about.json is damaged" in caplog.text and "1 results" in caplog.text
    with pytest.raises(KgrlError, match="holds no results"):
        read_rows(tmp_path)
