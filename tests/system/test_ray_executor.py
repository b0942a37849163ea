"""Ray: a worker that is killed in the middle of a training costs time and changes nothing."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError, UnknownNameError
from kgrl.learners import ScratchLearner
from kgrl.learners.neighbourhoods import training as neighbourhoods
from kgrl.learners.neighbourhoods.training import NeighbourhoodResult, NeighbourhoodTask, train_neighbourhoods
from kgrl.system.executors import executors

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

TOKENS, SEED = 600, 3
PATIENCE = 600
"""Seconds until a test gives up: a busy machine takes minutes to start Ray and import PyTorch in its workers."""


@dataclass(frozen=True)
class Numbered:
    number: int

    @property
    def name(self) -> str:
        return f"task-{self.number}"


@pytest.fixture(autouse=True)
def _one_thread_as_workers_have() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def paused_once(folder: Path) -> Any:
    """Training that stops half-way through community 1 the first time, and says in `folder` which process it is."""

    # A function within a function is sent to Ray's workers as it is: they cannot import this module.
    def train(corpus: Corpus, task: NeighbourhoodTask) -> NeighbourhoodResult:
        import kgrl.learners.neighbourhoods.training as original
        from kgrl.learners.decoder.lora import LoraLearner

        learn = LoraLearner.learn

        def pause(learner: LoraLearner, passages: Any, tokens: int) -> Any:
            learn(learner, passages, tokens // 2)
            (folder / "pid.tmp").write_text(str(os.getpid()))
            (folder / "pid.tmp").rename(folder / "pid")
            time.sleep(PATIENCE)

        if task.community == 1 and not (folder / "pid").exists():
            LoraLearner.learn = pause  # type: ignore[method-assign]
        return original.train_neighbourhood(corpus, task)

    return train


def kill_when_announced(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (folder / "pid").exists():
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    (folder / "killed").touch()


def files(folder: Path) -> dict[str, bytes]:
    """PEFT's files of all adapters."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for pattern in ("adapter_config.json", "adapter_model.safetensors")
        for path in folder.glob(f"adapters/*/{pattern}")
    }


def test_a_killed_workers_neighbourhood_is_trained_again_to_the_same_bits(
    tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "tiny-llama"
    ScratchLearner(tiny_corpus, seed=9, width=32, heads=2, vocabulary=400).save(base)
    partition = np.arange(len(tiny_corpus.graph), dtype=np.int32) % 3
    settings: dict[str, Any] = {"tokens": TOKENS, "seed": SEED, "options": {"model": str(base), "dtype": "float32"}}
    undisturbed = train_neighbourhoods(tiny_corpus, partition, tmp_path / "serial", executor="serial", **settings)

    monkeypatch.setattr(neighbourhoods, "train_neighbourhood", paused_once(tmp_path))
    killer = threading.Thread(target=kill_when_announced, args=[tmp_path])
    killer.start()
    disturbed = train_neighbourhoods(tiny_corpus, partition, tmp_path / "ray", executor="ray", workers=2, **settings)
    killer.join()

    assert (tmp_path / "killed").exists()
    assert [(r.name, r.tokens, r.loss) for r in disturbed] == [(r.name, r.tokens, r.loss) for r in undisturbed]
    assert len(files(tmp_path / "ray")) == 6 and files(tmp_path / "ray") == files(tmp_path / "serial")
    assert len(list((tmp_path / "ray" / "adapters").iterdir())) == 3


def test_a_cluster_that_is_connected_is_used_and_left_running() -> None:
    executor: Any = executors.make("ray", workers=2)  # imports Ray as kgrl sets it up
    import ray

    def work(factor: int, task: Any) -> tuple[int, int]:
        if task.number == 2:
            raise UnknownNameError("layer", "query", ["q_proj"])
        return factor * task.number, torch.get_num_threads()

    config = {"worker_niceness": 0}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _system_config=config)
    try:
        assert ray.util.get_node_ip_address() == "127.0.0.1"
        results = sorted(executor.map(work, 10, [Numbered(n) for n in (0, 1, 3)]))
        assert results == [(0, 1), (10, 1), (30, 1)]
        with pytest.raises(KgrlError, match=r"^task-2: unknown layer 'query'.*q_proj"):
            list(executor.map(work, 10, [Numbered(2)]))
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_a_task_whose_workers_always_die_is_named() -> None:
    def work(shared: None, task: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(KgrlError, match=r"^task-1: its worker was lost 4 times"):
        list(executors.make("ray", workers=1).map(work, None, [Numbered(1)]))
