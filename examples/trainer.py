"""A plain `Trainer` of transformers, on text that an agent chooses while it trains.

python examples/trainer.py --model FOLDER_OR_NAME
"""

from __future__ import annotations

from pathlib import Path

import tyro
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

import kgrl
from kgrl.integrations import CurriculumCallback, CurriculumDataset


def train(model: str, out: Path = Path("trained"), steps: int = 60, corpus: str = "invented:200") -> CurriculumDataset:
    """Train a model and return the data set; training goes on from a checkpoint if there is one in the folder."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    data = CurriculumDataset(kgrl.load_corpus(corpus), tokenizer, agent="exp3s", length=128)
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(model),
        TrainingArguments(str(out), max_steps=steps, per_device_train_batch_size=4, logging_steps=5, save_steps=20),
        DataCollatorForLanguageModeling(tokenizer, mlm=False),
        train_dataset=data,
        callbacks=[CurriculumCallback(data)],
    )
    trainer.train(resume_from_checkpoint=any(out.glob("checkpoint-*")) or None)
    return data


if __name__ == "__main__":
    print(*tyro.cli(train).picked, sep="\n")
