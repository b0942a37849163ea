"""Traces as Minari datasets, for the tools that offline reinforcement learning has for those.

Needs the extra `minari`; nothing else in kgrl does.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from kgrl.errors import MissingDataError, SettingError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.trace import BACK, Outcome, Trace

__all__ = ["export_minari"]

_DESCRIPTION = (
    "Rabbit holes: walks along the links of a topic graph, exported by kgrl. The metadata's `topics` names topics by "
    "number. Action and observation spaces are described in kgrl.data.traces.minari_export.export_minari."
)
_DEEPEST = np.iinfo(np.int32).max


def export_minari(traces: Iterable[Trace], graph: TopicGraph, dataset_id: str) -> Path:
    """Write a Minari dataset that `minari.load_dataset(dataset_id)` opens, one episode a trace.

    With n topics, an observation holds three numbers: `topic`, the page the reader is on (0 to n - 1); `target`, the
    topic to reach, n if there is none; and `depth`, the pages of the stack, 1 where there is nowhere to go back to. An
    action is the topic that was opened, or n for a back click. The reward is 1 for reaching the target of a finished
    trace, which terminates its episode, and 0 otherwise; other traces end truncated. An episode's options name its
    `source` and `outcome`. Traces without a step are left out.

    Args:
        traces: The traces; read once, one after the other.
        graph: The topic graph whose topics they number.
        dataset_id: Minari's name for it, for example `"rabbit-holes/wikispeedia-v0"`. It is put where Minari keeps its
            datasets: `$MINARI_DATASETS_PATH`, else `~/.minari/datasets`.

    Returns:
        The dataset's folder.

    Raises:
        MissingDataError: If Minari is not installed.
        SettingError: If the name is not one Minari takes, or there is such a dataset.
    """
    folder = _new_folder(dataset_id)
    import minari

    n = len(graph)
    try:
        with warnings.catch_warnings():
            # Traces come from people and walkers, not from an environment, and their authors are not known here.
            warnings.filterwarnings("ignore", message=r".* is set to None|env_spec is None", category=UserWarning)
            dataset = minari.create_dataset_from_buffers(
                dataset_id,
                (_episode(trace, n) for trace in traces if len(trace.steps) > 1),
                observation_space=_observation_space(n),
                action_space=spaces.Discrete(n + 1),
                description=_DESCRIPTION,
                # One file; the other formats write a folder for each episode.
                data_format="hdf5",
            )
        dataset.storage.update_metadata({"topics": list(graph.titles), "graph_fingerprint": graph.fingerprint})
    except BaseException:
        # Minari writes in place; whatever stopped it, Ctrl-C included, no half of a dataset may stay.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _new_folder(dataset_id: str) -> Path:
    """Where Minari will put the dataset."""
    try:
        from minari.dataset.minari_dataset import parse_dataset_id
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError as error:
        raise MissingDataError("Minari is not installed; `pip install kgrl[minari]` brings it along") from error
    try:
        parse_dataset_id(dataset_id)
    except ValueError as error:
        raise SettingError(f"{dataset_id!r} is not a name for a Minari dataset: {error}") from error
    folder = Path(get_dataset_path(dataset_id))
    if folder.exists():
        raise SettingError(f"there is a Minari dataset in {folder} already; delete it or choose another name")
    return folder


def _observation_space(n: int) -> spaces.Dict:
    depth = spaces.Box(1, _DEEPEST, (1,), np.int32)
    return spaces.Dict({"topic": spaces.Discrete(n), "target": spaces.Discrete(n + 1), "depth": depth})


def _episode(trace: Trace, nothing: int) -> Any:
    """A trace as Minari's buffer of one episode; `nothing` is the number that is no topic."""
    from minari.data_collector import EpisodeBuffer

    steps = np.array(trace.steps)
    target = nothing if trace.target is None else trace.target
    last = np.arange(1, len(steps)) == len(steps) - 1
    finished = last & (trace.outcome is Outcome.FINISHED)
    return EpisodeBuffer(
        observations={
            "topic": np.array(trace.pages()),
            "target": np.full(len(steps), target),
            "depth": np.where(steps == BACK, -1, 1).cumsum().astype(np.int32)[:, None],
        },
        actions=np.where(steps == BACK, nothing, steps)[1:],
        rewards=finished.astype(np.float32),
        terminations=finished,
        truncations=last & ~finished,
        options={"source": trace.source, "outcome": str(trace.outcome)},
    )
