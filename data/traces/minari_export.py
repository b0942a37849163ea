"""Export of traces as Minari datasets, for tools of offline reinforcement learning.

Needs the extra `minari`; nothing else in kgrl does. Minari's own `DataCollector`, which records the episodes of an
environment, needs `minari[create]`, which installs JAX; the export works without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from kgrl.errors import KgrlError, MissingDataError, SettingError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.files import new_folder
from kgrl.traces.trace import BACK, Outcome, Trace

__all__ = ["MinariExport", "export_minari"]

_DESCRIPTION = (
    "Rabbit holes: walks along the links of a topic graph, exported by kgrl. The metadata's `topics` names topics by "
    "number. Action and observation spaces are described in kgrl.data.traces.minari_export.export_minari."
)
_DEEPEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class MinariExport:
    """A dataset that `export_minari` wrote.

    Args:
        folder: The dataset's folder.
        episodes: Number of episodes in it.
        left_out: Number of traces that were left out because they have no step.
    """

    folder: Path
    episodes: int
    left_out: int


def export_minari(
    traces: Iterable[Trace],
    graph: TopicGraph,
    dataset_id: str,
    *,
    on_episode: Callable[[int], None] = lambda episodes: None,
) -> MinariExport:
    """Write a Minari dataset that `minari.load_dataset(dataset_id)` opens, with one episode for each trace.

    With n topics, an observation holds three numbers: `topic`, the page the reader is on (0 to n - 1); `target`, the
    topic to reach, or n if there is none; and `depth`, the number of pages on the stack, 1 on the first page. An
    action is the topic that was opened, or n for a back click. The reward is 1 for reaching the target of a finished
    trace, which terminates its episode, and 0 otherwise; other traces end truncated. An episode's options name its
    `source` and `outcome`. Traces without a step are left out.

    The dataset is written to a hidden folder and gets its name once it is whole: an interrupted export leaves no
    dataset. Minari's HDF5 format takes some 20 kB on disk for each episode; memory does not grow with their number.

    Args:
        traces: The traces; read once, one after the other.
        graph: The topic graph whose topics they number.
        dataset_id: Minari's name for it, for example `"rabbit-holes/wikispeedia-v0"`. Minari's datasets are in
            `$MINARI_DATASETS_PATH`, or else in `~/.minari/datasets`.
        on_episode: Called with the number of episodes written so far, after each one.

    Raises:
        MissingDataError: If Minari is not installed.
        SettingError: If Minari does not accept the name, or has a dataset of that name already.
        KgrlError: If no trace has a step.
    """
    folder, namespace = _location(dataset_id)
    import minari
    from minari.dataset.minari_storage import MinariStorage
    from minari.namespace import create_namespace, list_local_namespaces

    n = len(graph)
    depth = spaces.Box(1, _DEEPEST, (1,), np.int32)
    observations = spaces.Dict({"topic": spaces.Discrete(n), "target": spaces.Discrete(n + 1), "depth": depth})
    episodes = left_out = 0

    def buffers() -> Iterator[Any]:
        """Yield one episode at a time, so that memory does not grow with their number."""
        nonlocal episodes, left_out
        for trace in traces:
            if len(trace.steps) > 1:
                yield _episode(trace, n)
                episodes += 1
                on_episode(episodes)
            else:
                left_out += 1

    with new_folder(folder) as temporary:
        (temporary / "data").mkdir()
        # One file; Minari's other formats write a folder for each episode.
        storage = MinariStorage.new(temporary / "data", observations, spaces.Discrete(n + 1), data_format="hdf5")
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "minari_version": minari.__version__,
                "description": _DESCRIPTION,
                "topics": list(graph.titles),
                "graph_fingerprint": graph.fingerprint,
            }
        )
        storage.update_episodes(buffers())
        if not episodes:
            raise KgrlError(f"no trace has a step, so {dataset_id!r} is not written")
        if namespace is not None and namespace not in list_local_namespaces():
            create_namespace(namespace)
    return MinariExport(folder, episodes, left_out)


def _location(dataset_id: str) -> tuple[Path, str | None]:
    """Return the folder in which Minari looks for a new dataset, and its namespace, None if it has none."""
    try:
        from minari.dataset.minari_dataset import parse_dataset_id
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError as error:
        raise MissingDataError("Minari is not installed; install it with `pip install kgrl[minari]`") from error
    try:
        namespace, *_ = parse_dataset_id(dataset_id)
    except (TypeError, ValueError) as error:  # TypeError: a name without a version
        raise SettingError(
            f"{dataset_id!r} is not a name for a Minari dataset; write NAME-v0 or NAMESPACE/NAME-v0, with two "
            "characters or more in a namespace"
        ) from error
    folder = Path(get_dataset_path(dataset_id))
    if folder.exists():
        raise SettingError(f"there is a Minari dataset in {folder} already; delete it or choose another name")
    return folder, namespace


def _episode(trace: Trace, n: int) -> Any:
    """Return a trace as Minari's buffer of one episode; `n` is the number of topics."""
    from minari.data_collector import EpisodeBuffer

    steps = np.array(trace.steps)
    last = np.arange(1, len(steps)) == len(steps) - 1
    finished = last & (trace.outcome is Outcome.FINISHED)
    return EpisodeBuffer(
        # An episode has one observation more than it has actions.
        observations={
            "topic": np.array(trace.pages()),
            "target": np.full(len(steps), n if trace.target is None else trace.target),
            "depth": np.where(steps == BACK, -1, 1).cumsum().astype(np.int32)[:, None],
        },
        actions=np.where(steps == BACK, n, steps)[1:],
        rewards=finished.astype(np.float32),
        terminations=finished,
        truncations=last & ~finished,
        infos={},  # None would be read back as None, which Minari's own repr of an episode cannot show
        options={"source": trace.source, "outcome": str(trace.outcome)},
    )
