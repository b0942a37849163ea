"""A plug-in's way from its folder into a run, with a broken one beside it; and a reward of one's own in five lines."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BROKEN = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "kgrl-broken"
version = "0.3"

[tool.setuptools]
py-modules = ["kgrl_broken"]

[project.entry-points."kgrl.rewards"]
broken = "kgrl_broken:reward"
"""
SMALL = ("--learner", "scratch", "--budget-tokens", "1500", "--expansion-tokens", "500")

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def corpus_folder(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("corpus")
    save_folder(tiny_corpus, folder)
    return str(folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example and a package that cannot be imported."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "examples" / "plugin", folder / "example")  # building leaves files behind
    (folder / "broken").mkdir()
    (folder / "broken" / "pyproject.toml").write_text(BROKEN)
    (folder / "broken" / "kgrl_broken.py").write_text("import a_module_that_nobody_has\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    sources = [str(folder / "example"), str(folder / "broken")]
    done = subprocess.run([*pip, "--target", str(folder / "site"), *sources], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def kgrl(tmp_path: Path) -> Callable[..., Done]:
    """Runs the command in a process and a folder of its own: `kgrl(*arguments, site=folder of packages)`."""

    def run(*arguments: str, site: Path | None = None) -> Done:
        environment = {**os.environ, **({"PYTHONPATH": str(site)} if site else {})}
        command = [sys.executable, "-c", "import sys; from kgrl.cli import main; sys.exit(main())", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)

    return run


def rewards_of(run: Path) -> list[dict[str, float]]:
    lines = (run / "curriculum.jsonl").read_text().splitlines()
    return [json.loads(line)["reward_components"] for line in lines[1:]]


def test_info_lists_what_packages_add_and_what_is_broken(
    kgrl: Callable[..., Done], installed: Path, tmp_path: Path
) -> None:
    done = kgrl("info", "--json", "info.json", site=installed / "site")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "info.json").read_text())
    assert {"evenness", "relative-gain"} <= set(figures["known"]["rewards"]) and "even" in figures["known"]["agents"]
    states = {(p["kind"], p["name"]): (p["package"], p["error"]) for p in figures["plugged_in"]}
    assert states["agent", "even"] == states["reward", "evenness"] == ("kgrl-example 0.1.0", None)
    package, error = states["reward", "broken"]
    assert package == "kgrl-broken 0.3" and "a_module_that_nobody_has" in error
    assert "broken" not in figures["known"]["rewards"]
    warnings = [line for line in done.stderr.splitlines() if "kgrl-broken" in line]
    assert len(warnings) == 1 and "'broken'" in warnings[0] and "a_module_that_nobody_has" in warnings[0]


def test_a_run_uses_them_and_is_resumed_with_them(
    kgrl: Callable[..., Done], installed: Path, corpus_folder: str, tmp_path: Path
) -> None:
    expression = "relative-gain + 0.01*evenness"
    arguments = ("--corpus", corpus_folder, *SMALL, "--agent", "even", "--reward", expression, "--out", "run")
    done = kgrl("run", *arguments, site=installed / "site")
    assert done.returncode == 0, done.stderr
    assert "the reward 'broken' of the package kgrl-broken 0.3 is left out" in done.stderr
    parts = rewards_of(tmp_path / "run")
    assert parts and all(part.keys() == {"relative-gain", "evenness"} for part in parts)
    events = EventAccumulator(str(next((tmp_path / "run").rglob("events.out.tfevents.*")).parent))
    events.Reload()
    assert {"reward/total", "reward/relative-gain", "reward/evenness"} <= set(events.Tags()["scalars"])
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["reward"] == expression
    assert kgrl("run", "--resume", "run", site=installed / "site").returncode == 0


def test_a_broken_name_says_whose_it_is(kgrl: Callable[..., Done], installed: Path, corpus_folder: str) -> None:
    arguments = ("--corpus", corpus_folder, *SMALL, "--reward", "0.5*broken")
    done = kgrl("run", *arguments, site=installed / "site")
    assert done.returncode == 2
    assert "the reward 'broken' of the package kgrl-broken 0.3 is broken: ModuleNotFoundError" in done.stderr
    assert done.stderr.splitlines()[-2:] == ["  0.5*broken", "      ^"]


def test_its_own_tests_pass(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=installed / "example",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
    )
    assert done.returncode == 0, done.stdout


def of_readme() -> tuple[str, list[str]]:
    """The README's file and command for a reward of one's own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## A reward of your own")[1].split("\n## ")[0]
    code = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    commands = re.findall(r"^kgrl [^#\n]+", section, re.MULTILINE)
    assert len(code) == len(commands) == 1
    return code[0], shlex.split(commands[0])[1:]


def test_a_reward_of_five_lines_and_one_command(kgrl: Callable[..., Done], corpus_folder: str, tmp_path: Path) -> None:
    code, command = of_readme()
    assert len(code.splitlines()) <= 5
    (tmp_path / "my_reward.py").write_text(code)
    small = ("--corpus", corpus_folder, "--steps", "16", "--envs", "2", "--budget-tokens", "1500")
    done = kgrl(*command, *small, "--expansion-tokens", "300", "--out", "policy", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert "mean_return" in json.loads((tmp_path / "out.json").read_text())
    assert (tmp_path / "policy" / "policy.safetensors").is_file()


def test_a_run_with_a_reward_from_a_file_is_resumed(
    kgrl: Callable[..., Done], corpus_folder: str, tmp_path: Path
) -> None:
    (tmp_path / "my_reward.py").write_text(of_readme()[0])
    name = re.findall(r"^def (\w+)", of_readme()[0], re.MULTILINE)[0]
    arguments = ("--corpus", corpus_folder, *SMALL, "--reward", f"0.5*my_reward.py:{name}", "--out", "run")
    assert kgrl("run", *arguments).returncode == 0
    parts = rewards_of(tmp_path / "run")
    assert parts and all(part.keys() == {name} for part in parts)
    assert kgrl("run", "--resume", "run").returncode == 0
    (tmp_path / "my_reward.py").unlink()
    gone = kgrl("run", "--resume", "run")
    assert gone.returncode == 2 and f"there is no file {tmp_path / 'my_reward.py'}" in gone.stderr


def test_a_reward_that_fails_stops_the_run_and_says_where(
    kgrl: Callable[..., Done], corpus_folder: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def odd(expansion):\n    return float('nan')\n")
    done = kgrl("run", "--corpus", corpus_folder, *SMALL, "--reward", "mine.py:odd", "--out", "run")
    assert done.returncode == 2
    assert re.search(r"error: reward 'odd' returned nan at expansion 1 \(\w+\), not a finite number", done.stderr)
