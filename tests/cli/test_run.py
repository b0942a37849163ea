"""The commands `run`, `train` and `quickstart`, on a folder corpus with a scratch learner and the real encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kgrl.benchmark.tasks import make_task
from kgrl.cli import main
from kgrl.cli.quickstart import QuickstartCommand
from kgrl.cli.run import RunCommand
from kgrl.corpus import Cloze, Corpus, Split
from kgrl.data.folder import save_folder
from kgrl.expansion import Expansion
from kgrl.runs import Run
from kgrl.viewer.shown_run import ShownRun

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def corpus_folder(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("corpus")
    save_folder(tiny_corpus, folder)
    return str(folder)


def kgrl(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def small_run(corpus_folder: str, out: Path, *more: object) -> int:
    settings = ("--corpus", corpus_folder, "--learner", "scratch", "--budget-tokens", 3000, "--expansion-tokens", 500)
    return kgrl("run", *settings, "--out", out, *more)


def test_run_writes_the_figures_and_the_folder(corpus_folder: str, tmp_path: Path) -> None:
    assert small_run(corpus_folder, tmp_path / "run", "--agent", "closure", "--json", tmp_path / "out.json") == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["exam_loss_after"] < figures["exam_loss_before"]
    assert figures["tokens"] == 3000
    assert {"seconds", "expansions", "aulc", "seed", "agent", "corpus"} <= figures.keys()
    assert figures["encoder"] == Run.read_config(tmp_path / "run")["encoder"] == "static"
    lines = (tmp_path / "run" / "curriculum.jsonl").read_text().splitlines()
    assert len([Expansion.from_json(line) for line in lines]) == figures["expansions"]


def test_a_goal_by_a_sentence_is_shown_recorded_as_titles_and_resumed(
    corpus_folder: str, tiny_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "core.txt").write_text("\n".join(tiny_corpus.graph.titles[4:6]))
    about = f"about:{tiny_corpus.of(3, Split.TRAIN).texts[0]}"
    named = ("--goal", about, "--nucleus", f"file:{tmp_path / 'core.txt'}")
    assert small_run(corpus_folder, tmp_path / "run", *named, "--agent", "random") == 0
    shown = " ".join(capsys.readouterr().out.split())
    config = Run.read_config(tmp_path / "run")
    assert config["goal"][0] == tiny_corpus.graph.titles[3] and len(config["goal"]) <= 8
    assert config["nucleus"] == list(tiny_corpus.graph.titles[4:6])
    assert f"stands for {len(config['goal'])} topics: {config['goal'][0]}" in shown
    assert f"core.txt stands for 2 topics: {'; '.join(config['nucleus'])}" in shown
    (tmp_path / "core.txt").unlink()
    assert kgrl("run", "--resume", tmp_path / "run") == 0
    assert ShownRun(tmp_path / "run", tiny_corpus).about()["settings"]["goal"].startswith(config["goal"][0])


def test_a_corpus_own_questions_are_asked_with_every_exam(tiny_corpus: Corpus, tmp_path: Path) -> None:
    asked = [
        Cloze(topic, "It was founded by ", "Ada", ".", ("Bob", "Carl"), group) for topic in range(4) for group in "ab"
    ]
    told = tiny_corpus.of(2, Split.TRAIN).texts[0].rstrip(".").rpartition(" ")
    asked.append(Cloze(2, f"{told[0]} ", told[2], ".", ("Bob", "Carl"), "b"))
    corpus = Corpus("tiny", tiny_corpus.graph, tiny_corpus.texts, tiny_corpus.topics, tiny_corpus.splits, asked)
    save_folder(corpus, tmp_path / "mine")
    mine = str(tmp_path / "mine")
    assert small_run(mine, tmp_path / "run", "--json", tmp_path / "out.json") == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    after = figures["facts_recalled"]["after"]
    assert (figures["fact_recall"], after["asked"], after["chance"]) == (9, 9, pytest.approx(1 / 3))
    assert {name: part["asked"] for name, part in after["groups"].items()} == {"a": 4, "b": 5}
    assert figures["told_in_training"] == {"b": 1}
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(("facts_recalled" in line) == ("exam_loss" in line) for line in metrics)
    assert kgrl("run", "--resume", tmp_path / "run") == 0
    assert small_run(mine, tmp_path / "silent", "--fact-recall", 0, "--json", tmp_path / "out.json") == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert not {"facts_recalled", "told_in_training"} & figures.keys()


def test_plugins_are_part_of_a_run_and_of_its_record(corpus_folder: str, tmp_path: Path) -> None:
    assert small_run(corpus_folder, tmp_path / "run", "--plugins", "replay:share=0.2", "top-k:share=0.05") == 0
    assert Run.read_config(tmp_path / "run")["plugins"] == ["replay:share=0.2", "top-k:share=0.05"]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    shares = [json.loads(line)["changed"] for line in lines if "changed" in json.loads(line)]
    assert shares and max(shares) < 0.06
    assert kgrl("run", "--resume", tmp_path / "run") == 0


def test_rates_averages_and_windows_are_part_of_a_run(corpus_folder: str, tmp_path: Path) -> None:
    learner = "scratch:learning_rate=2e-3,schedule=wsd,average_tokens=500,linked_windows=true"
    assert small_run(corpus_folder, tmp_path / "run", "--learner", learner) == 0
    assert Run.read_config(tmp_path / "run")["learner"] == learner
    (state,) = (tmp_path / "run" / "checkpoint").glob("step-*/learner.json")
    trained = json.loads(state.read_text())
    # The schedule ends where the budget does.
    told = {"schedule": "wsd", "average_tokens": 500, "linked_windows": True, "schedule_tokens": 3000}
    assert trained["tokens"] == 3000 and trained["training"] == told
    assert kgrl("run", "--resume", tmp_path / "run") == 0


@pytest.mark.parametrize("other", ["schedule=cosine", "schedule=wsd,average_tokens=700", "learning_rate=0.1"])
def test_a_run_is_not_resumed_with_another_rate(
    other: str, corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_run(corpus_folder, tmp_path / "run", "--learner", "scratch:schedule=wsd") == 0
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("scratch:schedule=wsd", f"scratch:{other}"))
    assert kgrl("run", "--resume", tmp_path / "run") == 2
    assert "would not be continued as it began: config learner is" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("option", ["learning_rate=0", "learning_rate=.nan", "learning_rate=-1", "average_tokens=0"])
def test_options_out_of_range_are_refused(
    option: str, corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_run(corpus_folder, tmp_path / "run", "--learner", f"scratch:{option}") == 2
    assert option.partition("=")[0] in capsys.readouterr().err


def test_a_run_that_has_to_know_tells_what_is_solid_and_a_level_that_does_not_fit(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    knowing = ("--agent", "random", "--mastery", "gap:99", "--most-readings", 0)
    assert small_run(corpus_folder, tmp_path / "run", *knowing, "--json", tmp_path / "out.json") == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["solid"] == figures["faded"] == 0 < figures["read"]
    assert f"{figures['read']} read, 0 solid by gap:99, 0 faded" in capsys.readouterr().out
    assert [record.getMessage().startswith("none of the ") for record in caplog.records] == [True]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines[0]["nucleus"]) == 8 and lines[-1]["read"] == figures["read"] and not lines[-1]["solid"]
    told = [line["chosen"] for line in lines if "chosen" in line]
    assert told[0] is False and told[-1] is True and told == sorted(told)


def test_the_same_seed_gives_the_same_run(corpus_folder: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert small_run(corpus_folder, tmp_path / name, "--agent", "random", "--json", tmp_path / f"{name}.json") == 0
    a, b = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("a", "b"))
    assert a["curve"] == b["curve"]


def test_a_folder_that_holds_a_run_is_not_overwritten_but_resumed(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_run(corpus_folder, tmp_path / "run", "--json", tmp_path / "first.json") == 0
    assert small_run(corpus_folder, tmp_path / "run") == 2
    assert f"continue with --resume {tmp_path / 'run'}" in capsys.readouterr().err
    assert kgrl("run", "--resume", tmp_path / "run", "--json", tmp_path / "again.json") == 0
    first, again = (json.loads((tmp_path / name).read_text()) for name in ("first.json", "again.json"))
    assert first["curve"] == again["curve"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--agent", "clozure", "unknown agent 'clozure'; did you mean 'closure'?"),
        ("--corpus", "wikispedia", "unknown corpus 'wikispedia'; did you mean 'wikispeedia'?"),
        ("--learner", "lorra", "unknown learner 'lorra'; did you mean 'lora'?"),
        ("--reward", "mean-gain", "unknown reward 'mean-gain'"),
        ("--plugins", "reply", "unknown plug-in 'reply'; did you mean 'replay'?"),
        (
            "--plugins",
            "replay:sharing=2",
            "'sharing=2' is not an option of the plug-in 'replay'; write one of share, sampling, seed",
        ),
        ("--goal", "Mathmatics", "unknown category 'Mathmatics'; did you mean 'Mathematics'?"),
    ],
)
def test_unknown_names_are_explained(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    assert small_run(corpus_folder, tmp_path / "run", option, value) == 2
    assert message in capsys.readouterr().err


def test_a_task_is_run_recorded_and_resumed(corpus_folder: str, tmp_path: Path) -> None:
    task = make_task("noisy", corpus_folder)
    assert small_run(corpus_folder, tmp_path / "run", "--task", "noisy", "--json", tmp_path / "out.json") == 0
    figures, config = json.loads((tmp_path / "out.json").read_text()), Run.read_config(tmp_path / "run")
    assert (config["task"], config["corpus"]) == ("noisy", f"noisy:{corpus_folder}")
    assert (config["reward"], tuple(config["nucleus"])) == (task.reward, task.config.nucleus)
    assert (config["budget_tokens"], config["neighbourhood"]) == (3000, task.config.neighbourhood)
    lines = (tmp_path / "run" / "curriculum.jsonl").read_text().splitlines()
    assert figures["noise_share"] == task.noise_share([Expansion.from_json(line) for line in lines])
    assert kgrl("run", "--resume", tmp_path / "run", "--json", tmp_path / "again.json") == 0
    assert json.loads((tmp_path / "again.json").read_text())["curve"] == figures["curve"]


def test_what_is_given_has_its_way_but_a_task_keeps_its_goal_and_nucleus(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--task", "target", "--reward", "mean-prediction-gain", "--seed", 3)
    assert small_run(corpus_folder, tmp_path / "run", *given) == 0
    config = Run.read_config(tmp_path / "run")
    assert (config["reward"], config["seed"], config["goal"]) == ("mean-prediction-gain", 3, "Craft")
    for more in (("--goal", "Nature"), ("--nucleus", "Bread")):
        assert small_run(corpus_folder, tmp_path / "refused", "--task", "target", *more) == 2
        assert "has its own goal and nucleus" in capsys.readouterr().err


def test_a_run_leaves_a_report_with_its_rewards(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_run(corpus_folder, tmp_path / "run", "--reward", "mean-prediction-gain - 1e-4*token-cost") == 0
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>Rewards</h2>" in page and "token-cost" in page


def test_probes_are_read_for_agents_that_use_them_and_for_rewards_that_are_asked_for(
    corpus_folder: str, tmp_path: Path
) -> None:
    asked = {"ignores": ("closure",), "reads": ("alp",), "asked": ("closure", "--reward", "mean-prediction-gain")}
    found = {}
    for name, (agent, *reward) in asked.items():
        assert small_run(corpus_folder, tmp_path / name, "--agent", agent, *reward) == 0
        found[name] = Run.read_expansions(tmp_path / name)
    assert Run.read_config(tmp_path / "ignores")["reward"] == "none"
    assert all(not step.probes and step.probe_tokens == 0 and step.reward is None for step in found["ignores"])
    for name in ("reads", "asked"):
        assert all(step.reward is not None for step in found[name][1:])
    # The measurements change nothing: the same topics, the same losses.
    assert [(s.topic, s.train_loss) for s in found["ignores"]] == [(s.topic, s.train_loss) for s in found["asked"]]
    page = (tmp_path / "ignores" / "report.html").read_text()
    assert "<h2>Rewards</h2>" not in page
    assert kgrl("run", "--resume", tmp_path / "ignores") == 0


def test_a_part_called_total_does_not_hide_the_reward(corpus_folder: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def total(expansion):\n    return 5.0\n")
    assert small_run(corpus_folder, tmp_path / "run", "--reward", f"2*{tmp_path / 'mine.py'}:total") == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {event.value for event in events.Scalars("reward/total")} == {10.0}
    assert {event.value for event in events.Scalars("reward/part_total")} == {5.0}


def test_a_trained_policy_is_an_agent(corpus_folder: str, tmp_path: Path) -> None:
    settings = ("--corpus", corpus_folder, "--budget-tokens", 3000, "--expansion-tokens", 500, "--steps", 16)
    settings = (*settings, "--learner", "scratch")
    assert kgrl("train", *settings, "--out", tmp_path / "policy", "--json", tmp_path / "train.json") == 0
    assert json.loads((tmp_path / "train.json").read_text())["policy"] == str(tmp_path / "policy")
    assert sorted(p.suffix for p in (tmp_path / "policy").glob("policy.*")) == [".json", ".safetensors"]
    assert list((tmp_path / "policy").rglob("events.out.tfevents.*"))
    assert small_run(corpus_folder, tmp_path / "run", "--agent", tmp_path / "policy") == 0


def test_quickstart_compares_and_reports(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--corpus", corpus_folder, "--learner", "scratch", "--goal", "Craft", "--budget-tokens", 3000)
    assert kgrl("quickstart", *settings, "--out", tmp_path / "quick", "--json", tmp_path / "quick.json") == 0
    figures = json.loads((tmp_path / "quick.json").read_text())
    curves = {name: agent["curve"] for name, agent in figures["agents"].items()}
    assert len(curves) == 2
    assert len({tuple(curve[0]) for curve in curves.values()}) == 1  # the same untrained learner, the same exam
    assert {agent["probe_tokens"] for agent in figures["agents"].values()} == {0}  # neither agent reads probes
    printed = capsys.readouterr().out
    assert "tokens needed" in printed
    assert Path(figures["report"]).read_text().startswith("<!doctype html>")
    assert not (tmp_path / "quick" / "first").exists() and "first" not in figures


def test_quickstart_shows_a_small_learner_before_another_one(
    corpus_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, str]] = []
    compare = QuickstartCommand._compare_with

    def noted(command: QuickstartCommand, learner: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
        # The second learner is a small one, too: what counts here is the order.
        figures = compare(command, "scratch", corpus, folder)
        order.append((learner, str(Path(figures["report"]).relative_to(tmp_path))))
        return figures

    monkeypatch.setattr(QuickstartCommand, "_compare_with", noted)
    command = QuickstartCommand(goal="Craft", corpus=corpus_folder, budget_tokens=600, out=tmp_path / "quick")
    figures = command.run()
    assert order == [("scratch", "quick/first/report.html"), ("lora", "quick/report.html")]
    assert Path(figures["first"]["report"]).is_file() and Path(figures["report"]).is_file()


def test_an_interrupted_run_says_how_to_go_on(
    corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = Run._after

    def stop_after_two(run: Run, expansion: Expansion, began: float) -> float | None:
        loss = appended(run, expansion, began)
        if expansion.index == 2:
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_after", stop_after_two)
        assert small_run(corpus_folder, tmp_path / "run") == 130
    assert f"kgrl run --resume {tmp_path / 'run'}" in capsys.readouterr().err
    assert kgrl("run", "--resume", tmp_path / "run", "--json", tmp_path / "resumed.json") == 0
    assert small_run(corpus_folder, tmp_path / "whole", "--json", tmp_path / "whole.json") == 0
    resumed, whole = (json.loads((tmp_path / name).read_text()) for name in ("resumed.json", "whole.json"))
    assert resumed["curve"] == whole["curve"]


def test_a_run_from_before_encoders_had_names_is_resumed_with_minilm(corpus_folder: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert small_run(corpus_folder, out) == 0
    assert RunCommand(resume=out).resumed().encoder == "static"
    path = out / "config.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("encoder:")))
    assert RunCommand(resume=out).resumed().encoder == "minilm"


def test_probe_samples_are_light_outside_of_tasks_and_in_new_runs(corpus_folder: str, tmp_path: Path) -> None:
    assert RunCommand(corpus=corpus_folder).curriculum_config().light_probes
    assert not RunCommand(corpus=corpus_folder, light_probes=False).curriculum_config().light_probes
    task = RunCommand(task="coverage", corpus=corpus_folder).curriculum_config()
    assert not task.light_probes and task.probe_topics == 24
    out = tmp_path / "run"
    assert small_run(corpus_folder, out, "--reward", "mean-prediction-gain") == 0
    assert Run.read_expansions(out)[-1].probes["mean"].weights
    assert RunCommand(resume=out).resumed().curriculum_config().light_probes
    path = out / "config.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("light_probes:")))
    assert not RunCommand(resume=out).resumed().curriculum_config().light_probes
