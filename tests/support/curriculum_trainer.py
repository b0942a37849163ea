"""A trainer of another package on a `CurriculumDataset`, in as many processes as torchrun starts; prints what it did.

    torchrun --nproc-per-node 2 tests/support/curriculum_trainer.py KIND OUT BATCH

KIND is `sft` for TRL's `SFTTrainer`, `plain` for transformers' `Trainer`, or `dispatched` for the latter as it is
without further arguments. It trains twelve steps, then six of them again from the checkpoint, and prints a line of
JSON for each process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import IterableDataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

import kgrl
from kgrl.integrations import CurriculumCallback, CurriculumDataset


def word_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token for each word."""
    words = dict.fromkeys(word for text in texts for word in text.split())
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", "<eos>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
    )


def make(kind: str, out: Path, batch: int) -> tuple[CurriculumDataset, Trainer]:
    corpus = kgrl.load_corpus("invented:200")
    tokenizer = word_tokenizer(corpus.texts)
    data = CurriculumDataset(corpus, tokenizer, agent="exp3s", length=64)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape))
    arguments: dict[str, Any] = {
        "output_dir": str(out),
        "max_steps": 12,
        "per_device_train_batch_size": batch,
        "logging_steps": 2,
        "save_steps": 3,
        "learning_rate": 1e-2,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    callbacks = [CurriculumCallback(data)]
    if kind == "sft":
        # TRL takes data sets of the package `datasets` alone.
        examples = IterableDataset.from_generator(data.__iter__)
        settings = SFTConfig(**arguments, bf16=False, max_length=64)
        return data, SFTTrainer(
            model, settings, train_dataset=examples, processing_class=tokenizer, callbacks=callbacks
        )
    if kind == "plain":
        arguments["accelerator_config"] = {"dispatch_batches": False}
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    return data, Trainer(model, TrainingArguments(**arguments), collator, train_dataset=data, callbacks=callbacks)


def main(kind: str, out: Path, batch: int) -> None:
    data, trainer = make(kind, out, batch)
    trainer.train()
    again, resumed = make(kind, out, batch)
    resumed.train(resume_from_checkpoint=str(out / "checkpoint-6"))
    pairs = zip(trainer.model.parameters(), resumed.model.parameters(), strict=True)
    same = all(torch.equal(a, b) for a, b in pairs)
    told = {"rank": int(os.environ.get("RANK", "0")), "picked": data.picked, "losses": data.losses}
    print(json.dumps({**told, "resumed": same and again.picked == data.picked and again.losses == data.losses}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    # Past Python's tidying up: freed late, a trainer's model waits for threads of its connections that wait for Python.
    os._exit(0)
