"""`kgrl traces` and `load_traces`: every source opens, bad input is counted or explained, files are whole or absent."""

from __future__ import annotations

import gzip
import itertools
import json
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from kgrl.builtin import FOLDER
from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data import load_traces, save_folder
from kgrl.data.traces.trace_store import StoredTraces, recorded_corpus, write_traces
from kgrl.errors import DataError, SettingError, UnknownNameError
from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.traces import Trace

PATHS = 100
TABLES = {
    "articles.tsv": "A\nB%21\nC\nD\n",
    "categories.tsv": "A\tsubject.Science\nB%21\tsubject.Science\nC\tsubject.History\nD\tsubject.History\n",
    "links.tsv": "A\tB%21\nA\tC\nB%21\tC\nC\tD\n",
    "paths_finished.tsv": "x\t0\t0\tA;B%21;<;C;D\tNULL\n" * PATHS,
    "paths_unfinished.tsv": "x\t0\t0\tA;C\tD\trestart\n" * PATHS,
}
BAD = {
    "unknown topic": "x\t0\t0\tA;Nowhere\tNULL\n",
    "no link": "x\t0\t0\tA;D\tNULL\n",
    "empty stack": "x\t0\t0\tA;<;<\tNULL\n",
    "malformed row": "x\t0\n",
}


@pytest.fixture
def wikispeedia(tmp_path: Path) -> Path:
    """A folder with a small Wikispeedia."""
    (tmp_path / "game").mkdir()
    for name, text in TABLES.items():
        (tmp_path / "game" / name).write_text(text, encoding="utf-8")
    return tmp_path / "game"


@pytest.fixture
def corpus_folder(tiny_corpus: Corpus, tmp_path: Path) -> Path:
    save_folder(tiny_corpus, tmp_path / "tiny")
    return tmp_path / "tiny"


def traces_on(graph: TopicGraph) -> list[Trace]:
    """Walks of two clicks from each topic that has as many."""
    walks = []
    for start in range(len(graph)):
        steps = [start]
        while len(steps) < 3 and len(graph.out(steps[-1])):
            steps.append(int(graph.out(steps[-1])[0]))
        walks.append(Trace(tuple(steps), source="test"))
    return walks


