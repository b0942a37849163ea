"""The viewer's page in a real browser: it loads, plays, finds, follows, and runs nothing that a title says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Visit, chromium, visiting
from tests.support.made_runs import MadeRun, made_corpus, serving

pytestmark = pytest.mark.integration

TITLES = [f"Topic {i}" for i in range(300)]
HOSTILE = [
    "<img src=x onerror=\"document.title='hacked'\">",
    "</script><script>document.title='hacked'</script>",
    "\"><svg onload=document.title='hacked'>",
    "{{constructor.constructor('document.title=1')()}}",
    "javascript:document.title='hacked'",
    "Zero‮width\u202e",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def run(tmp_path: Path) -> MadeRun:
    made = MadeRun(tmp_path / "run", made_corpus(TITLES, 900))
    made.grow(12)
    return made


def well(visit: Visit) -> None:
    """Nothing was complained of, and nobody else was asked for anything."""
    assert visit.said == []
    assert visit.asked == {"127.0.0.1"}


def test_it_loads_and_plays(browser: Any, run: MadeRun) -> None:
    run.finish()
    with serving(run) as server, visiting(browser, server.url) as visit:
        assert visit.step() == 0
        before = visit.colours()
        visit.page.select_option("#speed", "30")
        visit.page.locator("body").press("Space")
        visit.wait_for_step(11)
        assert visit.page.get_attribute("#play", "aria-label") == "Play"  # it stops at the end of a finished run
        after = visit.colours()
        learned = {t for e in run.expansions[1:] for t in e.neighbourhood}
        assert all(before[t] != after[t] for t in learned)
        visit.page.locator("body").press("Home")
        assert visit.step() == 0
        assert visit.colours() == before
        well(visit)


def test_what_is_drawn_at_a_step_does_not_depend_on_the_way_there(browser: Any, run: MadeRun) -> None:
    with serving(run) as server, visiting(browser, server.url) as visit:
        for step in (3, 11, 0, 7, 5):
            visit.page.evaluate(f"kgrl.goTo({step})")
        wandered = visit.colours()
        visit.page.evaluate("kgrl.recolour()")  # writes everything anew
        assert visit.colours() == wandered
        kinds = visit.page.evaluate("Array.from(kgrl.runs[0].titles, (_, t) => kgrl.runs[0].state.kind(t))")
        learned = [t for e in run.expansions[1:6] for t in e.neighbourhood]
        assert [t for t, kind in enumerate(kinds) if kind == 4] == sorted(learned)
        counted = visit.page.evaluate("kgrl.runs[0].state.counts(5).frontier")
        assert counted == sum(kind == 1 for kind in kinds)
        well(visit)


def test_a_step_says_what_was_learned_scored_and_read(browser: Any, run: MadeRun) -> None:
    expansion = run.expansions[4]
    with serving(run) as server, visiting(browser, server.url) as visit:
        visit.page.evaluate("kgrl.goTo(4)")
        panel = visit.page.locator(".step")
        panel.locator(f"h3:text-is('{expansion.title}')").wait_for()
        assert panel.locator(".bars .picked .name").inner_text() == expansion.title
        assert panel.locator("blockquote p").all_inner_texts() == [
            f"All about Topic {t}." for t in expansion.neighbourhood
        ]
        assert "mean-prediction-gain" in panel.inner_text() and "-0.125" in panel.inner_text()
        widths = [box["width"] for box in (bar.bounding_box() for bar in panel.locator("ol .bar").all())]
        assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1]
        well(visit)


def test_long_titles_stay_within_the_page(browser: Any, tmp_path: Path) -> None:
    titles = [f"{i}{'x' * 10_000}" for i in range(60)]
    made = MadeRun(tmp_path / "run", made_corpus(titles, 200))
    made.grow(6)
    made.finish()
    with serving(made) as server, visiting(browser, server.url) as visit:
        visit.page.evaluate("kgrl.goTo(4)")
        visit.page.locator(".step h3").wait_for()
        # The panels scroll, but not sideways; nothing is cut off at the right of the window.
        sideways = """[...document.querySelectorAll("html, body, .panel, header, footer")]
            .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.tagName + e.className)"""
        assert visit.page.evaluate(sideways) == []
        assert visit.page.locator(".bars button.name").first.get_attribute("title") in titles
        well(visit)


def test_a_topic_is_found_by_keyboard_and_shows_its_history(browser: Any, run: MadeRun) -> None:
    expansion = run.expansions[6]
    topic = expansion.neighbourhood[1]
    with serving(run) as server, visiting(browser, server.url) as visit:
        visit.page.locator("body").press("/")
        visit.page.keyboard.type(f"TOPIC {topic}")
        visit.page.locator("#found [role=option][aria-selected=true]").wait_for()
        visit.page.keyboard.press("Enter")
        card = visit.page.locator(".topic")
        card.locator("h3").wait_for()
        assert card.locator("h3").inner_text() == f"Topic {topic}"
        assert f"Learned in step 6 in the neighbourhood of {expansion.title}." in card.inner_text()
        assert "On the frontier from step" in card.inner_text() and "Among the preferred" in card.inner_text()
        measured = sum(topic in e.probes["mean"].topics for e in run.expansions)
        assert card.locator("tbody tr").count() == measured
        visit.wait_until("!kgrl.runs[0].view.sigma.getCamera().isAnimated()")
        centre = visit.page.evaluate(
            f"""(() => {{ const sigma = kgrl.runs[0].view.sigma, camera = sigma.getCamera();
            const at = sigma.getNodeDisplayData("{topic}"); return [at.x - camera.x, at.y - camera.y]; }})()"""
        )
        assert centre == pytest.approx([0, 0], abs=1e-6)
        card.locator("button.step").first.focus()
        visit.page.keyboard.press("Enter")
        assert visit.step() == 6
        visit.page.locator("body").press("Escape")
        assert card.is_hidden()
        well(visit)


def test_everything_can_be_reached_by_tab(browser: Any, run: MadeRun) -> None:
    with serving(run) as server, visiting(browser, server.url) as visit:
        reached = []
        for _ in range(40):
            visit.page.keyboard.press("Tab")
            reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.className"))
            outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none" or reached[-1] == ""
        assert {"search", "colour", "theme", "panel", "play", "back", "on", "slider", "speed"} <= set(reached)
        unnamed = visit.page.evaluate(
            """[...document.querySelectorAll("button, input, select")].filter(
            (e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length)).length"""
        )
        assert unnamed == 0


def test_a_run_that_is_going_on_is_followed(browser: Any, run: MadeRun) -> None:
    with serving(run) as server, visiting(browser, server.url) as visit:
        assert visit.page.locator(".badge").inner_text().endswith("live")
        run.grow(2)
        visit.wait_until("document.getElementById('slider').max === '13'")
        assert visit.step() == 0  # whoever looks at an earlier step stays there
        visit.page.locator("body").press("End")
        run.grow(3)
        visit.wait_for_step(16)
        visit.page.locator(f".step h3:text-is('{run.expansions[16].title}')").wait_for()
        run.finish()
        visit.page.locator(".badge[data-state=finished]").wait_for()
        well(visit)


def test_a_run_that_went_back_is_shown_as_it_is_now(browser: Any, run: MadeRun) -> None:
    with serving(run) as server, visiting(browser, server.url) as visit:
        visit.page.locator("body").press("End")
        path = run.folder / "curriculum.jsonl"
        (run.folder / "new").write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
        (run.folder / "new").replace(path)
        visit.wait_until("document.getElementById('slider').max === '4'")
        assert visit.step() == 4
        well(visit)


def test_titles_and_texts_inject_nothing(browser: Any, tmp_path: Path) -> None:
    run = MadeRun(tmp_path / "<b>run", made_corpus([*HOSTILE, *TITLES[:40]], 120), neighbourhood=6)
    run.grow(5)
    with serving(run) as server, visiting(browser, server.url) as visit:
        for step in range(5):
            visit.page.evaluate(f"kgrl.goTo({step})")
            visit.page.locator(".step dd").first.wait_for()
        visit.page.evaluate("kgrl.goTo(0)")
        for title in HOSTILE:
            visit.page.locator("body").press("/")
            visit.page.locator("#search").fill(title)
            visit.page.locator("#found [role=option]").first.wait_for()
            visit.page.keyboard.press("Enter")
            visit.wait_until("(t) => document.querySelector('.topic h3')?.textContent === t", title)
            visit.page.locator("#search").blur()
        assert visit.page.locator(".chips button").all_text_contents() == HOSTILE
        foreign = "document.images.length + document.querySelectorAll('svg:not(.chart), main script').length"
        assert visit.page.evaluate(foreign) == 0
        assert visit.page.evaluate("document.scripts.length") == 1
        assert visit.page.title() == "kgrl view: <b>run"
        well(visit)


def test_inline_scripts_do_not_run(browser: Any, run: MadeRun) -> None:
    """Were markup let in by mistake, the page's policy would still keep it from running."""
    with serving(run) as server, visiting(browser, server.url) as visit:
        visit.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">')")
        visit.page.wait_for_timeout(300)
        assert visit.page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in said for said in visit.said)


