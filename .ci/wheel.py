"""Try a wheel of kgrl as somebody who installed it: python .ci/wheel.py WHEEL.

The wheel is installed into a new virtual environment outside the checkout. To save minutes, that environment sees the
dependencies of the one that runs this script, by a .pth file. Python does not read the .pth files of a folder that was
itself added by one, so the checkout's editable kgrl stays out of sight.

Each step prints what it did; the first one that fails ends the script with its output.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

_LIMIT_SECONDS = 600
_RUN = ("--corpus", "invented:120", "--learner", "scratch", "--budget-tokens", "2000")
"""A run of seconds, on a corpus that is made up: nothing is downloaded."""

_IMPORTS = """
import kgrl, kgrl.data, kgrl.envs
from kgrl.agents import make_agent
make_agent("curiosity")  # whose weights are files of the wheel
print(kgrl.__file__)
"""

_STEP = """
import gymnasium
env = gymnasium.make("kgrl:kgrl/Curriculum-v0", corpus="invented:120", learner="scratch", budget_tokens=2_000)
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample(mask=info["action_mask"]))
assert env.observation_space.contains(observation)
print("reward", reward)
"""

# References of the viewer's files to one another: attributes of HTML, imports of JavaScript, addresses of CSS.
_REFERENCES = re.compile(r"""(?:(?:href|src)=|\bfrom\s*|\bimport\s*\(?\s*|url\()["']?([./][^"'\s)>]+)""")


class StepError(Exception):
    """A step that failed, with what it printed."""


class Installed:
    """A wheel in a virtual environment of its own.

    Args:
        wheel: The wheel.
        folder: An empty folder for the environment, and for what the steps write.
    """

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.folder, self.root = folder, folder / "venv"
        venv.create(self.root, with_pip=False, symlinks=True)
        self.bin = self.root / ("Scripts" if os.name == "nt" else "bin")
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        self.call([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel.resolve())])
        # After pip, which would otherwise find the checkout's kgrl there and leave the wheel out.
        here = {"base": str(self.root), "platbase": str(self.root)}
        site = Path(sysconfig.get_path("purelib", vars=here))
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def python(self, code: str) -> str:
        """Run a program with the environment's Python and return what it printed."""
        return self.call([str(self.bin / "python"), "-c", code])

    def kgrl(self, *arguments: str) -> str:
        """Run the command and return what it printed."""
        return self.call([str(self.bin / "kgrl"), *arguments])

    def call(self, command: list[str]) -> str:
        """Run a program in the folder, without the caller's search path, and return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise StepError(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment variables, without those that would show Python another kgrl."""
        return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}

    @contextmanager
    def viewing(self, run: Path) -> Iterator[str]:
        """Serve a run's viewer, and give its address."""
        command = [str(self.bin / "kgrl"), "view", str(run), "--no-browser"]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server:
            assert server.stdout is not None
            said = []
            try:
                for line in server.stdout:
                    said.append(line)
                    if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                        yield found[0]
                        return
                raise StepError(f"{' '.join(command)}\nended without an address:\n{''.join(said)}")
            finally:
                server.send_signal(signal.SIGTERM)


def try_imports(installed: Installed) -> str:
    """Import kgrl, and make an agent with weights."""
    place = Path(installed.python(_IMPORTS).strip())
    if installed.root.resolve() not in place.resolve().parents:
        raise StepError(f"this is not the wheel's kgrl: {place}")
    return f"from {place.parent}"


def try_info(installed: Installed) -> str:
    """Show what there is: kgrl info."""
    said = installed.kgrl("info")
    if "curiosity" not in said or "ppo-coverage" not in said:
        raise StepError(f"agents or recipes are missing:\n{said}")
    return f"{len(said.splitlines())} lines"


def try_run(installed: Installed) -> str:
    """Carry out a run of 2,000 tokens: kgrl run."""
    installed.kgrl("run", *_RUN, "--out", "run")
    if not (installed.folder / "run/result.json").is_file():
        raise StepError("the run has no result.json")
    return "run/result.json"


def try_report(installed: Installed) -> str:
    """Read the run's report."""
    page = (installed.folder / "run/report.html").read_text(encoding="utf-8")
    missing = [part for part in ("plotly.js v", "--ground:", "Plotly.newPlot", 'class="figure"') if part not in page]
    if missing:
        raise StepError(f"the report lacks {', '.join(missing)}")
    return f"{len(page) / 1e6:.1f} MB"


def try_viewer(installed: Installed) -> str:
    """Fetch the viewer's page, the files that it names, and the run: kgrl view."""
    with installed.viewing(installed.folder / "run") as address:
        wanted, fetched = [address, *(urljoin(address, f"api/{name}") for name in ("runs", "runs/0/graph"))], set[str]()
        while wanted:
            url = wanted.pop()
            text = _fetched(url)
            fetched.add(url)
            # The graph's titles may look like references; nothing that the API answers is one.
            named = [] if "/api/" in url else [urljoin(url, name) for name in _REFERENCES.findall(text)]
            wanted += [name for name in named if name not in fetched and name.startswith(f"{address}static/")]
    kinds = {url.rsplit(".", 1)[-1] for url in fetched}
    if not {"js", "css", "svg"} <= kinds:
        raise StepError(f"the page names no script, style or icon, only {sorted(fetched)}")
    return f"{len(fetched)} files and answers"


def _fetched(url: str) -> str:
    try:
        with urlopen(url, timeout=60) as answer:
            text: str = answer.read().decode()
    except OSError as error:  # refused by the server, or not answered
        raise StepError(f"{url}: {error}") from error
    return text


def try_environment(installed: Installed) -> str:
    """Take one step in the environment: gymnasium.make."""
    return installed.python(_STEP).strip()


STEPS: tuple[Callable[[Installed], str], ...] = (
    try_imports,
    try_info,
    try_run,
    try_report,
    try_viewer,
    try_environment,
)


def main() -> None:
    """Try the wheel that the command line names."""
    (wheel,) = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(wheel, Path(folder))
        for step in STEPS:
            began = time.monotonic()
            try:
                found = step(installed)
            except (StepError, OSError, subprocess.TimeoutExpired) as error:
                sys.exit(f"the wheel fails: {step.__doc__}\n{error}")
            print(f"{step.__doc__} {found} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
