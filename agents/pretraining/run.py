"""A pretraining in a folder: checkpoints to resume from, TensorBoard events, and the resulting policy.

The folder holds `policy.safetensors` and `policy.json`, the click counts that features are made from
(`clicks.safetensors`), `events/`, and until the end `checkpoint.safetensors`, replaced atomically after each epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor

from kgrl.agents.base import POLICY_FILE
from kgrl.agents.policy.network import CandidateScorer, save_policy
from kgrl.agents.pretraining.cloning import ClickData, Epoch, Pretrainer, PretrainingConfig
from kgrl.builtin import CLICKS_FILE
from kgrl.errors import KgrlError
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, as_encoder
from kgrl.system.files import replacing

__all__ = ["PretrainingRun"]

_CHECKPOINT = "checkpoint.safetensors"
_SLOTS = 64
"""Candidates that the resulting agent scores at a time."""
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's state of each parameter."""

Tensors = dict[str, Tensor]


@dataclass
class _Progress:
    """Progress of a pretraining.

    Args:
        member: The member of the committee that is being trained, from 0.
        epochs: Its epochs so far.
        best: Its weights after the best epoch.
        done: The weights of the members before it.
        seconds: Seconds spent so far.
    """

    member: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    best: Tensors = field(default_factory=dict)
    done: list[Tensors] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def stale(self) -> int:
        """Epochs since the best one."""
        losses = [epoch.validation_loss for epoch in self.epochs]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0


