"""The learner on Accelerate in several processes: the losses of one, kills, and what is refused."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kgrl.corpus import Corpus
from kgrl.data import save_folder
from kgrl.runs import Run
from kgrl.runs.records import read_metrics
from tests.support.on_processes import lessons

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
REWARD = ROOT / "tests" / "support" / "killing_reward.py"
SHARDED = {
    "ACCELERATE_TORCH_DEVICE": "cpu",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "LlamaDecoderLayer",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(cpu: bool, **more: str) -> dict[str, str]:
    """The variables of a launch; each process computes on one thread."""
    use = {"ACCELERATE_USE_CPU": "true"} if cpu else {}
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **use, **more}


def launched(processes: int, *arguments: str, cpu: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Let `accelerate launch` start a module of Python."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", f"--num_processes={processes}"]
    launcher += [f"--main_process_port={free_port()}", "--num_machines=1", "--mixed_precision=no"]
    launcher += ["--dynamo_backend=no", "-m", *arguments]
    return subprocess.run(launcher, env=environment(cpu, **more), capture_output=True, text=True, check=False, cwd=ROOT)


def taught(processes: int, folder: Path, base: Path, *options: str, **more: str) -> dict[str, Any]:
    """The lessons of `tests.support.on_processes` in so many processes, without a launcher, which is quicker."""
    port, command = str(free_port()), [sys.executable, "-m", "tests.support.on_processes", str(folder), str(base)]
    started = []
    for rank in range(processes):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **own, **more}
        env = environment("--sharded" not in options, **place)
        started.append(subprocess.Popen([*command, *options], env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True))
    try:
        ends = [(process.communicate(timeout=300)[1], process.returncode) for process in started]
    finally:  # one that hangs would hold up all tests
        for process in started:
            process.kill()
    assert [code for _, code in ends] == [0] * processes, ends
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def compared(found: dict[str, Any], other: dict[str, Any], **tolerance: float) -> None:
    """Compare the losses that both have."""
    for kind, own in found.items():
        for name in own.keys() & other[kind].keys() - {"processes", "again"}:
            np.testing.assert_allclose(own[name], other[kind][name], err_msg=f"{kind}, {name}", **tolerance)


@pytest.fixture(scope="module")
def alone(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The lessons in this process."""
    return lessons(tmp_path_factory.mktemp("alone"), str(base_folder), resume=False)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what three processes save, which two tests read."""
    return tmp_path_factory.mktemp("three")


@pytest.fixture(scope="module")
def by_three(base_folder: Path, state: Path) -> dict[str, Any]:
    """The lessons in three processes."""
    return taught(3, state, base_folder)


def test_two_processes_have_the_losses_of_one(alone: dict[str, Any], base_folder: Path, tmp_path: Path) -> None:
    check_lessons(taught(2, tmp_path, base_folder), 2, alone)


def test_three_processes_have_the_losses_of_one(alone: dict[str, Any], by_three: dict[str, Any]) -> None:
    check_lessons(by_three, 3, alone)


def check_lessons(found: dict[str, Any], processes: int, alone: dict[str, Any]) -> None:
    assert all(own["processes"] == processes and own["again"] for own in found.values())
    # Float32 has 24 bits, and gradients are added in another order.
    compared(found, alone, rtol=1e-5)
    assert all(own["restored"] == own["before"] for own in found.values())


def test_a_state_continues_bit_for_bit_and_with_other_numbers_of_processes(
    by_three: dict[str, Any], base_folder: Path, state: Path
) -> None:
    compared(taught(3, state, base_folder, "--resume"), by_three, rtol=0)
    compared(lessons(state, str(base_folder), resume=True), by_three, rtol=1e-5)


def test_weights_that_are_spread_have_the_same_losses(alone: dict[str, Any], base_folder: Path, tmp_path: Path) -> None:
    found = taught(2, tmp_path, base_folder, "--sharded", **SHARDED)
    check_lessons(found, 2, alone)
    # What spread weights saved is read by one process.
    compared(lessons(tmp_path, str(base_folder), resume=True), found, rtol=1e-5)


@pytest.fixture
def run_arguments(tiny_corpus: Corpus, base_folder: Path, tmp_path: Path) -> list[str]:
    save_folder(tiny_corpus, tmp_path / "corpus")
    named = {"corpus": tmp_path / "corpus", "model": base_folder, "reward": f"{REWARD}:deadly", "probe-topics": 4}
    named |= {"learner": "accelerate:rank=4", "agent": "random", "budget-tokens": 900, "expansion-tokens": 200}
    named |= {"exam-topics": 4}
    return ["run", *(part for name, value in named.items() for part in (f"--{name}", str(value)))]


def test_a_killed_process_ends_all_and_the_run_can_be_resumed(run_arguments: list[str], tmp_path: Path) -> None:
    killed = launched(2, "kgrl", *run_arguments, "--out", str(tmp_path / "killed"), KGRL_KILL="2")
    assert killed.returncode != 0
    # Process 0 notices by its connection, or is ended by the launcher, whichever comes first.
    assert re.search(r"continue (the run with|with: kgrl run) --resume", killed.stderr), killed.stderr
    before = Run.read_expansions(tmp_path / "killed")
    assert len(before) == 2  # the third was not recorded: its reward is what killed
    resumed = launched(3, "kgrl", "run", "--resume", str(tmp_path / "killed"))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("exam loss after") == 1  # process 0 alone prints
    plain = [sys.executable, "-m", "kgrl", *run_arguments, "--out", str(tmp_path / "alone")]
    subprocess.run(plain, env=environment(cpu=True), check=True, cwd=ROOT)
    one, other = (tmp_path / name for name in ("killed", "alone"))
    assert [e.topic for e in Run.read_expansions(one)] == [e.topic for e in Run.read_expansions(other)]
    losses = [[m["exam_loss"] for m in read_metrics(run / "metrics.jsonl") if "exam_loss" in m] for run in (one, other)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert (one / "adapters" / "curriculum" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("cpu", "learner", "message"),
    [
        (False, "accelerate", "2 processes were launched for devices that are not there; torch finds cpu here"),
        (True, "lora", "the learner lora computes in one process, and 2 were launched"),
    ],
)
def test_launches_that_cannot_work_say_why(
    cpu: bool, learner: str, message: str, run_arguments: list[str], tmp_path: Path
) -> None:
    done = launched(2, "kgrl", *run_arguments, "--learner", learner, "--out", str(tmp_path / "run"), cpu=cpu)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run").exists()
