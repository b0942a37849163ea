"""`kgrl graph` and `kgrl info`: figures, exports, errors in one line, quick help."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest

from kgrl.agents.training.recipe import shipped_recipes
from kgrl.benchmark.tasks import tasks
from kgrl.cli import main
from kgrl.cli.graph import export_graph, graph_figures
from kgrl.cli.output import show_facts, show_table
from kgrl.corpus import Corpus
from kgrl.errors import KgrlError
from kgrl.graph import TopicGraph
from kgrl.learners import FullLearner, LoraLearner, ScratchLearner
from kgrl.learners.make import learner_options, learners

HARD = ["Émile Zola", 'A & B <"C">', "Set (mathematics)", "集合"]


@pytest.fixture
def graph() -> TopicGraph:
    return TopicGraph.from_links(HARD, [0, 1, 1], [1, 0, 2], ["People", "", "Mathematics", ""])


@pytest.fixture
def corpus_folder(tiny_corpus: Corpus, tmp_path: Path) -> str:
    from kgrl.data.folder import save_folder

    save_folder(tiny_corpus, tmp_path / "tiny")
    return str(tmp_path / "tiny")


def read_tsv(path: Path) -> set[tuple[str, str]]:
    return {tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()}  # type: ignore[misc]


def read_json(path: Path) -> set[tuple[str, str]]:
    return set(nx.node_link_graph(json.loads(path.read_text(encoding="utf-8")), edges="edges").edges)


def read_graphml(path: Path) -> set[tuple[str, str]]:
    return set(nx.read_graphml(path).edges)


@pytest.mark.parametrize(("ending", "read"), [(".tsv", read_tsv), (".json", read_json), (".graphml", read_graphml)])
def test_export_holds_exactly_the_links(
    graph: TopicGraph, tmp_path: Path, ending: str, read: Callable[[Path], set[tuple[str, str]]]
) -> None:
    export_graph(graph, tmp_path / f"graph{ending}")
    assert read(tmp_path / f"graph{ending}") == set(graph.to_networkx().edges)


@pytest.mark.parametrize("name", ["graph.json", "graph.graphml"])
def test_export_keeps_categories_and_unlinked_topics(graph: TopicGraph, tmp_path: Path, name: str) -> None:
    export_graph(graph, tmp_path / name)
    if name.endswith("json"):
        back = nx.node_link_graph(json.loads((tmp_path / name).read_text()), edges="edges")
    else:
        back = nx.read_graphml(tmp_path / name)
    assert dict(back.nodes(data="category")) == dict(zip(graph.titles, graph.categories, strict=True))


@pytest.mark.parametrize("name", ["graph.csv", "graph"])
def test_unknown_ending_names_the_three(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--export", name]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert all(ending in printed.err for ending in (".tsv", ".graphml", ".json"))
    assert printed.out == ""


def test_titles_that_would_break_a_file_are_refused(tmp_path: Path) -> None:
    graph = TopicGraph.from_links(["a\tb", "c"], [0], [1])
    with pytest.raises(KgrlError, match="control character"):
        export_graph(graph, tmp_path / "graph.tsv")
    assert list(tmp_path.iterdir()) == []


CHARACTERS = [chr(c) for c in (*range(32), *range(127, 160), 0x2028, 0xD800, 0xFFFE, 0xFFFF, 0xFDD0, 0x1FFFE, 0x200B)]


@pytest.mark.parametrize(("ending", "read"), [(".tsv", read_tsv), (".json", read_json), (".graphml", read_graphml)])
def test_a_file_can_be_read_again_or_its_topic_is_refused(
    tmp_path: Path, ending: str, read: Callable[[Path], set[tuple[str, str]]]
) -> None:
    refused = set()
    for number, character in enumerate(CHARACTERS):
        graph = TopicGraph.from_links([f"a{character}b", "c"], [0], [1])
        path = tmp_path / f"{number}{ending}"
        try:
            export_graph(graph, path)
        except KgrlError as error:
            refused.add(character)
            assert f"U+{ord(character):04X}" in str(error) and not path.exists()
        else:
            assert read(path) == {(f"a{character}b", "c")}
    assert "\ud800" in refused and not refused & {"\ufdd0", "\u200b", chr(0x1FFFE)}
    assert {"\ufffe", "\uffff", "\0"} <= refused if ending == ".graphml" else "\uffff" not in refused
    assert ending != ".json" or refused == {"\ud800"}  # JSON holds the others


@pytest.mark.parametrize(("name", "holds"), [("g.tsv", True), ("g.json", True), ("g.graphml", False)])
def test_categories_are_checked_where_they_are_written(tmp_path: Path, name: str, holds: bool) -> None:
    graph = TopicGraph.from_links(["a", "c"], [0], [1], ["x\uffffy", ""])
    if holds:
        export_graph(graph, tmp_path / name)
    else:
        with pytest.raises(KgrlError, match=r"the category .*\.graphml files cannot hold its character U\+FFFF"):
            export_graph(graph, tmp_path / name)


def test_describe_counts(graph: TopicGraph) -> None:
    figures = graph_figures(graph)
    assert figures["degree"] == {"mean": 1.0, "median": 1.0, "max": 2, "max_title": HARD[1]}
    assert figures["components"] == {"count": 2, "largest_share": 0.75}
    assert figures["categories"] == {"People": 1, "Mathematics": 1}


def test_graph_of_a_folder(
    corpus_folder: str, tiny_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, export = tmp_path / "figures.json", tmp_path / "new" / "links.tsv"
    arguments = ["graph", "--corpus", corpus_folder, "--goal", "Craft", "--export", str(export), "--json", str(out)]
    assert main(arguments) == 0
    figures = json.loads(out.read_text())
    assert (figures["topics"], figures["links"]) == (len(tiny_corpus.graph), tiny_corpus.graph.n_links)
    assert len(read_tsv(export)) == tiny_corpus.graph.n_links
    nucleus = [tiny_corpus.graph.index(title) for title in figures["nucleus"]]
    assert len(nucleus) == 8 and tiny_corpus.graph.categories[nucleus[0]] == "Craft"
    printed = capsys.readouterr().out
    assert figures["nucleus"][0] in printed and "Mathematics" in printed
    assert "\x1b" not in printed and "─" not in printed and " \n" not in printed, "piped output is plain"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--corpus", "vitla"], "did you mean 'vital'"),
        (["--corpus", "FOLDER", "--goal", "Mathmatics"], "did you mean 'Mathematics'"),
        (["--corpus", "FOLDER", "--nucleus", "pagernak"], "did you mean 'pagerank'"),
    ],
)
def test_unknown_names_end_in_one_line_with_the_nearest(
    arguments: list[str], wanted: str, corpus_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", *(corpus_folder if a == "FOLDER" else a for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and wanted in error and error.count("\n") == 1


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(name: str, **_: object) -> Corpus:
        raise KeyboardInterrupt

    monkeypatch.setattr("kgrl.data.load.load_corpus", interrupted)
    assert main(["graph"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_printed_titles_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts("[red]a\x1b[2J", [("b\x07", "c\x1b[2J\nd [bold]e")])
    show_table("t", ["h"], [["x\x1b]0;y\x07"], ["[link=z]w"]])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\x07" not in printed
    assert "[red]" in printed and "[bold]e" in printed and "[link=z]w" in printed, "markup in titles is text"


def test_info_lists_every_registered_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", str(tmp_path / "info.json")]) == 0
    info = json.loads((tmp_path / "info.json").read_text())
    assert {"vital", "wikispeedia"} <= set(info["known"]["corpora"])
    assert {"random", "closure", "ppo"} <= set(info["known"]["agents"])
    assert {"lora", "scratch"} <= set(info["known"]["learners"])
    assert "mean-prediction-gain" in info["known"]["rewards"]
    assert info["known"]["tasks"] == list(tasks)
    assert info["known"]["recipes"] == sorted(shipped_recipes())
    assert info["machine"]["cache folder"] in capsys.readouterr().out


def test_info_lists_the_options_of_learners_as_they_are_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--json", str(tmp_path / "info.json")]) == 0
    listed = json.loads((tmp_path / "info.json").read_text())["learner_options"]
    assert {"full", "lora", "scratch"} <= set(listed)
    for kind in learners:
        assert [option["name"] for option in listed.get(kind, [])] == list(learner_options(kind) or {})
        assert all(option["meaning"].endswith(".") for option in listed.get(kind, []))
    for kind, made in (("full", FullLearner), ("lora", LoraLearner), ("scratch", ScratchLearner)):
        parameters = inspect.signature(made).parameters
        assert {o["name"]: o["default"] for o in listed[kind]} == {
            o["name"]: parameters[o["name"]].default for o in listed[kind]
        }
    printed = capsys.readouterr().out
    assert "Rank of the adapter's matrices." in printed
    assert "2e-05 (full), 0.0005 (lora), 0.003 (scratch)" in printed


def imported(names: set[str], *words: str) -> set[str]:
    """Those of some modules that a command line imports, in a process of its own."""
    code = f"import atexit, sys, kgrl.cli; atexit.register(lambda: print(*sys.modules)); kgrl.cli.main({list(words)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return names & set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    assert imported({"tyro", "torch", "numpy", "typeguard", "matplotlib", "faiss"}, "--help") == {"tyro"}


def test_names_are_listed_without_what_takes_seconds_to_import() -> None:
    heavy = {"torch", "transformers", "peft", "stable_baselines3", "gymnasium", "sklearn", "networkx", "pyarrow"}
    assert imported({"numpy", *heavy}, "info") == {"numpy"}


def test_a_file_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file, not a folder")
    assert main(["info", "--json", str(tmp_path / "blocked" / "info.json")]) == 2
    assert "blocked" in capsys.readouterr().err
