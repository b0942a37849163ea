"""A callback of transformers' `Trainer` that tells a data set how the loss went, and keeps it in checkpoints."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from kgrl.errors import SettingError
from kgrl.integrations.curriculum_dataset import CurriculumDataset

__all__ = ["CurriculumCallback"]


class CurriculumCallback(TrainerCallback, ExportableState):
    """Tells a `CurriculumDataset` how the loss went.

    Its state is part of the trainer's state in each checkpoint. The trainer logs before it saves, so that what it
    has summed up of its loss is not lost.

    Args:
        dataset: The data set that the trainer trains on.

    Raises:
        SettingError: If there is none: the trainer has made a callback of its own from a checkpoint.
    """

    def __init__(self, dataset: CurriculumDataset | None = None) -> None:
        if dataset is None:
            raise SettingError("the data set restores itself; set restore_callback_states_from_checkpoint=False")
        self.dataset = dataset
        self._logged = 0  # the step of the last log

    def state(self) -> dict[str, Any]:
        """Return the data set's state in the form that the trainer keeps."""
        return {"args": {}, "attributes": {"curriculum": self.dataset.state_dict()}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let the data set begin, or continue where the checkpoint was.

        Raises:
            SettingError: If the trainer's arguments do not suit a data set that is chosen on the way.
            DataError: If the checkpoint is of another data set.
        """
        _check(args)
        steps, examples = int(state.logging_steps), _examples(args, state)
        self._logged = state.global_step
        if not state.global_step:
            self.dataset.begin(steps, examples)
            return
        if args.ignore_data_skip:
            raise SettingError("a data set that resumes has to be skipped through; set ignore_data_skip=False")
        kept_of: Any = state.stateful_callbacks  # a dictionary, after it was read
        if (kept := kept_of.get(type(self).__name__)) is None:
            raise SettingError("the checkpoint has no state of the data set: its run had no CurriculumCallback")
        self.dataset.load_state_dict(kept["attributes"]["curriculum"])
        if (self.dataset.steps, self.dataset.examples) != (steps, examples):
            before = f"{self.dataset.steps} steps between logs and {self.dataset.examples} examples a step"
            raise SettingError(f"the checkpoint had {before}, and now there are {steps} and {examples}; keep them")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Have the loss logged before a checkpoint is saved: a resumed trainer begins a new sum."""
        control.should_log = control.should_log or control.should_save

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell the data set the training loss, if the log has one."""
        if logs is not None and "loss" in logs:
            self.dataset.observe(float(logs["loss"]), state.global_step - self._logged)
            self._logged = state.global_step


def _check(args: TrainingArguments) -> None:
    if args.logging_strategy != "steps":
        raise SettingError(
            f"the agent learns from logged losses; set logging_strategy='steps', not {args.logging_strategy!s}"
        )
    if args.dataloader_num_workers:
        raise SettingError("the agent chooses in the trainer's own process; set dataloader_num_workers=0")
    # Batches that one process hands out to the others have to be of one size, and passages are not.
    handing_out: Any = args.accelerator_config  # an object, once the arguments were made
    if args.world_size > 1 and handing_out.dispatch_batches is not False:
        raise SettingError("every process reads the data set; set accelerator_config={'dispatch_batches': False}")


def _examples(args: TrainingArguments, state: TrainerState) -> int:
    """Return the number of examples of an update, over all devices and processes."""
    batch = state.train_batch_size or args.train_batch_size
    return int(batch * args.gradient_accumulation_steps * args.world_size)
