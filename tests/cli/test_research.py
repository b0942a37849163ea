"""`kgrl research run` on a real site: pages come while it trains, and the record is enough to repeat it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kgrl.cli import main
from kgrl.research import ResearchQueue
from kgrl.runs import Run
from tests.support.mediawiki import MediaWikiServer
from tests.support.redis_server import RedisServer, why_no_redis

_TOPICS = 120


def _page(number: int) -> str:
    links = " ".join(f"[[Topic {(number * step + 1) % _TOPICS}]]" for step in (2, 3, 5, 7))
    words = ["river", "stone", "number", "proof", "engine", "planet", "letter", "forest", "market", "signal"]
    sentences = (
        f"The {words[(number + k) % 10]} of topic {number} meets {words[(number * k) % 10]} {k} in the {words[k % 10]}."
        for k in range(40)
    )
    return f"{' '.join(sentences)} {links} [[Category:Group {number % 3}]]"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaWikiServer]:
    pages = {f"Topic {number}": _page(number) for number in range(_TOPICS)}
    pages["The first topic"] = "#REDIRECT [[Topic 1]]"
    with MediaWikiServer(tmp_path_factory.mktemp("wiki"), pages) as server:
        yield server


@pytest.fixture(autouse=True)
def _own_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this site's pages from other tests: another site may have its port later."""
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))


def _run(site: MediaWikiServer, folder: Path, *more: str) -> list[str]:
    sizes = ["--budget-tokens", "9000", "--expansion-tokens", "300", "--first-topics", "16", "--ahead", "16"]
    where = ["--url", site.api_url, "--rate", "200", "--nucleus", "The first topic", "Topic 2", "--learner", "scratch"]
    return ["research", "run", *where, *sizes, "--out", str(folder), *more]


def _wait_until(happened: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.integration
def test_a_run_learns_while_pages_come_and_can_be_repeated(site: MediaWikiServer, tmp_path: Path) -> None:
    folder, result = tmp_path / "run", tmp_path / "out.json"
    assert main([*_run(site, folder), "--json", str(result)]) == 0
    figures, steps = json.loads(result.read_text()), Run.read_expansions(folder)
    assert figures["exam_loss_after"] < figures["exam_loss_before"]
    arrived = [step.arrived or 0 for step in steps]
    assert arrived[0] >= 16 and arrived[-1] > arrived[0] and arrived == sorted(arrived)
    assert all(0 <= step.data_age < 600 for step in steps)
    assert (folder / "report.html").is_file()
    assert main(["research", "replay", str(folder), "--json", str(result)]) == 0
    assert json.loads(result.read_text()) == {"folder": str(folder), "expansions": len(steps), "same": len(steps)}
    assert main(["research", "status", str(folder), "--json", str(result)]) == 0
    assert json.loads(result.read_text())["arrived"] >= arrived[-1]


@pytest.mark.integration
def test_a_run_that_is_killed_goes_on(site: MediaWikiServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    kgrl = str(Path(sys.executable).with_name("kgrl"))
    process = subprocess.Popen([kgrl, *_run(site, folder)], start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint" / "latest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = Run.read_expansions(folder)
    assert main(["research", "run", "--resume", str(folder)]) == 0
    after = Run.read_expansions(folder)
    kept = json.loads((folder / "checkpoint" / "latest.json").read_text())["index"] if len(after) == len(before) else 0
    assert after[: min(len(before), kept or 1)] == before[: min(len(before), kept or 1)]
    assert after[-1].tokens_total > 8_000
    assert main(["research", "replay", str(folder), "--json", str(tmp_path / "replay.json")]) == 0
    assert json.loads((tmp_path / "replay.json").read_text())["same"] == len(after)


@pytest.mark.integration
@pytest.mark.skipif(why_no_redis() is not None and not os.environ.get("CI"), reason="needs a Redis")
def test_workers_elsewhere_serve_a_run_through_a_redis_that_restarts(site: MediaWikiServer, tmp_path: Path) -> None:
    kgrl, folder = str(Path(sys.executable).with_name("kgrl")), tmp_path / "run"
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis") as redis:
        queue = ResearchQueue.open(redis.url)
        with subprocess.Popen([kgrl, *_run(site, folder, "--queue", redis.url, "--workers", "0")]) as run:
            _wait_until(lambda: bool(queue.settings))
            with subprocess.Popen([kgrl, "research", "worker", redis.url], stdout=subprocess.DEVNULL) as worker:
                _wait_until(lambda: queue.status().arrived > 2)
                redis.stop(kill=True)
                time.sleep(1.0)
                redis.start()
                code = run.wait(timeout=240)
                worker.kill()
        assert code == 0
    steps = Run.read_expansions(folder)
    assert steps[-1].tokens_total > 8_000
    assert len(set((folder / "pages.jsonl").read_text().splitlines())) >= (steps[-1].arrived or 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--learner", "scratch"], "a live run starts from titles"),
        (["run", "--nucleus", "about:tides"], "a live run begins at titles, and its goal is a category"),
        (["run", "--nucleus", "Logic", "--goal", "Set", "Number"], "a live run begins at titles"),
        (["replay", "nowhere"], "nowhere holds no live run"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["research", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
