"""The report of a benchmark: verdicts, what is missing, and hostile names, on results that are made up."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kgrl.benchmark.comparison import compare
from kgrl.benchmark.report.page import write_benchmark_report
from kgrl.benchmark.runner import EXAMS, read_rows
from kgrl.errors import KgrlError
from tests.support.benchmark_results import write_benchmark, write_cell, write_failed
from tests.support.html_page import Page

PLACE = ("noisy", "tiny", "scratch")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'|\u2028"


def report(out: Path) -> Page:
    return Page(write_benchmark_report(out).read_text(encoding="utf-8"))


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def markdown_tables(text: str) -> list[list[int]]:
    """The number of cells in each line of each table."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [[len(re.findall(r"(?<!\\)\|", line)) - 1 for line in block.splitlines()] for block in blocks]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark with cells that failed and are missing, and its report."""
    out = tmp_path_factory.mktemp("bench") / "results"
    write_benchmark(out, [PLACE, ("forgetting", "tiny", "scratch")], ["random", "closure", "oracle"], 3)
    (out / "forgetting/tiny/scratch/closure/2.json").unlink()
    write_failed(out, PLACE, "broken", 0, "ZeroDivisionError: one <over> nothing")
    write_benchmark_report(out)
    return out


@pytest.fixture(scope="module")
def page(usual: Path) -> Page:
    return Page((usual / "report.html").read_text(encoding="utf-8"))


def test_every_verdict_is_said_in_words(usual: Path, page: Page) -> None:
    for row in compare(read_rows(usual)):
        said = row["sentence"] if row["agent"] != "random" else "What the others are compared with."
        assert said in page.text
    assert "Of 6 comparisons with random: 2 better, 2 worse, 0 not distinguishable, 2 missing." in page.text


def test_says_how_many_seeds_would_settle_it(tmp_path: Path) -> None:
    for seed, (random, ours) in enumerate([(6.0, 5.9), (6.0, 6.05), (6.0, 5.9)]):
        write_cell(tmp_path, PLACE, "random", seed, aulc=random)
        write_cell(tmp_path, PLACE, "closure", seed, aulc=ours)
    text = report(tmp_path).text
    (row,) = (row for row in compare(read_rows(tmp_path)) if row["agent"] == "closure")
    assert row["verdict"] == "not distinguishable"
    assert f"about {row['more_seeds']} more seeds would tell them apart" in text


def test_missing_and_failed_cells_are_named(page: Page) -> None:
    assert "missing: seed 2 of closure, forgetting on tiny with scratch" in page.text
    assert "failed: seed 0 of broken, noisy on tiny with scratch: ZeroDivisionError: one <over> nothing" in page.text
    assert "missing: seeds 0, 1, 2 of broken, forgetting on tiny with scratch" in page.text
    assert "Cells: 17 finished, 1 failed, 6 missing." in page.text


def test_no_figure_leaves_an_agent_out_without_a_word(page: Page) -> None:
    figures = [data for data in page.data if "layout" in data]
    by_row = [figure for figure in figures if "broken" in str(figure["layout"].get("yaxis", {}).get("ticktext"))]
    assert len(by_row) == 5, "score, improvement, time, forgetting and noise"
    for figure in by_row:
        at = figure["layout"]["yaxis"]["ticktext"].index("broken")
        assert [note["y"] for note in figure["layout"]["annotations"] if note.get("text") == "missing"] == [at]


