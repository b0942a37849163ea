"""Architectures of causal models: kgrl's losses and gradients beside those of plain transformers and PEFT.

    python benchmarks/models.py --json docs/results/models.json --markdown docs/results/models.md

For each family a tiny checkpoint with random weights is made from the installed transformers' configuration, taught a
few passages by the LoRA learner, and compared passage by passage with `AutoModelForCausalLM` and PEFT: losses, and the
gradient of the adapter. It needs no network, and takes half a minute.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tyro

from kgrl.learners import ScratchLearner
from kgrl.system.files import write_json, write_text
from tests.support.architectures import FAMILIES, Comparison, compare
from tests.support.tiny_corpus import make_tiny_corpus

_HEAD = """# Architectures

The command: `python benchmarks/models.py --json docs/results/models.json --markdown docs/results/models.md`.

Tiny checkpoints with random weights, {n} families, transformers {transformers}, PEFT {peft}, float32 on a CPU.
Each is taught a few passages with an adapter on all linear layers. Then losses of passages, and the gradient of their
mean by the adapter, are compared with those of `AutoModelForCausalLM` and PEFT that read one passage at a time.
Weights are drawn large and biases other than 0, so that whatever is left out shows.

- **Packed** passages lie side by side in one row, none sees another. Models with recurrent state or convolutions read
  **one at a time**, and so do those whose attention cannot keep passages apart: the same results, and a warning that it
  takes longer.
- The loss difference is the largest of a passage, in nats per token; the gradient difference is a share of the
  gradient's norm.

| family | type | reads | loss difference | gradient difference |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Models:
    """Compare all families, or some.

    Args:
        families: Families, all by default.
        json: File for the figures.
        markdown: File for the page.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    json: Path | None = None
    markdown: Path | None = None


def main() -> None:
    arguments = tyro.cli(Models)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    corpus = make_tiny_corpus()
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = Path(scratch) / "tokenizer"
        ScratchLearner(corpus, seed=9, width=32, heads=2, vocabulary=400).save(tokenizer)
        found = [compare(family, corpus, tokenizer, Path(scratch) / family) for family in arguments.families]
    page = _HEAD.format(n=len(found), transformers=version("transformers"), peft=version("peft"))
    page += "".join(f"{_line(one)}\n" for one in found)
    if arguments.json is not None:
        write_json(arguments.json, {"versions": _versions(), "families": [asdict(one) for one in found]})
    if arguments.markdown is not None:
        write_text(arguments.markdown, page)
    print(page)


def _versions() -> dict[str, Any]:
    return {name: version(name) for name in ("kgrl", "torch", "transformers", "peft")}


def _line(one: Comparison) -> str:
    kind, _ = FAMILIES[one.family]
    reads = one.reading if one.reading != "refused" else f"refused: {one.why}"
    return f"| {one.family} | `{kind}` | {reads} | {one.loss:.0e} | {one.gradient:.0e} |"


if __name__ == "__main__":
    main()
