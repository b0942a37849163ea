"""The benchmark's page in a real browser: it draws, lists curricula as text, and asks nothing of the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.benchmark.report.page import write_benchmark_report
from tests.support.benchmark_results import write_benchmark
from tests.support.browser import Visit, chromium

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.mark.integration
def test_the_page_works_without_a_network(tmp_path: Path) -> None:
    write_benchmark(tmp_path, agents=["random", "<i>own</i>", "oracle"], titles=[HOSTILE])
    url = write_benchmark_report(tmp_path).resolve().as_uri()
    with chromium() as browser:
        visit = Visit(browser.new_page())
        visit.page.goto(url)
        curve = ".figure .scatterlayer .trace"
        visit.page.locator("#curves").scroll_into_view_if_needed()
        visit.page.wait_for_selector(f"#curves {curve}")
        # A line and its band for each of three agents; a box that is emptied by the keyboard takes both away.
        visit.wait_until(f"document.querySelectorAll('#curves {curve}').length === 6")
        visit.page.locator("#curves input[value='<i>own</i>']").press("Space")
        visit.wait_until(f"document.querySelectorAll('#curves {curve}').length === 4")
        visit.page.locator("#curricula summary").first.press("Enter")
        visit.page.locator("#curricula details details summary").first.press("Enter")
        visit.page.locator("#curricula details[data-cell] summary").first.press("Enter")
        visit.wait_until("document.querySelectorAll('#curricula ol li').length === 5")
        assert HOSTILE in visit.page.locator("#curricula ol li").first.inner_text()
        assert not visit.page.evaluate("document.querySelectorAll('img, main i').length")
        assert visit.asked <= {url}
        assert not visit.said
