"""One adapter for each neighbourhood of the topic graph, trained side by side.

A partition says which topics are one neighbourhood, see `kgrl.graph.communities`. Adapters start from the same weights.
They are written to `FOLDER/adapters/NAME/` as adapter folders, see `kgrl.learners.adapters.folder`, each with the
settings and the result of its training in `neighbourhood.json`. The module does not know how adapters are composed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from rich.console import Console
from rich.progress import track

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.system.executors import executors
from kgrl.system.files import content_key, file_digest, new_folder, write_json
from kgrl.system.schemas import read_json

__all__ = [
    "NeighbourhoodResult",
    "NeighbourhoodTask",
    "train_neighbourhood",
    "train_neighbourhoods",
]

_RECORD = "neighbourhood.json"
_LEAST_TOKENS = 2
"""A language model needs two tokens to have one prediction."""


@dataclass(frozen=True)
class NeighbourhoodTask:
    """Settings of one adapter's training, as plain values.

    Args:
        community: The number of the community in its partition.
        passages: Ids of the passages to train on, in order.
        tokens: Most tokens to train on.
        seed: Seeds the adapter's initial weights.
        folder: The folder that holds `adapters/`.
        options: Options of `LoraLearner`, as JSON has them; `dtype` is the name of a number format.
    """

    community: int
    passages: tuple[int, ...]
    tokens: int
    seed: int
    folder: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the adapter, and of its folder.

        Example:
            >>> NeighbourhoodTask(3, (0, 1), tokens=100, seed=0, folder="out").name
            'neighbourhood-3'
        """
        return f"neighbourhood-{self.community}"

    @property
    def adapter(self) -> Path:
        """The folder of the adapter."""
        return Path(self.folder) / "adapters" / self.name


@dataclass(frozen=True)
class NeighbourhoodResult:
    """Result of one adapter's training.

    Args:
        name: The name of the adapter, and of its folder in `adapters/`.
        community: The number of the community in its partition.
        tokens: Tokens trained on; fewer than asked for if the community has less text.
        passages: Passages trained on.
        loss: Mean loss of those tokens in nats per token, each batch before its update.
        seconds: Seconds of training.
    """

    name: str
    community: int
    tokens: int
    passages: int
    loss: float
    seconds: float


def train_neighbourhoods(
    corpus: Corpus,
    partition: IntArray,
    folder: Path,
    *,
    tokens: int,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    executor: str = "process",
    workers: int = 2,
) -> list[NeighbourhoodResult]:
    """Train one adapter for each community of a partition, all from the same initial weights.

    An adapter is trained on the train passages of its community's topics, in an order drawn from the seed, until the
    tokens or the passages are used up. Adapters that the folder holds already are not trained again, so that an
    interrupted training continues where it was. Given the same number of threads, every executor gives the same
    adapters bit for bit.

    Args:
        corpus: The corpus.
        partition: The community of each topic, shape `[topics]`, -1 for topics to leave out.
        folder: The folder that holds `adapters/`; made if missing.
        tokens: Most tokens to train each adapter on.
        options: Options of `LoraLearner`, as JSON has them: `{"model": "smollm2", "rank": 8}`. The number format is
            `dtype`, else the fastest of this machine; it is the same on all workers.
        seed: Seeds the initial weights and the order of the passages.
        executor: `"serial"`, `"process"` or `"ray"`.
        workers: Adapters trained at a time, with one thread each.

    Returns:
        One result for each community, in their order.

    Raises:
        SettingError: If the partition does not fit the corpus, a community has no train passages, or `tokens` is
            below 2.
        KgrlError: If the folder holds adapters trained with other settings, or a training fails; finished adapters
            stay.

    Example:
        >>> import tempfile
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import ScratchLearner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> folder = Path(tempfile.mkdtemp())
        >>> ScratchLearner(corpus, width=16, heads=2).save(folder / "base")
        >>> options = {"model": str(folder / "base")}
        >>> results = train_neighbourhoods(
        ...     corpus, np.array([0, 1], np.int32), folder, tokens=50, options=options, executor="serial"
        ... )
        >>> [result.name for result in results]
        ['neighbourhood-0', 'neighbourhood-1']
    """
    if tokens < _LEAST_TOKENS:
        raise SettingError(f"an adapter is trained on at least {_LEAST_TOKENS} tokens, not {tokens}")
    options = _with_dtype(options or {}, folder)
    tasks = [
        NeighbourhoodTask(community, tuple(passages), tokens, seed, str(folder), options)
        for community, passages in enumerate(_drawn_passages(corpus, partition, seed))
    ]
    finished = {task.name: _finished(corpus, task) for task in tasks}
    missing = [task for task in tasks if finished[task.name] is None]
    trained = executors.make(executor, workers=workers).map(train_neighbourhood, corpus, missing)
    found = [result for result in finished.values() if result is not None]
    found += _with_progress(trained, len(missing), len(tasks))
    return sorted(found, key=lambda result: result.community)


