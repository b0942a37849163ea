"""Executors: every one gives the same results and errors, and says whose worker died."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kgrl.errors import KgrlError, MissingDataError, SettingError, UnknownNameError
from kgrl.system.executors import executors

# Worker processes import what they carry out, so it stands in a module of its own.
MODULE = """
import os
import signal
from dataclasses import dataclass

import torch

from kgrl.errors import UnknownNameError


@dataclass(frozen=True)
class Numbered:
    number: int

    @property
    def name(self):
        return f"task-{self.number}"


def scaled(factor, task):
    return task.name, factor * task.number, os.getpid(), torch.get_num_threads()


def refused(factor, task):
    if task.number == 2:
        raise UnknownNameError("layer", "query", ["q_proj"])
    return task.number


def killed(factor, task):
    if task.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.number
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module above, where this process and those it starts find it."""
    (tmp_path / "work_of_executors.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("work_of_executors")
    del sys.modules["work_of_executors"]


def test_serial_keeps_the_order_and_this_process(work: Any) -> None:
    results = list(executors.make("serial", workers=2).map(work.scaled, 10, [work.Numbered(n) for n in (3, 1, 2)]))
    assert [result[:3] for result in results] == [(f"task-{n}", 10 * n, os.getpid()) for n in (3, 1, 2)]


def test_processes_are_reused_and_have_one_thread(work: Any) -> None:
    torch.set_num_threads(2)  # put back by the fixture that all tests have
    results = list(executors.make("process", workers=2).map(work.scaled, 10, [work.Numbered(n) for n in range(6)]))
    assert sorted(result[:2] for result in results) == [(f"task-{n}", 10 * n) for n in range(6)]
    pids = {pid for _, _, pid, _ in results}
    assert 1 <= len(pids) <= 2 and os.getpid() not in pids
    assert {threads for *_, threads in results} == {1}


@pytest.mark.parametrize("name", ["serial", "process"])
def test_no_tasks_give_no_results(name: str, work: Any) -> None:
    assert list(executors.make(name, workers=2).map(work.scaled, 1, [])) == []


@pytest.mark.parametrize("name", ["serial", "process"])
def test_an_error_begins_with_the_tasks_name(name: str, work: Any) -> None:
    tasks = [work.Numbered(number) for number in (1, 2, 3)]
    with pytest.raises(KgrlError, match=r"^task-2: unknown layer 'query'.*q_proj"):
        list(executors.make(name, workers=1).map(work.refused, 0, tasks))


def test_a_worker_that_dies_is_named_by_its_task(work: Any) -> None:
    with pytest.raises(KgrlError, match=r"^task-2: its worker process died"):
        list(executors.make("process", workers=2).map(work.killed, 0, [work.Numbered(n) for n in (1, 2, 3)]))


@pytest.mark.parametrize("name", ["serial", "process", "ray"])
def test_no_worker_is_no_executor(name: str) -> None:
    with pytest.raises(SettingError, match="at least 1 worker"):
        executors.make(name, workers=0)


@pytest.mark.parametrize(
    ("name", "expected"), [("serial", "SerialExecutor()"), ("process", "ProcessExecutor(workers=3)")]
)
def test_reprs_are_the_expressions_that_make_executors(name: str, expected: str) -> None:
    assert repr(executors.make(name, workers=3)) == expected


def test_an_unknown_executor_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'process'"):
        executors.make("proces")


def test_ray_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDataError, match=r'pip install "kgrl\[ray\]"'):
        executors.make("ray")
