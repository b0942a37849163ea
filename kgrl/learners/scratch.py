"""The scratch learner: a small transformer taught from random weights, for experiments in milliseconds."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kgrl.cache import cache_dir, content_key, write_text
from kgrl.corpus import Corpus, Split
from kgrl.learners.decoder import DecoderLearner, read_tensors, save_tensors

__all__ = ["ScratchLearner", "train_tokenizer"]

_DOCUMENT = "<|document|>"
_WEIGHTS = "model.safetensors"


class ScratchLearner(DecoderLearner):
    """A Llama-style decoder with all weights trained; 0.7 million of them by default.

    Its tokenizer is trained on the corpus's train passages. A saved learner is a plain Hugging Face model folder
    with the optimizer's state beside it.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the initial weights.
        width: Width of the decoder's states.
        layers: Number of layers.
        heads: Number of attention heads.
        vocabulary: Entries of the tokenizer, at most.
        learning_rate: AdamW's learning rate after the warm-up.
        block_tokens: Tokens of one update, about.
        warmup_steps: Updates until the learning rate is reached.
        device: Where to compute, for example `"cuda"`; by default the CPU.
    """

    kind = "scratch"

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        vocabulary: int = 2048,
        learning_rate: float = 3e-3,
        block_tokens: int = 256,
        warmup_steps: int = 5,
        device: str | torch.device = "cpu",
    ) -> None:
        tokenizer = train_tokenizer(corpus, vocabulary)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=8 * width // 3,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=None,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LlamaForCausalLM(config)
        super().__init__(
            corpus,
            model.to(torch.device(device)),  # type: ignore[arg-type] # transformers' wrapper hides the signature
            tokenizer,
            learning_rate=learning_rate,
            block_tokens=block_tokens,
            warmup_steps=warmup_steps,
        )

    @property
    def identity(self) -> dict[str, str | int]:
        """The tokenizer by content, and the model's shape."""
        config = self.model.config
        return {
            "tokenizer": content_key(self.tokenizer.backend_tokenizer.to_str()),
            "width": config.hidden_size,
            "layers": config.num_hidden_layers,
            "heads": config.num_attention_heads,
        }

    def _write_weights(self, folder: Path) -> None:
        save_tensors(folder / _WEIGHTS, dict(self._trained))
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _read_weights(self, folder: Path) -> None:
        tensors = read_tensors(folder / _WEIGHTS)
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(tensors[name])


def train_tokenizer(corpus: Corpus, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a corpus's train passages, or read it where that was done before.

    Args:
        corpus: The corpus; its held-out passages are not read.
        vocabulary: Entries, at most; 256 bytes and the document token are among them.
    """
    path = cache_dir() / "tokenizers" / f"{content_key(corpus.fingerprint, str(vocabulary))}.json"
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[_DOCUMENT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        train = (corpus.texts[i] for i in range(len(corpus)) if corpus.splits[i] == Split.TRAIN)
        tokenizer.train_from_iterator(train, trainer)
        write_text(path, tokenizer.to_str())
    # Read even when it was trained just now, so that the first run and the next have the same tokenizer.
    return PreTrainedTokenizerFast(tokenizer_file=str(path), bos_token=_DOCUMENT)  # type: ignore[no-untyped-call]
