"""The report pages in a real browser: they draw, ask nothing of the network, and run no script but their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.report import RunData, write_report
from kgrl.report.page import write_trace_report
from kgrl.traces import Trace
from kgrl.traces.statistics import trace_stats
from tests.support.browser import Visit, chromium

pytestmark = pytest.mark.integration

HOSTILE = 'Say "no" <img src=x onerror=alert(1)>'
GRAPH = TopicGraph.from_links(["Logic", HOSTILE, "Set"], [0, 1, 2], [1, 2, 0], ["Mathematics", HOSTILE, "Mathematics"])
POINTS = "document.querySelectorAll('.scatterlayer .point').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def report(tmp_path: Path) -> Path:
    steps = [
        Expansion(0, 0, "Logic", (0,), (0,), 50, 50, 100, 3.5),
        Expansion(1, 1, HOSTILE, (1,), (1,), 50, 100, 100, 3.25, reward=1.0, reward_components={HOSTILE: 1.0}),
    ]
    seconds = {"research": 0.5, "learn": 6.0, "probe": 1.5, "exam": 2.0}
    summary = {"exam_loss_before": 4.0, "exam_loss_after": 3.0, "aulc": 3.625, "seconds_by_phase": seconds}
    run = RunData(HOSTILE, [(0, 4.0), (50, 3.5), (100, 3.0)], steps, (0,), (0, 1), summary)
    write_report(tmp_path / "report.html", HOSTILE, [run], GRAPH)
    return tmp_path / "report.html"


def visit(browser: Any, path: Path) -> Visit:
    visit = Visit(browser.new_page())
    visit.page.goto(path.resolve().as_uri())
    return visit


def test_a_report_draws_without_a_network(browser: Any, report: Path) -> None:
    seen = visit(browser, report)
    seen.wait_until(f"{POINTS} === 3 + 1 + 2 + 1")  # exams, rewards, learned topics, the frontier
    assert seen.page.locator(".legendtext").first.text_content() == HOSTILE
    seen.page.get_by_label("training loss").check()
    seen.wait_until("document.querySelector('[data-high]').textContent === '3.50'")
    assert not seen.page.evaluate("document.images.length")
    assert seen.asked == {report.resolve().as_uri()} and not seen.said


def test_traces_draw_without_a_network(browser: Any, tmp_path: Path) -> None:
    stats = trace_stats([Trace((0, 1, 2, 0), source=HOSTILE), Trace((0,), source="short")], GRAPH)
    write_trace_report(tmp_path / "traces.html", HOSTILE, stats)
    seen = visit(browser, tmp_path / "traces.html")
    seen.wait_until("document.querySelectorAll('.hm').length === 1")
    assert seen.page.locator(".legendtext").first.text_content() == HOSTILE
    assert not seen.page.evaluate("document.images.length") and not seen.said


@pytest.mark.parametrize("long", ["x" * 10_000, "長" * 10_000, "two words " * 1_000])
def test_a_long_title_makes_no_page_wide(browser: Any, tmp_path: Path, long: str) -> None:
    graph = TopicGraph.from_links(["Logic", long], [0, 1], [1, 0], [long, "Mathematics"])
    steps = [
        Expansion(0, 0, "Logic", (0,), (0,), 50, 50, 100, 3.5),
        Expansion(1, 1, long, (0, 1), (1,), 50, 100, 100, 3.25, reward=1.0, reward_components={"a": 1.0}),
    ]
    seconds = {"research": 0.5, "learn": 6.0, "probe": 1.5, "exam": 2.0}
    summary = {"exam_loss_before": 4.0, "exam_loss_after": 3.0, "aulc": 3.625, "seconds_by_phase": seconds}
    run = RunData(long, [(0, 4.0), (50, 3.5), (100, 3.0)], steps, (0,), (0, 1), summary)
    write_report(tmp_path / "report.html", long, [run], graph)
    stats = trace_stats([Trace((0, 1, 0, 1), source=long)], graph)
    write_trace_report(tmp_path / "traces.html", long, stats)
    for name, drawn in (("report.html", f"{POINTS} > 3"), ("traces.html", "document.querySelector('.hm') !== null")):
        seen = visit(browser, tmp_path / name)
        seen.wait_until(drawn)
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert seen.page.evaluate(width) == 0 and not seen.said
        assert long.strip() in seen.page.locator("h1").text_content()
        seen.page.close()


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Any, report: Path) -> None:
    """Even if markup were let in by mistake, the policy would stop its script."""
    text = report.read_text(encoding="utf-8")
    report.write_text(text.replace("<header>", "<header><script>window.hacked = 1</script>"), encoding="utf-8")
    seen = visit(browser, report)
    seen.wait_until(f"{POINTS} > 0")
    assert seen.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in said for said in seen.said)
