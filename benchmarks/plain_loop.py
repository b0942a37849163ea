"""A plain training loop to compare the learner with: transformers' Trainer with a PEFT adapter, as documented there.

Passages are padded to the longest of their batch; loss and logits are the model's own. `learner_throughput.py` times
it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from numpy.typing import NDArray
from transformers import DataCollatorForLanguageModeling, PrinterCallback, Trainer, TrainingArguments

from kgrl.learners.decoder.models import load_pretrained

BATCH = 8


class PlainLoop:
    """Trains and measures a model with rank-8 adapters on all linear layers, in padded batches of eight passages.

    Args:
        model: The model's name, as for `LoraLearner`.
        dtype: Number format of the model's own weights; PEFT keeps the adapter in float32.
        sequences: Token ids of each passage, the document token first.
        folder: A folder that Trainer wants; it stays empty.
    """

    def __init__(self, model: str, dtype: torch.dtype, sequences: list[NDArray[Any]], folder: Path) -> None:
        base, tokenizer = load_pretrained(model, dtype)
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=5e-4,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=5,
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            disable_tqdm=True,
        )
        self.collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        self.rows = [{"input_ids": sequence.tolist()} for sequence in sequences]
        self.trainer = Trainer(
            peft.get_peft_model(base, config),
            arguments,
            data_collator=self.collate,
            train_dataset=self.rows,  # type: ignore[arg-type] # any sequence will do
            eval_dataset=self.rows,  # type: ignore[arg-type]
        )
        self.trainer.remove_callback(PrinterCallback)

    def train(self) -> float:
        """Train on all passages once, in random order; return the mean loss."""
        return float(self.trainer.train().training_loss)

    def evaluate(self) -> float:
        """Return the mean loss of all passages."""
        return float(self.trainer.evaluate()["eval_loss"])

    def padding_share(self) -> float:
        """The share of tokens in a batch that are padding, over the batches that are trained on."""
        torch.manual_seed(self.trainer.args.seed)
        batches = [batch["labels"][:, 1:] for batch in self.trainer.get_train_dataloader()]
        return float(np.mean(np.concatenate([(labels == -100).flatten() for labels in batches])))