def test_two_runs_share_a_slider_and_a_scale(browser: Any, tmp_path: Path) -> None:
    corpus = made_corpus(TITLES, 900)
    runs = [MadeRun(tmp_path / name, corpus, seed) for seed, name in enumerate(("first", "second"))]
    runs[0].grow(9)
    runs[1].grow(5)
    with serving(*runs) as server, visiting(browser, server.url) as visit:
        assert visit.page.locator("section.run h2").all_inner_texts() == ["first", "second"]
        visit.page.locator("#slider").focus()
        visit.page.keyboard.press("End")
        assert visit.page.locator("section.run").nth(0).get_attribute("data-step") == "8"
        assert visit.page.locator("section.run").nth(1).get_attribute("data-step") == "4"
        assert visit.page.evaluate("kgrl.runs[0].view.scale === kgrl.runs[1].view.scale")
        visit.page.evaluate("kgrl.select('Topic 7')")
        visit.wait_until("document.querySelectorAll('.topic:not([hidden])').length === 2")
        cameras = "kgrl.runs.map((run) => run.view.sigma.getCamera().getState())"
        visit.wait_until("!kgrl.runs.some((run) => run.view.sigma.getCamera().isAnimated())")
        first, second = visit.page.evaluate(cameras)
        assert first == second
        well(visit)


