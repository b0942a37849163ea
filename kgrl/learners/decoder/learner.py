"""Base class of learners with a transformer: lessons, updates, snapshots and saved states.

Subclasses make a causal model, decide which of its weights are trained and how those are written. Dropout is off
throughout: texts are read once, and a run repeats exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from kgrl.corpus import Corpus, Passages
from kgrl.errors import DivergedError, KgrlError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learned
from kgrl.learners.decoder.average import WeightAverage
from kgrl.learners.decoder.flat_weights import Trained
from kgrl.learners.decoder.loss import mean_loss
from kgrl.learners.decoder.measuring import Decoder, MeasuredDecoder
from kgrl.learners.decoder.packing import Block, Reading, arrange, pack
from kgrl.learners.decoder.schedule import RateSchedule, ScheduleName
from kgrl.learners.decoder.windows import linked_windows
from kgrl.learners.plugins.base import Plugin
from kgrl.system.devices import kept_copies, to_device
from kgrl.system.files import write_json
from kgrl.system.schemas import Count, checked, read_json
from kgrl.system.tensors import read_tensors, save_tensors

__all__ = ["DecoderLearner", "DecoderSnapshot"]

_CONTEXT = 512
"""Most tokens of a passage that are read in one piece; passages have about 70 tokens."""
_STATE, _OPTIMIZER, _PLUGINS = "learner.json", "optimizer.safetensors", "plugins.safetensors"
_AVERAGE = "average"
"""Name of the averaged weights beside the optimizer's state."""


@dataclass(frozen=True)
class DecoderSnapshot:
    """Snapshot of a decoder learner: everything that training changes in it.

    Args:
        trained: The trained weights and the optimizer's state.
        plugins: The state of each plug-in, in the learner's order.
        tokens: Tokens trained on so far.
        average: The average of the weights, `[trained weights]`, if the learner keeps one.
    """

    trained: Trained
    plugins: tuple[Mapping[str, Tensor], ...]
    tokens: int
    average: Tensor | None


