"""Exports to Minari: Minari opens them, they hold the traces, and an interrupted export leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgrl.data.traces.minari_export import MinariExport, export_minari
from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.graph import TopicGraph
from kgrl.traces import BACK, Outcome, Trace

minari = pytest.importorskip("minari")

TITLES = ["Set (mathematics)", "<", "Émile Zola", "集合"]
GRAPH = TopicGraph.from_links(TITLES, [0, 0, 1, 2, 3], [1, 2, 3, 0, 0])
TRACES = [
    Trace((0, 1, BACK, 2, 0, 1, 3), 3, Outcome.FINISHED, "wikispeedia"),
    Trace((0, 2), 3, Outcome.UNFINISHED, "wikispeedia"),
    Trace((3, 0, 2), None, Outcome.OPEN, "clickstream"),
    Trace((1,), None, Outcome.OPEN, "agent"),
]


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def test_minari_opens_the_export(datasets: Path) -> None:
    counted: list[int] = []
    export = export_minari(iter(TRACES), GRAPH, "kgrl/tiny-v0", on_episode=counted.append)
    assert export == MinariExport(datasets / "kgrl" / "tiny-v0", episodes=3, left_out=1)
    assert counted == [1, 2, 3]
    dataset = minari.load_dataset("kgrl/tiny-v0")
    episodes = list(dataset.iterate_episodes())
    assert dataset.total_episodes == len(episodes) == 3, "a trace without a click has no step"
    first, second, third = episodes
    assert first.observations["topic"].tolist() == [0, 1, 0, 2, 0, 1, 3]
    assert first.observations["depth"].ravel().tolist() == [1, 2, 1, 2, 3, 4, 5]
    assert first.actions.tolist() == [1, 4, 2, 0, 1, 3]
    assert first.rewards.tolist() == [0, 0, 0, 0, 0, 1]
    assert first.terminations[-1] and not first.truncations.any()
    assert second.truncations[-1] and not second.terminations.any() and not second.rewards.any()
    assert third.observations["target"].tolist() == [4, 4, 4], "the number of topics stands for no target"
    assert dataset.storage.metadata["topics"] == TITLES
    options = [episode["options"] for episode in dataset.storage.get_episode_metadata(range(3))]
    assert options[2] == {"source": "clickstream", "outcome": "open"}


def test_observations_and_actions_are_in_their_spaces(datasets: Path) -> None:
    export_minari(TRACES, GRAPH, "tiny-v0")
    dataset = minari.load_dataset("tiny-v0")
    for episode in dataset.iterate_episodes():
        for at in range(len(episode.actions)):
            seen = {name: values[at] for name, values in episode.observations.items()}
            assert dataset.observation_space.contains(seen)
            assert dataset.action_space.contains(episode.actions[at])


def test_episodes_can_be_printed_and_the_dataset_is_listed(datasets: Path) -> None:
    export_minari(TRACES, GRAPH, "kgrl/tiny-v0")
    dataset = minari.load_dataset("kgrl/tiny-v0")
    assert "total_steps=6" in repr(dataset[0]) and "following keys: []" in repr(dataset[0])
    assert dataset.total_steps == 6 + 1 + 2
    assert list(minari.list_local_datasets()) == ["kgrl/tiny-v0"]
    assert minari.namespace.list_local_namespaces() == ["kgrl"]


def test_a_second_dataset_joins_the_namespace(datasets: Path) -> None:
    for name in ("kgrl/one-v0", "kgrl/two-v0"):
        export_minari(TRACES, GRAPH, name)
    assert sorted(minari.list_local_datasets()) == ["kgrl/one-v0", "kgrl/two-v0"]


def test_traces_without_a_step_make_no_dataset(datasets: Path) -> None:
    with pytest.raises(KgrlError, match=r"no trace has a step, so 'kgrl/tiny-v0' is not written"):
        export_minari(TRACES[3:], GRAPH, "kgrl/tiny-v0")
    assert not list(datasets.rglob("*.hdf5"))


def test_a_failed_export_leaves_nothing(datasets: Path) -> None:
    def failing() -> Iterator[Trace]:
        yield TRACES[0]
        raise DataError("f", 1, "broken")

    with pytest.raises(DataError, match="broken"):
        export_minari(failing(), GRAPH, "kgrl/tiny-v0")
    assert not list((datasets / "kgrl").iterdir())


def test_a_killed_export_leaves_no_dataset_and_its_name_free(datasets: Path) -> None:
    code = """
from tests_data import GRAPH, TRACES
from kgrl.data.traces.minari_export import export_minari

def endless():
    while True:
        yield from TRACES

export_minari(endless(), GRAPH, "kgrl/tiny-v0", on_episode=lambda done: print(done, flush=True))
"""
    code = code.replace("tests_data", Path(__file__).stem)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not minari.list_local_datasets()
    assert export_minari(TRACES, GRAPH, "kgrl/tiny-v0").episodes == 3


def test_a_dataset_is_not_overwritten(datasets: Path) -> None:
    export_minari(TRACES, GRAPH, "kgrl/tiny-v0")
    with pytest.raises(SettingError, match="already"):
        export_minari(TRACES[:1], GRAPH, "kgrl/tiny-v0")
    assert minari.load_dataset("kgrl/tiny-v0").total_episodes == 3


@pytest.mark.parametrize("name", ["no spaces allowed", "kgrl/without-version", "x/short-namespace-v0"])
def test_a_bad_name_is_explained(datasets: Path, name: str) -> None:
    with pytest.raises(SettingError, match=rf"'{name}' is not a name for a Minari dataset; write NAME-v0"):
        export_minari(TRACES, GRAPH, name)
