"""The learner on Hugging Face Accelerate: a pretrained model on the devices of one process or several."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.errors import DivergedError, KgrlError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.accelerated.engine import MOMENTS, Engine, State, load_with_adapter
from kgrl.learners.accelerated.messages import (
    Gather,
    Keep,
    Make,
    Measure,
    Message,
    PutBack,
    Row,
    Spread,
    Teach,
)
from kgrl.learners.accelerated.processes import launched_processes, team
from kgrl.learners.adapters.folder import PREFIX, AdapterFacts, describe_adapter
from kgrl.learners.base import Learned
from kgrl.learners.decoder.full import WEIGHTS, ModelFolder
from kgrl.learners.decoder.lora import ADAPTER, adapter_config
from kgrl.learners.decoder.measuring import check_finite
from kgrl.learners.decoder.models import Origin, fingerprint, origin_of
from kgrl.learners.decoder.packing import Block, Reading, arrange, pack
from kgrl.learners.decoder.pretrained import context_of
from kgrl.learners.decoder.reader import PassageReader
from kgrl.learners.decoder.token_store import document_token
from kgrl.system.files import write_json
from kgrl.system.schemas import Count, checked, read_json
from kgrl.system.tensors import read_tensors, save_tensors

__all__ = ["AccelerateLearner", "KeptState"]

T = TypeVar("T")

_CONTEXT = 512
"""Most tokens of a passage that are read in one piece, as other learners have it."""
_FULL_RATE, _ADAPTER_RATE = 2e-5, 5e-4
_STATE, _OPTIMIZER = "learner.json", "optimizer.safetensors"


@dataclass(frozen=True, eq=False)
class KeptState:
    """Snapshot of the learner. Each process keeps its part, until nobody has this object any more.

    Args:
        number: The number by which the processes know it.
    """

    number: int


class AccelerateLearner(PassageReader):
    """A pretrained causal model that one process or several teach, on the devices that Accelerate is configured for.

    Without a launcher it computes in one process. `accelerate launch` starts several: data parallel, or with the
    model's weights spread over the devices (FSDP 2), as Accelerate's configuration has it. The passages of an update
    are dealt out to the processes, and the gradient is that of the mean loss over all its tokens, so results do not
    depend on the number of processes but for rounding. Everything but the model is in process 0: see
    `kgrl.learners.accelerated.processes.leading`.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the adapter's initial weights, if there is an adapter.
        model: `"smollm2"` (SmolLM2-135M-Instruct), a folder, or a name on the Hugging Face hub.
        rank: Rank of a LoRA adapter on all linear layers; by default all weights are trained.
        alpha: Scale of the adapter; its output is multiplied by `alpha / rank`.
        learning_rate: AdamW's learning rate after the warm-up; by default 2e-5 for all weights and 5e-4 for an
            adapter, as the learners `full` and `lora` have them.
        block_tokens: Tokens of an update, about, over all processes.
        warmup_steps: Updates until the learning rate is reached.
        plugins: None: the learner takes no plug-ins.

    Attributes:
        n_parameters: Number of the model's parameters, frozen ones included.
        rank: Rank of the adapter, None if all weights are trained.

    Raises:
        MissingDataError: If a short-named model is neither on this machine nor available from the hub.
        UnknownNameError: If the model is unknown.
        SettingError: If a number is out of range, there are plug-ins, or Accelerate is configured for devices that are
            not there.

    Example:
        >>> import tempfile
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import ScratchLearner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> base = Path(tempfile.mkdtemp())
        >>> ScratchLearner(corpus, width=16, heads=2).save(base)  # any folder of a model will do
        >>> learner = AccelerateLearner(corpus, model=str(base), rank=4)
        >>> before = learner.losses(corpus.select([0]))
        >>> learned = learner.learn(corpus.select([0]), token_budget=100)
        >>> bool(learner.losses(corpus.select([0])) < before)
        True
    """

    kind = "accelerate"

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        model: str = "smollm2",
        rank: int | None = None,
        alpha: float = 16,
        learning_rate: float | None = None,
        block_tokens: int = 128,
        warmup_steps: int = 5,
        plugins: Sequence[object] = (),
    ) -> None:
        _check_place()
        self.learning_rate = learning_rate or (_FULL_RATE if rank is None else _ADAPTER_RATE)
        self.block_tokens, self.warmup_steps = block_tokens, warmup_steps
        for name, value in (("learning_rate", self.learning_rate), ("block_tokens", block_tokens)):
            if not value > 0:
                raise SettingError(f"{name} must be above 0, not {value}")
        if plugins:
            raise SettingError("the learner accelerate takes no plug-ins; leave them out, or use lora, full or scratch")
        self._made, self.rank = Make(model, rank, alpha, seed), rank
        self._team = team()
        # Loaded before the others hear of it: a name that is not known is then refused once.
        base, tokenizer, peft_model = load_with_adapter(self._made)
        self._base = f"{Path(model).name}@{fingerprint(base)}"
        self.n_parameters = sum(weight.numel() for weight in base.parameters())
        self._folder = ModelFolder.of(base, tokenizer)
        self._adapter = None if peft_model is None else adapter_config(peft_model)
        self.tokenizer, self._document = tokenizer.backend_tokenizer, document_token(tokenizer)
        self._context = min(_CONTEXT, context_of(base.config))
        self._model = base
        self._read(corpus)
        make = partial(Engine, self._team.accelerator, base)
        several = self.processes > 1
        self._engine = self._team.do(self._made, partial(self._team.turn_to, make) if several else make)
        self._numbers, self._forgotten = itertools.count(), list[int]()

    def __repr__(self) -> str:
        adapter = {} if self.rank is None else {"rank": self.rank, "alpha": self._made.alpha}
        shown = {"model": self._made.model, **adapter, "seed": self._made.seed}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def processes(self) -> int:
        """Number of processes that compute."""
        return self._team.processes

    @property
    def identity(self) -> dict[str, str | float]:
        """Values that a saved state must share with the learner that loads it; the number of processes is none."""
        adapter = {} if self.rank is None else {"rank": self.rank, "alpha": self._made.alpha}
        return {"base_model": self._base, **adapter}

    @cached_property
    def origin(self) -> Origin:
        """Origin of the base model's weights."""
        return origin_of(self._made.model, self._model, str(self.tokenizer.id_to_token(self._document)))

    def _do(self, message: Message, work: Callable[[], T]) -> T:
        """Do something on all processes, which have the model of the learner that was made last."""
        if self.processes > 1 and self._team.latest is not self._engine:
            raise SettingError("another learner was made in this launch, and its processes have one model at a time")
        return self._team.do(message, work)

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        """Train on passages in order, one update a block of tokens; see `Learner`."""
        if len(passages) == 0 or token_budget < 2:
            raise ValueError(f"cannot learn {len(passages)} passages with a budget of {token_budget} tokens")
        lesson = arrange(Reading(passages.ids, self._sequences(passages)), [], token_budget)
        blocks = pack(lesson.sequences, self.block_tokens, self._context)
        totals = np.zeros(len(lesson.ids))
        for block in blocks:
            totals += self._totals(block, self._update(block, lesson.ids), len(totals))
        sizes = np.array([len(sequence) - 1 for sequence in lesson.sequences])
        return Learned(
            tokens=lesson.tokens,
            loss=float(totals.sum() / sizes.sum()),
            losses=tuple((totals / sizes).tolist()),
            chunked=int((sizes > self._context).sum()),
        )

    def _update(self, block: Block, ids: IntArray) -> list[NDArray[np.float32]]:
        """Take one optimizer step on a block, and return the losses of its pieces' tokens before the step."""
        rows, engine = _rows(block), self._engine
        rate = self.learning_rate * min(1.0, (engine.steps + 1) / max(1, self.warmup_steps))
        losses, norm = self._do(Teach(rows, rate), lambda: engine.teach(rows, rate))
        mean = float(np.concatenate(losses).mean())
        if not np.isfinite(mean) or not np.isfinite(norm):
            read = ", ".join(map(str, ids[np.unique(block.owners)]))
            raise DivergedError(f"the training loss became {mean} with a gradient of norm {norm} on passages {read}")
        return losses

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return the mean loss of each passage in nats per token, shape `[passages]`; changes nothing."""
        if len(passages) == 0:
            return np.empty(0, dtype=np.float32)
        sequences = self._sequences(passages)
        (block,) = pack(sequences, sum(map(len, sequences)), self._context)
        rows = _rows(block)
        losses = self._do(Measure(rows), lambda: self._engine.measure(rows))
        totals = self._totals(block, losses, len(passages))
        check_finite(totals, passages)
        return (totals / np.bincount(block.owners)).astype(np.float32)

    def compare(self, passages: Passages, groups: IntArray) -> NDArray[np.float32]:
        """Return the total loss of each passage in nats; what those of a group share is read with each."""
        return self.losses(passages) * self.count_tokens(passages).astype(np.float32)

    @staticmethod
    def _totals(block: Block, losses: Sequence[NDArray[np.float32]], n: int) -> NDArray[np.float64]:
        """Add up the losses of a block's tokens for each of the packed sequences, `[n]`."""
        return np.bincount(block.owners, np.concatenate(losses), minlength=n).astype(np.float64)

    def snapshot(self) -> KeptState:
        """Let each process keep a copy of its part of the trained weights and the optimizer's state."""
        kept, dropped = KeptState(next(self._numbers)), self._forgotten.copy()
        self._do(Keep(kept.number, dropped), lambda: self._engine.keep(kept.number, dropped))
        self._forgotten[: len(dropped)] = []
        # Told with the next snapshot: whoever drops an object must not wait for other processes.
        weakref.finalize(kept, self._forgotten.append, kept.number)
        return kept

    def restore(self, snapshot: KeptState) -> None:
        """Go back to a snapshot; losses are then bit for bit what they were."""
        self._do(PutBack(snapshot.number), lambda: self._engine.put_back(snapshot.number))

    def save(self, folder: Path) -> None:
        """Write weights, optimizer state and identity to a folder, as safetensors and JSON.

        It is a plain model folder, or with a rank a plain PEFT folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        state = self._do(Gather(), self._engine.gather)
        self._write_weights(folder, state)
        averages = tuple(f"{name}." for name in MOMENTS)
        save_tensors(folder / _OPTIMIZER, {name: t for name, t in state.items() if name.startswith(averages)})
        write_json(folder / _STATE, {"steps": self._engine.steps, "learner": self.kind, **self.identity})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, with any number of processes.

        Raises:
            KgrlError: If the folder holds no saved learner, or one of another kind, base model or shape.
        """
        path = folder / _STATE
        if not path.is_file():
            raise KgrlError(f"{folder} holds no saved learner: {_STATE} is missing")
        state = read_json(path, dict[str, Any])
        steps = checked(state.pop("steps", None), Count, path)
        if state != (own := {"learner": self.kind, **self.identity}):
            raise KgrlError(f"{folder} holds {state}, which does not fit this learner: {own}")
        weights = read_tensors(folder / (WEIGHTS if self._adapter is None else ADAPTER))
        read = {**{self._own_name(name): t for name, t in weights.items()}, **read_tensors(folder / _OPTIMIZER)}
        self._check_shapes(folder, read)
        self._do(Spread(steps), lambda: self._engine.spread(read, steps))

    def write_adapter(self, folder: Path, about: AdapterFacts) -> None:
        """Write the adapter as a plain PEFT folder with a model card; each file is replaced atomically.

        Args:
            folder: The folder; made if it is missing.
            about: Facts about the training.

        Raises:
            SettingError: If all weights are trained, so that there is no adapter.
        """
        if self._adapter is None:
            raise SettingError("all weights are trained, so there is no adapter; use save, or give a rank")
        folder.mkdir(parents=True, exist_ok=True)
        self._write_weights(folder, self._do(Gather(), self._engine.gather))
        describe_adapter(folder, self._base, about, self.origin)

    def _write_weights(self, folder: Path, state: State) -> None:
        weights = {name: t for name, t in state.items() if name in self._engine.shapes}
        if self._adapter is None:
            self._folder.write(folder, weights)
            return
        save_tensors(folder / ADAPTER, {_peft_name(name): tensor for name, tensor in weights.items()})
        write_json(folder / "adapter_config.json", {**self._adapter, "inference_mode": True})

    def _own_name(self, name: str) -> str:
        """The model's own name of a tensor in the file of weights."""
        return next((own for own in self._engine.shapes if self._adapter and _peft_name(own) == name), name)

    def _check_shapes(self, folder: Path, read: State) -> None:
        shapes = self._engine.shapes
        expected = {f"{kind}{name}": s for kind in ("", *(f"{m}." for m in MOMENTS)) for name, s in shapes.items()}
        if {name: tuple(tensor.shape) for name, tensor in read.items()} != expected:
            raise KgrlError(f"{folder} has weights of other names or shapes than this learner's")


def _check_place() -> None:
    """Refuse to be made in a process that has to follow."""
    number, processes = launched_processes()
    if number > 0:
        raise SettingError(
            f"this is process {number} of {processes}, and process 0 alone makes a learner: do everything in a "
            "`with kgrl.learners.leading():` block"
        )


def _rows(block: Block) -> list[Row]:
    """The texts of a block's pieces, token ids of which each but the first is predicted."""
    ends = np.cumsum(block.lengths)
    parts = zip(np.split(block.inputs, ends[:-1]), block.targets[ends - 1], strict=True)
    return [[*inputs.tolist(), int(last)] for inputs, last in parts]


def _peft_name(name: str) -> str:
    """The name that PEFT's files have for an adapter's tensor."""
    return PREFIX + name.replace(".default.", ".")