@pytest.fixture
def trace_file(tiny_corpus: Corpus, corpus_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "walks.parquet"
    write_traces(path, traces_on(tiny_corpus.graph), tiny_corpus.graph, corpus=str(corpus_folder))
    return path


@pytest.fixture
def clicks(tiny_corpus: Corpus, tmp_path: Path) -> Path:
    """A clickstream of one click on each link, every page entered once."""
    graph = tiny_corpus.graph
    names = [title.replace(" ", "_") for title in graph.titles]
    rows = [f"{names[a]}\t{names[b]}\tlink\t10\n" for a, b in zip(*graph.links(), strict=True)]
    rows += [f"other-search\t{name}\texternal\t10\n" for name in names]
    path = tmp_path / "clickstream-enwiki-2026-10.tsv.gz"
    path.write_bytes(gzip.compress("".join(rows).encode()))
    return path


def run(tmp_path: Path, *arguments: object) -> dict[str, Any]:
    """Run a command that has to succeed, and return its JSON."""
    assert main(["traces", *map(str, arguments), "--json", str(tmp_path / "out.json")]) == 0
    result: dict[str, Any] = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    return result


def test_stats_of_wikispeedia(wikispeedia: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(tmp_path, "stats", "--root", wikispeedia, "--report", tmp_path / "stats.html")
    assert result["rows"] == 2 * PATHS and result["skipped"] == {}
    figures = result["sources"]["wikispeedia"]
    assert figures["lengths"] == {"1": PATHS, "4": PATHS}
    assert figures["outcomes"] == {"finished": PATHS, "unfinished": PATHS}
    assert figures["return_rate"] == figures["back_share"] == pytest.approx(1 / 5)
    # A to B stays, A to C leaves (twice), C to D stays.
    assert figures["within_category"] == pytest.approx(2 / 4)
    assert "Category moves of wikispeedia" in capsys.readouterr().out
    assert "Traces of wikispeedia" in (tmp_path / "stats.html").read_text(encoding="utf-8")


def test_bad_rows_are_counted_and_printed(
    wikispeedia: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wikispeedia / "paths_finished.tsv"
    file.write_text(file.read_text() + "".join(BAD.values()), encoding="utf-8")
    result = run(tmp_path, "import", "--root", wikispeedia, "--out", tmp_path / "t.parquet")
    assert result["skipped"] == dict.fromkeys(BAD, 1)
    assert result["traces"] == result["rows"] == 2 * PATHS
    printed = capsys.readouterr().out
    assert all(f"skipped, {reason}" in printed for reason in BAD)


def test_too_many_bad_rows_are_an_error_and_nothing_is_written(
    wikispeedia: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wikispeedia / "paths_finished.tsv"
    file.write_text(file.read_text() + BAD["no link"] * 6, encoding="utf-8")
    out = tmp_path / "out" / "t.parquet"
    assert main(["traces", "import", "--root", str(wikispeedia), "--out", str(out)]) == 2
    assert "more than 5% cannot be used" in capsys.readouterr().err
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_an_imported_file_holds_the_sources_traces(wikispeedia: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    run(tmp_path, "import", "--root", wikispeedia, "--out", out)
    source = load_traces("wikispeedia", root=wikispeedia)
    assert list(StoredTraces(out, source.graph)) == list(source)
    assert recorded_corpus(out) == "wikispeedia"


def test_a_trace_file_finds_its_corpus(trace_file: Path, tiny_corpus: Corpus, tmp_path: Path) -> None:
    assert list(load_traces(trace_file)) == traces_on(tiny_corpus.graph)
    result = run(tmp_path, "import", "--source", trace_file, "--out", tmp_path / "again.parquet")
    assert result["traces"] == len(tiny_corpus.graph)
    assert recorded_corpus(tmp_path / "again.parquet") == recorded_corpus(trace_file)


def test_a_trace_file_that_names_no_corpus_needs_one(tiny_corpus: Corpus, corpus_folder: Path, tmp_path: Path) -> None:
    write_traces(tmp_path / "t.parquet", traces_on(tiny_corpus.graph), tiny_corpus.graph)
    with pytest.raises(SettingError, match="which corpus"):
        load_traces(tmp_path / "t.parquet")
    assert len(list(load_traces(tmp_path / "t.parquet", corpus=corpus_folder))) == len(tiny_corpus.graph)


def test_a_clickstream_becomes_walks(clicks: Path, corpus_folder: Path, tiny_corpus: Corpus, tmp_path: Path) -> None:
    options = ["--source", "clickstream", "--root", clicks, "--corpus", corpus_folder]
    result = run(tmp_path, "stats", *options, "--walks", 50, "--seed", 1)
    assert result["sources"]["clickstream"]["traces"] == 50
    assert result["rows"] == tiny_corpus.graph.n_links + len(tiny_corpus.graph)
    assert result["unused"] == {"from outside": len(tiny_corpus.graph)}
    assert result == run(tmp_path, "stats", *options, "--walks", 50, "--seed", 1)
    assert result != run(tmp_path, "stats", *options, "--walks", 50, "--seed", 2)


def test_a_clickstream_cut_off_leaves_nothing_behind(
    clicks: Path, corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = clicks.read_bytes()
    clicks.write_bytes(data[: len(data) // 2])
    before = sorted(tmp_path.iterdir())
    options = ["--source", "clickstream", "--root", str(clicks), "--corpus", str(corpus_folder)]
    assert main(["traces", "import", *options, "--out", str(tmp_path / "t.parquet")]) == 2
    message = capsys.readouterr().err
    assert clicks.name in message and "good up to this line, then cut off" in message
    assert sorted(tmp_path.iterdir()) == before


def test_an_export_opens_with_minari(trace_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    result = run(tmp_path, "export", "--source", trace_file, "--dataset-id", "rabbit-holes/tiny-v0")
    assert Path(result["folder"]) == tmp_path / "minari" / "rabbit-holes" / "tiny-v0"
    walks = [trace for trace in load_traces(trace_file) if len(trace.steps) > 1]
    assert minari.load_dataset("rabbit-holes/tiny-v0").total_episodes == result["episodes"] == len(walks)
    assert result["rows"] == result["episodes"] + result["left_out"]


@pytest.fixture
def run_without_a_click(tiny_corpus: Corpus, corpus_folder: Path, tmp_path: Path) -> Path:
    """A run of a nucleus and one pick, which links to the nucleus and is not linked from it."""
    graph, folder = tiny_corpus.graph, tmp_path / "run"
    one_way = ((a, b) for a, b in zip(*graph.links(), strict=True) if graph.positions([b], [a])[0] < 0)
    pick, nucleus = (int(topic) for topic in next(one_way))
    records = [
        Expansion(index, topic, graph.titles[topic], (topic,), (), 2, 2, 9, 1.0)
        for index, topic in enumerate((nucleus, pick))
    ]
    folder.mkdir()
    (folder / "config.yaml").write_text(f"corpus: {corpus_folder}\n", encoding="utf-8")
    (folder / "curriculum.jsonl").write_text("".join(record.to_json() + "\n" for record in records), encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", ["stats", "import", "export"])
def test_a_run_without_a_click_is_explained_and_nothing_is_written(
    run_without_a_click: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    options = {"import": ["--out", str(tmp_path / "t.parquet")], "export": ["--dataset-id", "short-v0"]}
    assert main(["traces", command, "--source", str(run_without_a_click), *options.get(command, [])]) == 2
    message = capsys.readouterr().err
    assert "2 expansions kept, 0 skipped; no trace with a click: a pick is a click only if" in message
    assert not (tmp_path / "t.parquet").exists() and not (tmp_path / "minari" / "short-v0").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_deletes_a_half_written_dataset(
    trace_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    advanced: list[int] = []

    def advance(done: int, note: str) -> None:
        """A progress bar during whose first step the process is told to end."""
        advanced.append(done)
        signal.raise_signal(number)

    monkeypatch.setattr(sys.modules["kgrl.cli.traces"], "progress", lambda title, total: nullcontext(advance))
    before = signal.getsignal(number)
    arguments = ["traces", "export", "--source", str(trace_file), "--dataset-id", "tiny-v0"]
    if number == signal.SIGINT:
        assert main(arguments) == 130
    else:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 143
    assert advanced == [1] and signal.getsignal(number) is before
    assert not list((tmp_path / "minari").iterdir())


@pytest.mark.integration
def test_the_shipped_ppo_policy_is_scored_with_the_shipped_clicks(wikispeedia_root: Path, tmp_path: Path) -> None:
    write_traces(
        tmp_path / "few.parquet",
        itertools.islice(load_traces("wikispeedia", root=wikispeedia_root), 300),
        load_traces("wikispeedia", root=wikispeedia_root).graph,
        corpus="wikispeedia",
    )
    options = ["--source", tmp_path / "few.parquet", "--root", wikispeedia_root, "--split", "all"]
    by_name = run(tmp_path, "score", "--policy", "ppo", *options)
    assert by_name["finished"]["clicks"] > 300 and by_name["inductive"] is None
    by_folder = run(tmp_path, "score", "--policy", FOLDER / "ppo", *options)
    assert {**by_folder, "policy": "ppo"} == by_name


def test_sources_that_there_are_not_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'wikispeedia'"):
        load_traces("wikispedia")
    with pytest.raises(SettingError, match="root names it"):
        load_traces("clickstream")
    with pytest.raises(DataError, match=r"config\.yaml"):
        load_traces(tmp_path)
    assert main(["traces", "stats", "--source", str(tmp_path / "none.parquet")]) == 2
    assert "there is no trace file" in capsys.readouterr().err
    assert main(["traces", "import", "--out", str(tmp_path / "t.csv")]) == 2
    assert "must be .parquet" in capsys.readouterr().err


@pytest.mark.integration
@pytest.mark.parametrize("curiosity", [0.0, 1.0])
def test_generated_walks_are_stored(corpus_folder: Path, tmp_path: Path, curiosity: float) -> None:
    out, options = tmp_path / "walks.parquet", ["--corpus", corpus_folder, "--walks", 20, "--length", 8]
    result = run(tmp_path, "generate", *options, "--curiosity", curiosity, "--out", out)
    assert result["traces"] == 20 and result["walker"] == f"embedding-walker-{curiosity:g}"
    stored = list(load_traces(out))
    assert len(stored) == 20 and max(len(trace.steps) for trace in stored) == 8


@pytest.mark.integration
def test_all_of_wikispeedia_is_read(wikispeedia_root: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "import", "--root", wikispeedia_root, "--out", tmp_path / "t.parquet")
    assert result["traces"] == 65_402
    assert result["skipped"] == {"no link": 91, "unknown topic": 24}
    assert sum(1 for _ in load_traces(tmp_path / "t.parquet", root=wikispeedia_root)) == 65_402