def test_runs_on_different_corpora_have_their_own_graphs(browser: Any, tmp_path: Path) -> None:
    one = MadeRun(tmp_path / "one", made_corpus(TITLES, 900))
    two = MadeRun(tmp_path / "two", made_corpus([f"Other {i}" for i in range(50)], 120))
    for run in (one, two):
        run.grow(4)
    with serving(one, two) as server, visiting(browser, server.url) as visit:
        assert visit.page.evaluate("kgrl.runs.map((run) => run.view.sigma.getGraph().order)") == [300, 50]
        visit.page.evaluate("kgrl.select('Other 3')")
        visit.page.locator("section.run:first-of-type .topic .quiet:has-text('does not have it')").wait_for()
        well(visit)


def test_light_and_dark(browser: Any, run: MadeRun) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with serving(run) as server, visiting(browser, server.url, "dark") as visit:
        dark, colours = visit.page.evaluate(ground), visit.colours()
        visit.page.locator("#theme").click()
        light = visit.page.evaluate(ground)
        assert sum(map(int, re.findall(r"\d+", light))) > sum(map(int, re.findall(r"\d+", dark))) + 400
        assert visit.colours() != colours
        visit.page.emulate_media(color_scheme="light")
        assert visit.page.evaluate(ground) == light
        well(visit)


def test_a_run_without_scores_says_so(browser: Any, run: MadeRun) -> None:
    (run.folder / "choices.jsonl").unlink()
    with serving(run) as server, visiting(browser, server.url) as visit:
        visit.page.evaluate("kgrl.goTo(3)")
        visit.page.locator(".step .quiet:has-text('before scores were recorded')").wait_for()
        well(visit)


def test_ten_thousand_topics_and_sixty_thousand_links(browser: Any, tmp_path: Path) -> None:
    """All are drawn, and a step writes few of them anew; benchmarks/viewer.py says how smooth that is."""
    run = MadeRun(tmp_path / "large", made_corpus([f"Topic {i}" for i in range(10_000)], 68_500), neighbourhood=8)
    run.grow(300)
    with serving(run) as server, visiting(browser, server.url) as visit:
        assert visit.page.evaluate("kgrl.runs[0].view.sigma.getGraph().size") > 60_000
        written = visit.page.evaluate(
            """async () => {
              const view = kgrl.runs[0].view, look = view.sigma.refresh;
              let written = 0;
              view.sigma.refresh = (o) => { written += o.partialGraph.nodes.length; return look.call(view.sigma, o); };
              for (let step = 1; step <= 30; step++) {
                view.show(step);
                await new Promise(requestAnimationFrame);
              }
              view.sigma.refresh = look;
              return written / 30;
            }"""
        )
        assert 0 < written < 1_000
        visit.page.select_option("#speed", "30")
        visit.page.evaluate("kgrl.goTo(1), kgrl.play(true)")
        visit.wait_for_step(100)
        well(visit)


def interruptible() -> None:
    """Let Ctrl-C reach a child: whatever runs in the background ignores it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_real_run_is_followed_by_the_real_command(browser: Any, tmp_path: Path) -> None:
    kgrl = [str(Path(sys.executable).with_name("kgrl"))]
    # Long enough that it is still going when the page is there, however slowly that opens.
    setting = ["--corpus", "invented:200", "--learner", "scratch", "--agent", "closure", "--budget-tokens", "15000"]
    sizes = ["--expansion-tokens", "150", "--neighbourhood", "1", "--exam-topics", "8", "--probe-topics", "8"]
    setting += ["--reward", "mean-prediction-gain"]
    folder, log = tmp_path / "run", tmp_path / "log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as out:
        running = subprocess.Popen([*kgrl, "run", *setting, *sizes, "--out", str(folder)], stdout=out, stderr=out)
        while not (folder / "curriculum.jsonl").exists() or not (folder / "curriculum.jsonl").read_text():
            assert running.poll() is None, log.read_text()
            time.sleep(0.2)
        command = [*kgrl, "view", str(folder), "--no-browser"]
        viewing = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=out, text=True, env=environment, preexec_fn=interruptible
        )
    assert viewing.stdout is not None
    url = next(match[0] for line in viewing.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+/", line)))
    try:
        with visiting(browser, url) as visit:
            visit.page.locator("body").press("End")
            visit.wait_for_step(visit.step() + 3)
            assert running.wait(timeout=300) == 0, log.read_text()
            visit.page.locator(".badge[data-state=finished]").wait_for()
            visit.page.locator(".step .bars .picked").wait_for()
            well(visit)
    finally:
        running.kill()
        running.wait()
        viewing.send_signal(signal.SIGINT)
        try:
            viewing.communicate(timeout=60)
        finally:
            viewing.kill()
    assert viewing.returncode == 0