def test_asks_nothing_of_the_network(page: Page) -> None:
    loads = [a.get(name) or "" for _, a in page.elements for name in ("src", "href", "srcset", "data", "action")]
    assert not [link for link in loads if link and not link.startswith("#")]
    assert "link" not in [tag for tag, _ in page.elements]
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_links_lead_somewhere(page: Page) -> None:
    names = {a["id"] for _, a in page.elements if a.get("id")}
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert links and {link.removeprefix("#") for link in links if link} <= names


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    place = ("coverage", "tiny<b>", "scratch")
    for seed in range(2):
        write_cell(tmp_path, place, "random", seed, titles=[HOSTILE])
        write_cell(tmp_path, place, "<i>own</i>", seed, titles=[HOSTILE])
    write_failed(tmp_path, ("coverage", "tiny", "scratch"), "random", 0, HOSTILE)
    page = report(tmp_path)
    assert not {"img", "i"} & {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.data[-1]["titles"] == [HOSTILE], "the reader still sees the title"
    assert all("\u2028" not in script for script in page.scripts)
    assert HOSTILE in page.text, "and the error"
    for figure in page.data[:-1]:
        # `meta` is compared with the boxes' values and never drawn.
        drawn = [{name: part for name, part in trace.items() if name != "meta"} for trace in figure["data"]]
        assert "<i>" not in json.dumps([drawn, figure["layout"]])
    text, code = (tmp_path / "report.md").read_text(encoding="utf-8").split("## Command\n")
    assert all(line.startswith("    ") for line in code.splitlines() if line), "in code, markup is text"
    assert "<script" not in text and "<img" not in text and "<i>" not in text
    assert all(len(set(lengths)) == 1 for lengths in markdown_tables(text))


def test_numbers_of_the_csv_are_those_of_the_comparison(usual: Path) -> None:
    told = {(row["task"], row["agent"]): row for row in table(usual, "verdicts") if row["seeds"] != "0"}
    rows = compare(read_rows(usual))
    assert len(told) == len(rows)
    for row in rows:
        written = told[row["task"], row["agent"]]
        assert written == {name: "" if value is None else str(value) for name, value in row.items()}


def test_every_table_is_beside_the_page(usual: Path) -> None:
    names = {path.stem for path in (usual / "tables").iterdir()}
    about_facts = {"known", "recall"}
    assert names == {"verdicts", "curves", "costs", "kept", "noise", "aggregates", "profiles", "gaps"} | about_facts
    assert {row["agent"] for row in table(usual, "curves")} == {"random", "closure", "oracle"}
    (first, *_) = (row for row in table(usual, "costs") if row["agent"] == "closure")
    assert float(first["seconds"]) == pytest.approx(4.0)
    assert float(first["share_choose"]) == pytest.approx(0.2 / 4), "what is left of the seconds"
    assert float(first["overhead"]) == pytest.approx(0.4 / 4)
    assert [row["error"] for row in table(usual, "gaps") if row["error"]] == [
        "failed: ZeroDivisionError: one <over> nothing"
    ]


def test_pictures_are_beside_the_page(usual: Path) -> None:
    pictures = {path.name: path.read_bytes() for path in (usual / "figures").iterdir()}
    kinds = {"verdicts-0-scratch", "curves-0-scratch", "aggregates-0-scratch", "cost-0-scratch", "forgetting", "noise"}
    assert set(pictures) == {f"{kind}.png" for kind in kinds}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_all_curricula_are_in_one_file_and_on_the_page(usual: Path, page: Page) -> None:
    steps = pq.read_table(usual / "curricula.parquet").to_pylist()
    assert len(steps) == 17 * 5
    cells = page.data[-1]["cells"]
    assert len(cells) == 17, "three agents in two places, three seeds, less one that failed"
    titles = page.data[-1]["titles"]
    of_closure = [s for s in steps if (s["task"], s["agent"], s["seed"]) == ("noisy", "closure", 0)]
    shown = cells["noisy/tiny/scratch/closure/0"]
    assert [titles[title] for title in shown["t"]] == [step["title"] for step in of_closure]
    assert shown["k"] == [step["tokens"] for step in of_closure]
    assert shown["r"] == [step["reward"] for step in of_closure]
    assert {a["data-cell"] for _, a in page.elements if "data-cell" in a} == set(cells)


def test_a_curriculum_whose_file_is_gone_is_missing(tmp_path: Path) -> None:
    write_benchmark(tmp_path, agents=["random"], seeds=1)
    (tmp_path / "noisy/tiny/scratch/random/0.parquet").unlink()
    assert report(tmp_path).data[-1]["cells"] == {"noisy/tiny/scratch/random/0": None}
    assert pq.read_table(tmp_path / "curricula.parquet").num_rows == 0


def test_markdown_has_verdicts_protocol_and_command(usual: Path) -> None:
    text = (usual / "report.md").read_text(encoding="utf-8")
    tables = markdown_tables(text)
    assert len(tables) == 4, "verdicts of two places, aggregates, gaps"
    assert all(len(set(lengths)) == 1 for lengths in tables)
    assert "Agarwal et al. (2021)" in text
    assert "kgrl bench --tasks forgetting noisy --corpus tiny --agents broken closure oracle random" in text
    assert "--learner scratch --seeds 3 --out results --budget-tokens 2000" in text
    assert f"further {100 // EXAMS}% of the budget" in text


@pytest.mark.parametrize("agents", [["random"], ["closure"], ["random", "closure"], ["closure", "oracle"]])
def test_one_cell_no_oracle_or_no_random_will_do(tmp_path: Path, agents: list[str]) -> None:
    write_benchmark(tmp_path, agents=agents, seeds=1)
    page = report(tmp_path)
    assert "No normalised scores" in page.text
    if "random" not in agents:
        assert "No seed in common with random." in page.text


def test_speed_ups_of_runs_that_never_got_there_are_bounds(tmp_path: Path) -> None:
    for seed in range(3):
        write_cell(tmp_path, PLACE, "random", seed, rank=0)
        write_cell(tmp_path, PLACE, "closure", seed, rank=6)
    text = report(tmp_path).text
    assert "at most 1.00" in text and "3 of 3 never there" in text


def test_nothing_finished_is_told_as_such(tmp_path: Path) -> None:
    write_failed(tmp_path, PLACE, "random", 0, "ValueError: no")
    page = report(tmp_path)
    assert "failed: seed 0 of random, noisy on tiny with scratch: ValueError: no" in page.text


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KgrlError, match="no results"):
        write_benchmark_report(tmp_path)


