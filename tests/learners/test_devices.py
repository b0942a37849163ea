"""Devices: names, placement, and the same results by what is used on other devices than the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from kgrl.corpus import Corpus
from kgrl.errors import SettingError, UnknownNameError
from kgrl.learners import make_learner
from kgrl.learners.decoder.models import load_pretrained
from kgrl.learners.decoder.packing import pack, pack_branches
from kgrl.learners.decoder.pretrained import PretrainedDecoder
from kgrl.retrieval.encoder import Encoder
from kgrl.system.devices import find_device, known_devices, spare_memory
from tests.support.marked_device import WANTED

ROOT = Path(__file__).resolve().parents[2]


def test_all_is_on_a_learner_s_device() -> None:
    """In a process of its own, which has a device of another kind for all of its life."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(ROOT / "tests/support/on_marked_device.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, WANTED: "1"},
    )
    assert done.returncode == 0, done.stdout[-8_000:]


def test_one_mask_for_all_passages_gives_the_states_of_one_call_for_each(base_folder: Path) -> None:
    model, _ = load_pretrained(str(base_folder), torch.float32)
    decoder = PretrainedDecoder(model)
    rng = np.random.default_rng(0)
    (packed,) = pack([rng.integers(1, 300, n) for n in (9, 2, 14)], block_tokens=100, context=50)
    groups = [[np.array([0, 5, 6, 7, 8]), np.array([0, 5, 6, 9])], [np.array([0, 4, 3]), np.array([0, 4, 2])]]
    (branched,) = pack_branches(groups, block_tokens=100)
    for block in (packed, branched):
        expected = decoder.states(block)
        seen = {"seen": decoder._seen(block), "attention_mask": torch.empty(1, 1, 0, 0)}
        with patch.object(decoder, "_ours", return_value=seen):
            torch.testing.assert_close(decoder.states(block), expected, rtol=1e-4, atol=1e-5)


def test_a_device_that_is_not_there_is_refused_with_those_that_are(tiny_corpus: Corpus) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown device 'cuda:63'.*Known: auto, .*cpu$"):
        find_device("cuda:63")
    with pytest.raises(UnknownNameError, match=r"unknown device 'gpu'"):
        make_learner("scratch:device=gpu", tiny_corpus)
    with pytest.raises(UnknownNameError, match=r"unknown device 'gpu'"):
        Encoder("minilm", device="gpu")
    assert find_device("auto") == torch.device(known_devices()[0])


def test_devices_are_listed_fastest_first() -> None:
    with (
        patch("torch.cuda.is_available", return_value=True),
        patch("torch.cuda.device_count", return_value=2),
        patch("torch.backends.mps.is_available", return_value=True),
    ):
        assert known_devices() == ["cuda", "cuda:0", "cuda:1", "mps", "cpu"]
        assert find_device("cuda:1") == torch.device("cuda", 1)
        assert find_device("auto") == torch.device("cuda")


def test_the_spare_memory_of_a_card_counts_what_torch_holds_and_does_not_use() -> None:
    card = torch.device("cuda", 1)
    with (
        patch("torch.cuda.mem_get_info", return_value=(700, 1000)),
        patch("torch.cuda.memory_reserved", return_value=250),
        patch("torch.cuda.memory_allocated", return_value=200),
    ):
        assert spare_memory(card) == 750
    assert spare_memory(torch.device("cpu")) is None


def test_an_encoder_s_device_may_follow_its_name_and_is_part_of_its_vectors() -> None:
    plain = Encoder("minilm")
    with patch("torch.backends.mps.is_available", return_value=True):
        placed = Encoder("minilm:device=mps")
    assert (placed.model, placed.device) == ("minilm", "mps")
    assert placed.fingerprint != plain.fingerprint and placed.space == plain.space
    assert Encoder("static:device=auto") == Encoder("static")  # its vectors are looked up, wherever
    with pytest.raises(SettingError, match="unknown option of encoders 'devise'; did you mean 'device'"):
        Encoder("minilm:devise=mps")
