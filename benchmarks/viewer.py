"""Measure how smooth `kgrl view` is with 10,000 topics and 60,000 links, in a Chromium without a graphics card.

    python -m benchmarks.viewer --json docs/results/viewer.json

The graph has random links in communities, and the run is made up: 300 expansions of eight topics. Figures are the
seconds to open the page; the milliseconds of the script of a step and of a frame, which a graphics card does not make
shorter; and the frames per second while the run plays and while the view is dragged, which it does. For comparison,
frames are counted without anything drawn, too. It takes about a minute, needs Debian's package chromium, and runs from
the root of the repository.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgrl.system.files import write_json
from tests.support.browser import Visit, chromium, visiting
from tests.support.made_runs import MadeRun, made_corpus, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOPICS, LINKS, EXPANSIONS, NEIGHBOURHOOD = 10_000, 68_500, 300, 8
SECONDS = 5.0
STEP = """() => {
  const view = kgrl.runs[0].view;
  let begin = performance.now();
  for (let step = 1; step <= 200; step++) view.show(step);
  const step_ms = (performance.now() - begin) / 200;
  begin = performance.now();
  for (let i = 0; i < 20; i++) view.sigma.render();
  return { step_ms, frame_script_ms: (performance.now() - begin) / 20 };
}"""
FRAMES = """async (seconds) => {
  const times = [], end = performance.now() + 1000 * seconds;
  while (performance.now() < end) times.push(await new Promise(requestAnimationFrame));
  const gaps = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
  const at = (share) => gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))];
  const rate = 1000 * gaps.length / (times.at(-1) - times[0]);
  return { frames_per_second: rate, median_ms: at(0.5), slowest_tenth_ms: at(0.9) };
}"""
NOTHING = """() => {
  const sigma = kgrl.runs[0].view.sigma;
  sigma.setSetting("edgeReducer", () => ({ hidden: true }));
  sigma.setSetting("nodeReducer", () => ({ hidden: true, x: 0, y: 0 }));
}"""
DRAG = """() => {
  const camera = kgrl.runs[0].view.sigma.getCamera(), from = camera.getState();
  const move = (now) => {
    camera.setState({ x: from.x + 0.1 * Math.sin(now / 300), ratio: 0.5 + 0.2 * Math.cos(now / 500) });
    requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        os.environ["KGRL_CACHE"] = folder  # so that the layout is computed, not read from an earlier time
        run = MadeRun(Path(folder) / "run", made_corpus([f"Topic {i}" for i in range(TOPICS)], LINKS), 0, NEIGHBOURHOOD)
        run.grow(EXPANSIONS)
        figures = measure(browser, run)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if arguments.json:
        write_json(arguments.json, figures)


def measure(browser: Browser, run: MadeRun) -> dict[str, Any]:
    """Return the figures, in the units that their names end in."""
    with serving(run) as server:
        opened = [open_page(browser, server.url) for _ in range(2)]  # the layout is computed for the first
        with visiting(browser, server.url) as visit:
            links = visit.page.evaluate("kgrl.runs[0].view.sigma.getGraph().size")
            figures = {
                "topics": TOPICS,
                "links_drawn": links,
                "open_first_seconds": opened[0],
                "open_again_seconds": opened[1],
                **visit.page.evaluate(STEP),
                "playing": playing(visit),
                "processors": os.cpu_count(),
            }
            visit.page.evaluate(DRAG)  # goes on until the page is closed
            figures["dragging"] = visit.page.evaluate(FRAMES, SECONDS)
            visit.page.evaluate(NOTHING)  # the remaining time is the browser's own
            figures["dragging_nothing"] = visit.page.evaluate(FRAMES, SECONDS)
            return figures


def open_page(browser: Browser, url: str) -> float:
    """Return the seconds until the page is drawn."""
    began = time.perf_counter()
    with visiting(browser, url):
        return time.perf_counter() - began


def playing(visit: Visit) -> dict[str, float]:
    """Play at 30 steps per second; return the steps that came, and the frames."""
    visit.page.select_option("#speed", "30")
    began, first = time.perf_counter(), visit.page.evaluate("kgrl.goTo(1), kgrl.play(true), kgrl.step")
    frames: dict[str, float] = visit.page.evaluate(FRAMES, SECONDS)
    steps = (visit.step() - first) / (time.perf_counter() - began)
    visit.page.evaluate("kgrl.play(false)")
    return {"steps_per_second_of_30": steps, **frames}


if __name__ == "__main__":
    main()