def train_neighbourhood(corpus: Corpus, task: NeighbourhoodTask) -> NeighbourhoodResult:
    """Train one adapter, unless its folder holds it; executors call this function in their workers.

    The adapter's folder appears when all of it is written, so a training that is killed leaves no half of it.

    Args:
        corpus: The corpus.
        task: The settings.

    Raises:
        KgrlError: If the folder holds something else.
        DivergedError: If a loss becomes NaN or infinite.
    """
    done = _finished(corpus, task)
    if done is not None:
        return done
    # Here, since importing these takes seconds and finished adapters do not need them.
    import torch

    from kgrl.learners.adapters.folder import AdapterFacts
    from kgrl.learners.decoder.lora import LoraLearner, write_adapter

    options = {**task.options, "dtype": getattr(torch, task.options["dtype"])}
    learner = LoraLearner(corpus, seed=task.seed, **options)
    began = time.perf_counter()
    learned = learner.learn(corpus.select(task.passages), task.tokens)
    seconds = time.perf_counter() - began
    result = NeighbourhoodResult(
        task.name, task.community, learned.tokens, learned.passages, learned.loss, round(seconds, 3)
    )
    read = np.unique(corpus.topics[list(task.passages[: learned.passages])])
    titles = tuple(corpus.graph.titles[topic] for topic in read)
    about = AdapterFacts(corpus.name, titles, learned.tokens, task.seed, {"training": learned.loss})
    with new_folder(task.adapter) as temporary:
        write_adapter(learner, temporary, about)
        write_json(temporary / _RECORD, {"result": asdict(result), "settings": _settings(corpus, task)})
    return result


def _with_dtype(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options with a number format: the one asked for, that of adapters trained already, or the fastest here.

    It is chosen once for all, since each worker would measure anew and might choose differently.
    """
    records = sorted((folder / "adapters").glob(f"*/{_RECORD}"))
    if "dtype" in options:
        dtype = options["dtype"]
    elif records:
        dtype = read_json(records[0], _Record).settings["options"]["dtype"]
    else:
        from kgrl.system.tensors import best_dtype

        dtype = str(best_dtype(options.get("device", "cpu"))).removeprefix("torch.")
    return {**options, "dtype": dtype}


def _drawn_passages(corpus: Corpus, partition: IntArray, seed: int) -> list[list[int]]:
    """The train passages of each community in an order drawn from the seed."""
    partition = np.asarray(partition)
    if partition.shape != (len(corpus.graph),):
        raise SettingError(f"a partition of {len(corpus.graph)} topics has as many numbers, not {partition.shape}")
    owners = np.where(corpus.splits == Split.TRAIN, partition[corpus.topics], -1)  # community of each passage
    # One permutation for all: a community's order does not depend on the others.
    order = np.random.default_rng(seed).permutation(len(corpus))
    groups = [order[owners[order] == community].tolist() for community in range(int(partition.max(initial=-1)) + 1)]
    for community, passages in enumerate(groups):
        if not passages:
            raise SettingError(f"community {community} of the partition has no train passages in {corpus.name!r}")
    return groups


class _Record(Struct, forbid_unknown_fields=True):
    """The record of a trained adapter: what came of it, and how it was made."""

    result: NeighbourhoodResult
    settings: dict[str, Any]


def _finished(corpus: Corpus, task: NeighbourhoodTask) -> NeighbourhoodResult | None:
    """The result of a task whose adapter is in the folder already, else None.

    Raises:
        KgrlError: If the folder holds something else, or an adapter trained with other settings.
    """
    if not task.adapter.exists():
        return None
    path = task.adapter / _RECORD
    if not path.is_file():
        raise KgrlError(f"{task.adapter} exists and was not trained here: {_RECORD} is missing; choose another folder")
    record = read_json(path, _Record, "choose another folder")
    for name, value in _settings(corpus, task).items():
        if record.settings.get(name) != value:
            raise KgrlError(f"{task.adapter} was trained with another {name!r}; choose another folder")
    return record.result


def _settings(corpus: Corpus, task: NeighbourhoodTask) -> dict[str, Any]:
    """Settings that a finished adapter must share with the task, as JSON; without paths of this machine."""
    options = json.loads(json.dumps(dict(task.options)))
    folder = Path(str(options.get("model", "")))
    if "model" in options and folder.is_dir():
        # A model folder goes by its name and the content of its files: it may lie elsewhere on another machine.
        files = sorted(path for path in folder.iterdir() if path.is_file())
        options["model"] = f"{folder.name}@{content_key(*map(file_digest, files))}"
    return {
        "corpus": corpus.name,
        "fingerprint": corpus.fingerprint,
        "passages": content_key(json.dumps(task.passages)),
        "tokens": task.tokens,
        "seed": task.seed,
        "options": options,
    }


def _with_progress(results: Iterable[NeighbourhoodResult], n: int, total: int) -> Iterable[NeighbourhoodResult]:
    """Pass results on, with a progress bar on stderr if that is a terminal."""
    console = Console(stderr=True)
    done = total - n
    return track(results, "adapters", total=total, completed=done, console=console, disable=not console.is_terminal)
