"""Put a pretrained policy into the package: half-precision weights, the clicks they go with, inductive weights.

    kgrl pretrain --root DIR --out policies/curiosity
    kgrl pretrain --root DIR --out policies/inductive --hide-articles
    python benchmarks/builtin_policy.py --policy policies/curiosity --inductive policies/inductive

It writes into kgrl/builtin, and takes a second; a pretraining takes a quarter of an hour. Only the first member of the
inductive committee ships, so that the package stays small.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from kgrl.agents.base import POLICY_FILE
from kgrl.agents.policy.network import WEIGHTS_FILE
from kgrl.agents.pretraining.scoring import INDUCTIVE_WEIGHTS
from kgrl.builtin import CLICKS_FILE, FOLDER
from kgrl.system.files import replacing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--inductive", type=Path, required=True)
    arguments = parser.parse_args()
    inductive = load_file(arguments.inductive / WEIGHTS_FILE)
    _write_half(load_file(arguments.policy / WEIGHTS_FILE), FOLDER / WEIGHTS_FILE)
    first = {name: tensor for name, tensor in inductive.items() if name.startswith("members.0.")}
    _write_half(first, FOLDER / INDUCTIVE_WEIGHTS)
    for name in (POLICY_FILE, CLICKS_FILE):
        with replacing(FOLDER / name) as temporary:
            shutil.copyfile(arguments.policy / name, temporary)
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.glob("*.safetensors"))}
    print(*(f"{name}: {size:,} bytes" for name, size in sizes.items()), f"total: {sum(sizes.values()):,}", sep="\n")


def _write_half(tensors: dict[str, Tensor], path: Path) -> None:
    with replacing(path) as temporary:
        save_file({name: tensor.half() for name, tensor in tensors.items()}, temporary)


if __name__ == "__main__":
    main()