class PretrainingRun:
    """Pretrains a committee, member after member; can be stopped and resumed after any epoch.

    Args:
        folder: The run's folder; a checkpoint in it is resumed.
        data: The clicks.
        config: Hyperparameters.
        members: Number of networks in the committee.
        seed: Seed of the first member; each further one has the next seed.
        encoder: The encoder of the clicks' topics: an encoder, or the name or folder of one.

    Raises:
        KgrlError: If the folder holds a policy already, or a checkpoint of other settings.
    """

    def __init__(
        self,
        folder: Path,
        data: ClickData,
        config: PretrainingConfig,
        members: int,
        seed: int,
        encoder: AnyEncoder = DEFAULT_ENCODER,
    ) -> None:
        self.folder, self.data, self.config, self.members, self.seed = folder, data, config, members, seed
        self.settings = {**asdict(config), "members": members, "seed": seed, "hidden_topics": int(data.hidden.sum())}
        embedded = as_encoder(encoder)
        self.settings |= {"clicks": len(data.training), "encoder": str(embedded.model), "space": embedded.space}
        self._progress = _Progress()
        self._trainer = self._new_trainer()
        if (folder / _CHECKPOINT).exists():
            self._restore()
        elif (folder / POLICY_FILE).exists():
            raise KgrlError(f"{folder} holds a policy already; choose another folder")

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self._progress.seconds

    def carry_out(self, on_update: Callable[[int, int, int, float], None] | None = None) -> CandidateScorer:
        """Train to the end and write the policy.

        Args:
            on_update: Called after each update with the member, the epoch, the share of the epoch done and the loss.

        Returns:
            The committee.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter() - self._progress.seconds
        with SummaryWriter(str(self.folder / "events")) as events:
            while self._progress.member < self.members:
                # Checked before an epoch, since a checkpoint may have been written right after the last one.
                done = len(self._progress.epochs)
                if done >= self.config.epochs or (done > 0 and self._progress.stale >= self.config.patience):
                    self._next_member()
                    continue
                self._one_epoch(events, on_update)
                self._progress.seconds = time.perf_counter() - began
                self._save()
        return self._finish()

    def _one_epoch(self, events: Any, on_update: Callable[[int, int, int, float], None] | None) -> None:
        progress, number = self._progress, len(self._progress.epochs) + 1

        def report(update: int, updates: int, loss: float) -> None:
            """Log an update, and pass it on."""
            events.add_scalar(f"member{progress.member}/loss", loss, (number - 1) * updates + update)
            if on_update is not None:
                on_update(progress.member, number, round(100 * update / updates), loss)

        epoch = self._trainer.epoch(number, report)
        progress.epochs.append(epoch)
        events.add_scalar(f"member{progress.member}/validation_loss", epoch.validation_loss, number)
        events.add_scalar(f"member{progress.member}/validation_mrr", epoch.validation_mrr, number)
        if progress.stale == 0:  # this epoch is the best so far
            progress.best = _copy(self._trainer.scorer.state_dict())

    def _next_member(self) -> None:
        """Keep the best weights of the finished member, and begin the next."""
        self._progress.done.append(self._progress.best)
        self._progress.member += 1
        self._progress.epochs, self._progress.best = [], {}
        if self._progress.member < self.members:
            self._trainer = self._new_trainer()

    def _new_trainer(self) -> Pretrainer:
        return Pretrainer(self.data, self.config, self.seed + self._progress.member)

    def _finish(self) -> CandidateScorer:
        scorers = []
        for weights in self._progress.done:
            scorers.append(CandidateScorer(self.config.policy()))
            scorers[-1].load_state_dict(weights)
        committee = CandidateScorer.of(scorers).eval()
        training = {**self.settings, "seconds": round(self._progress.seconds)}
        save_policy(committee, self.folder, {"slots": _SLOTS, "sample": False, "training": training})
        with replacing(self.folder / CLICKS_FILE) as temporary:
            save_arrays(self.data.counts.to_tensors(), temporary)
        # Deleted last: until everything is written, the training can be resumed.
        (self.folder / _CHECKPOINT).unlink(missing_ok=True)
        return committee

    def _save(self) -> None:
        """Write weights, optimizer state and progress as one checkpoint."""
        progress = self._progress
        groups = {"weights": self._trainer.scorer.state_dict(), "best": progress.best, **_moments(self._trainer)}
        groups |= {f"done{member}": weights for member, weights in enumerate(progress.done)}
        flat = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in _copy(named).items()}
        state = {"member": progress.member, "epochs": progress.epochs, "seconds": progress.seconds}
        with replacing(self.folder / _CHECKPOINT) as temporary:
            save_file(flat, temporary, {"settings": json.dumps(self.settings), "progress": json.dumps(state)})

    def _restore(self) -> None:
        with safe_open(self.folder / _CHECKPOINT, framework="pt") as file:
            about = file.metadata()
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is not a dict
        # Both sides through JSON, which turns tuples into lists.
        if json.loads(about["settings"]) != json.loads(json.dumps(self.settings)):
            raise KgrlError(f"{self.folder} holds an unfinished pretraining with other settings; choose another folder")
        state = json.loads(about["progress"])
        members = range(state["member"])
        self._progress = _Progress(
            member=state["member"],
            epochs=[Epoch(*epoch) for epoch in state["epochs"]],
            best=_group(flat, "best"),
            done=[_group(flat, f"done{member}") for member in members],
            seconds=state["seconds"],
        )
        self._trainer = self._new_trainer()
        self._trainer.scorer.load_state_dict(_group(flat, "weights"))
        # The inverse of `_moments`; the optimizer's groups are those that it was just made with.
        moments = {name: _group(flat, name) for name in _MOMENTS}
        optimizer = self._trainer.optimizer.state_dict()
        optimizer["state"] = {int(n): {name: moments[name][n] for name in moments} for n in moments["step"]}
        self._trainer.optimizer.load_state_dict(optimizer)


def _copy(tensors: dict[str, Any]) -> Tensors:
    """Copies of tensors, since an optimizer changes weights in place."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _group(flat: Tensors, group: str) -> Tensors:
    """The tensors whose names begin with `group/`, by the rest of their names."""
    return {name.removeprefix(f"{group}/"): tensor for name, tensor in flat.items() if name.startswith(f"{group}/")}


def _moments(trainer: Pretrainer) -> dict[str, Tensors]:
    """AdamW's state by name, each tensor by the number of its parameter."""
    states = trainer.optimizer.state_dict()["state"]
    return {name: {str(number): state[name] for number, state in states.items()} for name in _MOMENTS}