def facts(out: Path, agent: str, seed: int, last: float, **more: object) -> None:
    """A cell whose learner recalls more and more facts, in the end `last` of those of one hop."""
    curve = [[0, 8.0], [1000, 6.0], [2000, 5.0]]
    recalled = {"1": [0.0, last, last], "2": [0.0625, 0.0625, 0.0625]}
    write_cell(out, ("recall", "tiny", "scratch"), agent, seed, curve=curve, recalled=recalled, **more)


def test_facts_known_are_in_a_table_and_in_figures_beside_the_losses(tmp_path: Path) -> None:
    for seed, last in enumerate([0.4, 0.6]):
        facts(tmp_path, "random", seed, 0.2, asked={"1": 100, "2": 100})
        facts(tmp_path, "<i>own</i>", seed, last, asked={"1": 100, "2": 100})
    page = report(tmp_path)
    assert "Facts known" in page.text and "Questions 1" in page.text and "Questions 2" in page.text
    assert "i" not in [tag for tag, _ in page.elements]
    rows = {(row["agent"], row["group"]): row for row in table(tmp_path, "known")}
    own, random = rows["<i>own</i>", "1"], rows["random", "1"]
    assert float(own["recall"]) == pytest.approx(0.5) and float(own["per_million"]) == pytest.approx(0.5 * 100 * 500)
    # 0, .2, .4 and 0, .3, .6: .3 is reached after 1,500 and 1,000 tokens.
    assert float(own["tokens_to_level"]) == pytest.approx((1_500 * 1_000) ** 0.5)
    assert (own["never"], random["never"], random["cells"]) == ("0", "2", "2")
    assert float(random["retained"]) == 1.0 and "at least 2,000" in page.text
    axes = [figure["layout"]["yaxis"]["title"]["text"] for figure in page.data if "xaxis" in figure.get("layout", {})
            and "title" in figure["layout"]["yaxis"]]  # fmt: skip
    facts_at = [at for at, title in enumerate(axes) if title == "share of the questions recalled"]
    assert len(facts_at) == 2 and axes[facts_at[-1] + 1] == "exam loss, nats per token"
    curves = [row for row in table(tmp_path, "recall") if row["agent"] == "random" and row["group"] == "1"]
    assert float(curves[0]["share"]) == 0 and float(curves[-1]["share"]) == pytest.approx(0.2)


def test_cells_of_earlier_versions_do_not_tell_how_many_questions_they_were_asked(tmp_path: Path) -> None:
    for seed in range(2):
        facts(tmp_path, "random", seed, 0.5)
    write_benchmark_report(tmp_path)
    (row,) = (row for row in table(tmp_path, "known") if row["group"] == "1")
    assert row["per_million"] == "" and float(row["recall"]) == 0.5


def test_places_without_questions_have_no_section_about_facts(page: Page) -> None:
    assert "Facts known" not in page.text.replace("Facts known. ", "").split("Made from what is in the folder")[0]