class DecoderLearner(MeasuredDecoder, ABC):
    """Teaches a causal transformer passages by AdamW on whole blocks of packed tokens.

    The learning rate rises linearly over the first `warmup_steps` updates. From then on it is constant, so that it
    never depends on the budget or on who picks the topics, unless there is a schedule. The gradient is clipped to norm
    1; no weight decay.

    Args:
        corpus: The corpus whose passages are taught and measured.
        model: The causal model; those of its parameters that require a gradient are trained.
        decoder: The same model, as it reads packed passages.
        tokenizer: The tokenizer.
        document: The token id that leads every passage.
        learning_rate: AdamW's learning rate after the warm-up.
        block_tokens: Tokens of a block, about, which is read at once.
        accumulate: Blocks of one update. Their gradients are added up: an update of `accumulate * block_tokens` tokens
            that needs the memory of one block.
        warmup_steps: Updates until the learning rate is reached.
        schedule: Course of the learning rate, see `kgrl.learners.decoder.schedule.RateSchedule`.
        schedule_tokens: Tokens that are trained on in total, which schedules that decay have to know.
        average_tokens: Tokens over which trained weights are averaged; all losses are then those of the average, see
            `kgrl.learners.decoder.average.WeightAverage`. Gradients, and the weights that training goes on from, stay
            the trained ones'. By default there is no average.
        linked_windows: Whether passages of linked topics in one lesson are read in one context and see each other, see
            `kgrl.learners.decoder.windows.linked_windows`. A window has at most the tokens of an update, so updates are
            as many and as large as without. A passage's loss at its reading is then one in context; measured losses
            are still those of each passage alone.
        plugins: Changes to its lessons, updates or measurements, in the order in which they are called.

    Attributes:
        n_parameters: Number of the model's parameters, frozen ones included.

    Raises:
        SettingError: If a number is out of range, a plug-in does not work with this learner, or a schedule that decays
            is not told its tokens.
    """

    kind: str
    """The name the learner is registered and saved under."""

    def __init__(
        self,
        corpus: Corpus,
        model: nn.Module,
        decoder: Decoder,
        tokenizer: Tokenizer,
        document: int,
        *,
        learning_rate: float,
        block_tokens: int,
        warmup_steps: int,
        accumulate: int = 1,
        schedule: ScheduleName = "constant",
        schedule_tokens: int | None = None,
        average_tokens: int | None = None,
        linked_windows: bool = False,
        plugins: Sequence[Plugin] = (),
    ) -> None:
        if not learning_rate > 0:
            raise SettingError(f"learning_rate must be above 0, not {learning_rate}")
        for name, value in (("block_tokens", block_tokens), ("accumulate", accumulate)):
            if value < 1:
                raise SettingError(f"{name} must be at least 1, not {value}")
        self.tokenizer, self._document = tokenizer, document
        self._read(corpus)
        self.model, self._decoder = model.eval(), decoder
        self._context = min(_CONTEXT, decoder.context)
        self.learning_rate, self.block_tokens, self.warmup_steps = learning_rate, block_tokens, warmup_steps
        self._accumulate = accumulate
        self._schedule, self._linked = RateSchedule(schedule, schedule_tokens), linked_windows
        self.n_parameters = sum(parameter.numel() for parameter in model.parameters())
        super().__init__({name: weight for name, weight in model.named_parameters() if weight.requires_grad})
        self._trained_tokens = 0
        self._average = None if average_tokens is None else WeightAverage(self.weights, average_tokens)
        self.plugins = tuple(plugins)
        for plugin in self.plugins:
            if plugin.replaces and self._average is not None:
                raise SettingError(
                    f"{plugin.name!r} replaces trained weights, which then have no average; leave one out"
                )
            plugin.attach(self)

    @property
    @abstractmethod
    def identity(self) -> dict[str, str | float]:
        """Values that a saved state must share with the learner that loads it, by name."""

    @abstractmethod
    def _write_weights(self, folder: Path) -> None:
        """Write the trained weights to an existing folder."""

    @abstractmethod
    def _read_weights(self, folder: Path) -> None:
        """Read the trained weights that `_write_weights` wrote, in place."""

    @property
    def _settings(self) -> Mapping[str, Any]:
        """Constructor arguments that tell it from others of its kind, shown by its repr."""
        return self.identity

    def __repr__(self) -> str:
        shown = {**self._settings, **self._training, **({"plugins": list(self.plugins)} if self.plugins else {})}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def modules(self) -> Mapping[str, Tensor]:
        """Weights that are measured, by module: one module, the curriculum, unless a plug-in keeps several."""
        kept = [plugin.modules() for plugin in self.plugins]
        own = self.weights.detach() if self._average is None else self._average.vector
        return next((modules for modules in kept if modules), {"curriculum": own})

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        """Train on passages in order, in packed blocks, one update a block; see `Learner`."""
        if len(passages) == 0 or token_budget < 2:
            raise ValueError(f"cannot learn {len(passages)} passages with a budget of {token_budget} tokens")
        for plugin in self.plugins:
            plugin.begin(passages)
        before = self.weights.detach().clone()
        own = Reading(passages.ids, self._sequences(passages))
        rehearsed = [plugin.rehearse(own.tokens, token_budget) for plugin in self.plugins]
        readings = [(Reading(ids, [self.tokens[int(i)] for i in ids]), tokens) for ids, tokens in rehearsed]
        lesson = arrange(own, readings, token_budget)
        windows = self._windows(lesson) if self._linked else None
        blocks = pack(lesson.sequences, self.block_tokens, self._context, windows)
        totals = np.zeros(len(lesson.ids))
        # Divided evenly: no update of few blocks remains at the end, which would have the weight of a full one.
        updates = np.array_split(np.arange(len(blocks)), -(-len(blocks) // self._accumulate))
        means = [m for own in updates for m in self._update([blocks[i] for i in own], lesson.ids, totals)]
        for plugin in self.plugins:
            plugin.end(Passages(self.corpus, passages.ids[: len(lesson.own)]))
        sizes = np.array([len(lesson.sequences[place]) - 1 for place in lesson.own])
        return Learned(
            tokens=lesson.tokens,
            loss=float(np.average(means, weights=[np.count_nonzero(block.own) for block in blocks])),
            losses=tuple((totals[lesson.own] / sizes).tolist()),
            chunked=sum(len(sequence) - 1 > self._context for sequence in lesson.sequences),
            changed=float((self.weights.detach() != before).float().mean()),
            module=next((plugin.module for plugin in self.plugins if plugin.module), None),
        )

    def _windows(self, lesson: Reading) -> list[list[int]]:
        """The windows of linked passages in a lesson, by their places in it."""
        sizes, most = [len(sequence) for sequence in lesson.sequences], min(self._context, self.block_tokens)
        return linked_windows(self.corpus.topics[lesson.ids], sizes, self.corpus.graph, most)

    def extend(self, corpus: Corpus) -> None:
        """Read a corpus that begins with the present one: the same passages, and more after them.

        Raises:
            SettingError: If a plug-in tells topics apart by embeddings of the corpus that it began with.
        """
        if any(plugin.by_topic for plugin in self.plugins):
            names = ", ".join(plugin.name for plugin in self.plugins if plugin.by_topic)
            raise SettingError(f"the plug-in {names} knows the topics it began with alone; the corpus cannot grow")
        super().extend(corpus)

    def snapshot(self) -> DecoderSnapshot:
        """Return a copy of the trained weights, their average, the optimizer's state and the plug-ins' states."""
        average = None if self._average is None else kept_copies([self._average.vector])[0]
        return DecoderSnapshot(
            self.copy(), tuple(plugin.state() for plugin in self.plugins), self._trained_tokens, average
        )

    def restore(self, snapshot: DecoderSnapshot) -> None:
        """Go back to a snapshot; losses are then bit for bit what they were."""
        self.set_trained(snapshot.trained)
        self._trained_tokens = snapshot.tokens
        if self._average is not None and snapshot.average is not None:
            self._average.vector.copy_(snapshot.average)
        for plugin, state in zip(self.plugins, snapshot.plugins, strict=True):
            plugin.set_state(state)

    def save(self, folder: Path) -> None:
        """Write weights, optimizer state, plug-ins' state and identity to a folder, as safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self._write_weights(folder)
        first, second = self.moments
        average = {} if self._average is None else {_AVERAGE: self._average.vector}
        save_tensors(folder / _OPTIMIZER, {"first_moment": first, "second_moment": second, **average})
        states = [plugin.state() for plugin in self.plugins]
        save_tensors(
            folder / _PLUGINS, {f"{i}.{name}": t for i, state in enumerate(states) for name, t in state.items()}
        )
        write_json(folder / _STATE, {"steps": self.steps, "tokens": self._trained_tokens, **self._kind})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            KgrlError: If the folder holds no saved learner, or one of another kind, base model or shape, or with other
                plug-ins, another schedule or average, or other windows.
        """
        path = folder / _STATE
        if not path.is_file():
            raise KgrlError(f"{folder} holds no saved learner: {_STATE} is missing")
        state = {"tokens": 0, "training": {}, **read_json(path, dict[str, Any])}  # earlier versions had neither
        steps = checked(state.get("steps"), Count, path)
        tokens = checked(state["tokens"], Count, path)
        own = self._kind
        for key in [*own, *sorted(state.keys() - own.keys() - {"steps", "tokens"})]:
            if state.get(key) != own.get(key):
                saved = f"{folder} holds a learner whose {key} is {state.get(key)!r}"
                raise KgrlError(f"{saved}, which does not fit this learner: its {key} is {own.get(key)!r}")
        self._read_weights(folder)
        moments = read_tensors(folder / _OPTIMIZER)
        first, second = moments["first_moment"], moments["second_moment"]
        self.set_trained(Trained(self.weights.detach(), first, second, steps))
        self._trained_tokens = tokens
        if self._average is not None:
            self._average.vector.copy_(moments[_AVERAGE])
        tensors = read_tensors(folder / _PLUGINS)
        for i, plugin in enumerate(self.plugins):
            plugin.set_state({n.removeprefix(f"{i}."): t for n, t in tensors.items() if n.startswith(f"{i}.")})

    @property
    def _kind(self) -> dict[str, Any]:
        """Values that saved states are checked against."""
        plugins = [plugin.name for plugin in self.plugins]
        return {"learner": self.kind, **self.identity, "plugins": plugins, "training": self._training}

    @property
    def _training(self) -> dict[str, Any]:
        """Options of training that are not the usual ones."""
        options: dict[str, Any] = {}
        if self._schedule.name != "constant":
            options |= {"schedule": self._schedule.name, "schedule_tokens": self._schedule.tokens}
        if self._average is not None:
            options["average_tokens"] = self._average.tokens
        if self._accumulate > 1:
            options["accumulate"] = self._accumulate
        return options | ({"linked_windows": True} if self._linked else {})

    def _update(self, blocks: Sequence[Block], ids: IntArray, totals: NDArray[np.float64]) -> list[float]:
        """Take one optimizer step on some blocks and return their mean losses before the step, in nats per token.

        Args:
            blocks: The packed tokens.
            ids: Passage id of each of the packed sequences, for messages.
            totals: The loss of each of them so far, in nats, to which the blocks' are added.
        """
        self.gradient.zero_()  # in place, since the parameters' gradients are views of it
        sizes = [np.count_nonzero(block.own) for block in blocks]
        tokens = int(sum(sizes))
        found = [self._differentiate(block, size / tokens) for block, size in zip(blocks, sizes, strict=True)]
        for plugin in self.plugins:
            plugin.regularise()
        norm = nn.utils.clip_grad_norm_([self.weights], max_norm=1.0)
        # One transfer for all figures of the update: a host that waits for a device keeps it from working ahead.
        told = torch.cat([torch.stack([norm, *(mean for mean, _ in found)]), *(own for _, own in found)]).cpu().numpy()
        length, means, losses = told[0], told[1 : 1 + len(blocks)], told[1 + len(blocks) :]
        owners = np.concatenate([block.owners[block.own] for block in blocks])
        for part, own in zip(np.split(owners, ends := np.cumsum(sizes)[:-1]), np.split(losses, ends), strict=True):
            totals += np.bincount(part, own, minlength=len(totals))
        if not np.isfinite(means).all() or not np.isfinite(length):
            bad, read = means[np.argmin(np.isfinite(means))], ", ".join(map(str, ids[np.unique(owners)]))
            raise DivergedError(f"the training loss became {bad} with a gradient of norm {length} on passages {read}")
        # After clipping: a restriction has the last word on the gradient that the optimizer sees.
        for plugin in self.plugins:
            plugin.restrict()
        self.step(self._rate(tokens))
        self._trained_tokens += tokens
        for plugin in self.plugins:
            plugin.updated()
        if self._average is not None:  # after plug-ins, which may have the last word on the weights
            self._average.update(self.weights, tokens, self._trained_tokens)
        return [float(mean) for mean in means]

    def _differentiate(self, block: Block, share: float) -> tuple[Tensor, Tensor]:
        """Add the gradient of a block's mean loss to the gradient, by its share of the update.

        Returns:
            The mean loss, and the loss of each token that is predicted, on the learner's device.
        """
        states, head, targets, logits = self._predictions(block)
        if not block.own.all():  # within a window, the token that begins the next passage is not predicted
            own = to_device(np.flatnonzero(block.own), states.device)
            states, targets = states[own], targets[own]
        mean, losses = mean_loss(states, head, targets, logits)
        (mean if share == 1 else mean * share).backward()  # type: ignore[no-untyped-call] # torch types it so
        return mean.detach(), losses

    def _rate(self, tokens: int) -> float:
        """The learning rate of an update on so many tokens."""
        factor = math.prod(plugin.rate() for plugin in self.plugins)
        # In the middle of the update: large blocks then have the mean rate of the small ones in their place.
        factor *= self._schedule.share(self._trained_tokens + tokens / 2)
        return self.learning_rate * factor * min(1.0, (self.steps + 1) / max(1, self.warmup_steps))
