"""The page's script without a browser: what a topic is at each step, and what is written about it. Needs Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kgrl.viewer
from kgrl.curriculum import Curriculum
from kgrl.viewer import ShownRun
from tests.curriculum.test_knowledge import KNOWING
from tests.viewer.test_viewer import KINDS, Knowing

_STUB = """
// As much of a document as the panel needs: elements that know their text.
class Made {
  constructor() { this.parts = []; }
  set textContent(text) { this.parts = [text]; }
  get textContent() { return this.parts.map((part) => part.textContent ?? String(part)).join(""); }
  append(...parts) { this.parts.push(...parts); }
  replaceChildren(...parts) { this.parts = parts; }
  setAttribute() {}
  addEventListener() {}
}
globalThis.document = { createElement: () => new Made(), createElementNS: () => new Made() };
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Any]:
    """Runs lines of JavaScript beside the page's modules, and returns what they `print`."""
    if shutil.which("node") is None:
        pytest.skip("needs Node")
    for path in (Path(kgrl.viewer.__file__).parent / "static").glob("*.js"):
        if path.name != "graph.min.js":
            text = path.read_text(encoding="utf-8").replace('from "/static/', 'from "./').replace('.js";', '.mjs";')
            (tmp_path / path.with_suffix(".mjs").name).write_text(text, encoding="utf-8")

    def run(lines: str) -> Any:
        code = f"{_STUB}const print = (value) => console.log(JSON.stringify(value));\n{lines}"
        (tmp_path / "main.mjs").write_text(code, encoding="utf-8")
        done = subprocess.run(["node", tmp_path / "main.mjs"], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def knowing(make_tiny_curriculum: Callable[..., Curriculum], tmp_path: Path) -> Knowing:
    return Knowing(tmp_path / "knowing", make_tiny_curriculum(None, **KNOWING), "random")


def test_kinds_do_not_depend_on_the_way_to_a_step(script: Callable[[str], Any], knowing: Knowing) -> None:
    shown = ShownRun(knowing.folder, knowing.corpus)
    steps, titles = shown.steps(0, None)["steps"], list(knowing.corpus.graph.titles)
    way = [3, len(steps) - 1, 0, len(steps) // 2]
    told = script(f"""
        const {{ CurriculumState, KIND }} = await import("./curriculum.mjs");
        const state = new CurriculumState({{ titles: {json.dumps(titles)} }});
        state.append({json.dumps(steps)});
        const seen = {json.dumps(way)}.map((step) => {{
          state.moveTo(step);
          return [Array.from(state.kinds), step, Array.from(state.kinds, (_, t) => state.kind(t))];
        }});
        print({{ kinds: KIND, seen, nucleus: [...state.nucleus], solidified: [...state.solidified(0, state.last)] }});
    """)
    assert [name for name in told["kinds"] if name != "nucleus"] == list(KINDS)
    for step, (kinds, _, marked) in zip(way, told["seen"], strict=True):
        for name, expected in knowing.kinds[step].items():
            if name in KINDS:
                assert {t for t, kind in enumerate(kinds) if kind == KINDS.index(name)} == expected, (name, step)
        nucleus = {t for t, kind in enumerate(marked) if kind == told["kinds"]["nucleus"]}
        assert nucleus == knowing.kinds[step]["solid"] & set(knowing.nucleus.tolist())
    changed = {t for step in steps[1:] for t, _ in step["kinds"]}
    assert (
        {t for kinds in knowing.kinds[1:] for t in kinds["solid"] ^ knowing.kinds[0]["solid"]}
        <= set(told["solidified"])
        <= changed
    )


@pytest.mark.parametrize(
    ("knows", "history", "said"),
    [
        (
            True,
            {"read": [3, 5, 9, 20], "within": 0, "picked": [3, 9], "solid": [[9, 14]]},
            "Read first in step 3; it was picked; read 4 times, last in step 20. Picked 2 times: in step 3, step 9."
            "Solid from step 9, faded in step 14.",
        ),
        (
            True,
            {"read": [0], "within": 1, "picked": [], "solid": [[0, 4], [8, None]]},
            "Read first in step 0 with the nucleus.Solid from step 0, faded in step 4; solid again since step 8.",
        ),
        (
            True,
            {"read": [2], "within": 1, "picked": [], "solid": []},
            "Read first in step 2 in the neighbourhood of b.Not solid so far.",
        ),
        (True, {"read": [], "within": None, "picked": [], "solid": []}, "Not read so far.Never solid."),
        (False, {"read": [4], "within": 0, "picked": [4], "solid": [[4, None]]}, "Learned in step 4; it was picked."),
        (False, {"read": [], "within": None, "picked": [], "solid": []}, "Not learned so far."),
    ],
)
def test_the_history_of_a_topic_is_told(
    script: Callable[[str], Any], knows: bool, history: dict[str, Any], said: str
) -> None:
    full = {"topic": 0, "found": None, "measured": [], "scores": [], **history}
    told = script(f"""
        const {{ drawTopic }} = await import("./panel.mjs");
        const article = document.createElement("article"), history = {json.dumps(full)};
        drawTopic(article, {{ history, knowing: {json.dumps(knows)}, title: "a", titles: ["a", "b"] }});
        print(article.textContent);
    """)
    assert told == f"×a{said}It was never on the frontier.Its loss was never measured."


def test_a_step_tells_what_became_solid_and_what_faded(script: Callable[[str], Any], knowing: Knowing) -> None:
    shown, titles = ShownRun(knowing.folder, knowing.corpus), knowing.corpus.graph.titles
    faded = next(s.index for s in knowing.steps if shown.step(s.index)["faded"])
    step = shown.step(faded) | {"solid": shown.step(0)["neighbourhood"]}
    told = script(f"""
        const {{ drawStep }} = await import("./panel.mjs");
        const article = document.createElement("article"), counts = {{ read: 9, solid: 5, faded: 2, frontier: 7 }};
        const titles = {json.dumps(list(titles))};
        const made = {{ step: {json.dumps(step)}, titles, counts, exams: [], scores: "yes" }};
        const texts = [true, false].map((knowing) => {{
          drawStep(article, {{ ...made, knowing }});
          return article.textContent;
        }});
        print(texts);
    """)
    now, gone = ("".join(titles[t] for t in step[name]) for name in ("solid", "faded"))
    assert f"Solid since this step{now}Faded in this step{gone}" in told[0]
    assert "read9 topicssolid5 topicsfaded2 topicsfrontier7 topics" in told[0]
    assert "learned5 topicsfrontier7 topics" in told[1] and "Faded" not in told[1]
