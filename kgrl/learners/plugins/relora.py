"""ReLoRA: low-rank updates that add up to one of high rank, by merging the adapter repeatedly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from kgrl.errors import SettingError
from kgrl.learners.plugins.base import Plugin, PluginHost

__all__ = ["ReLoRA"]

_UPDATES, _BASE = "updates", "base."


class ReLoRA(Plugin):
    """Merge-and-restart of low-rank adapters (Lialin et al. 2023, "High-Rank Training Through Low-Rank Updates").

    Every `every` updates the adapter is merged into the layers under it. It begins anew, A drawn and B zero, with
    optimizer moments of zero, while the learning rate rises again over `rewarm` updates.

    It is compared with full-rank training and with adapters that are never merged in docs/results/learner.md, table 5.

    AdamW's count of updates goes on, so it does not correct the new averages for having begun at zero: some hundred
    updates after a merge are up to twice as large. The rising learning rate counteracts that.

    After a merge the adapter that the learner saves fits the merged layers alone, which are then saved with it. In a
    model whose own weights are bfloat16 a merge rounds to 3 digits.

    Args:
        every: Updates from one merge to the next.
        rewarm: Updates until the learning rate is reached again after a merge.
        seed: Seeds the adapter's weights after each merge.

    Raises:
        SettingError: If `every` or `rewarm` is below 1; when it is attached, if the learner has no adapters.

    Example:
        >>> plugin = ReLoRA(every=100, rewarm=10)
        >>> plugin.rate()  # before the first merge the learner's own warm-up is enough
        1.0
    """

    name = "relora"
    replaces = True
    adapts = True

    def __init__(self, every: int = 200, rewarm: int = 20, seed: int = 0) -> None:
        if every < 1 or rewarm < 1:
            raise SettingError(f"every and rewarm must be at least 1, not {every} and {rewarm}")
        self.every, self.rewarm, self.seed = every, rewarm, seed
        self._updates = 0

    @property
    def merges(self) -> int:
        """Merges so far."""
        return self._updates // self.every

    @property
    def rebased(self) -> bool:  # type: ignore[override] # a constant where it never changes
        """True once anything was merged."""
        return self.merges > 0

    def attach(self, learner: PluginHost) -> None:
        """Find the adapters, and keep the layers under them."""
        from kgrl.learners.decoder.layers import adapted_layers  # here, since PEFT takes seconds to import

        super().attach(learner)
        self._layers = adapted_layers(learner.model)
        if not self._layers:
            raise SettingError(
                f"{self.name!r} merges adapters, and this learner has none: "
                "use the learner 'lora', or 'scratch' with a rank"
            )
        self._original = self._base()

    def rate(self) -> float:
        """Return a factor that rises to 1 after every merge; the first updates have the learner's own warm-up."""
        return min(1.0, (self._updates % self.every + 1) / self.rewarm) if self.merges else 1.0

    def updated(self) -> None:
        """Count the update, and merge at every `every`-th."""
        self._updates += 1
        if self._updates % self.every == 0:
            self._merge()

    def state(self) -> Mapping[str, Tensor]:
        """The number of updates and, once anything was merged, the merged layers, which later merges replace."""
        base = self._base() if self.merges else {}
        return {_UPDATES: torch.tensor(self._updates)} | {_BASE + name: weight for name, weight in base.items()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self._updates = int(state[_UPDATES])
        for name, original in self._original.items():
            weight = state.get(_BASE + name, original)
            self._layers[name].base_layer.weight.data = weight.to(original.device)

    def _base(self) -> dict[str, Tensor]:
        """The weights under the adapters, by layer; these tensors are replaced and never written to."""
        return {name: layer.base_layer.weight.detach() for name, layer in self._layers.items()}

    @torch.no_grad()
    def _merge(self) -> None:
        """Merge all adapters into new base weights, and begin them anew."""
        from kgrl.learners.decoder.layers import merged_weight

        # Seeded by the number of the merge: a learner that was put back draws the same again.
        rng = np.random.default_rng((self.seed, self.merges))
        for name, layer in self._layers.items():
            layer.base_layer.weight.data = merged_weight(layer)
            (adapter,) = layer.active_adapters
            down, up = f"{name}.lora_A.{adapter}.weight", f"{name}.lora_B.{adapter}.weight"
            shape = self.learner.shapes[down]  # [rank, inputs]
            bound = 1 / math.sqrt(shape[1])  # PEFT draws A with Kaiming's bound for a = sqrt(5) (He et al. 2015)
            self._overwrite(down, torch.from_numpy(rng.uniform(-bound, bound, shape).astype(np.float32)))
            self._overwrite(up, torch.zeros(self.learner.shapes[up]))

    def _overwrite(self, name: str, value: Tensor) -> None:
        """Give a trained parameter new values, and moments of zero."""
        self.learner.view(self.learner.weights, name).copy_(value)
        for moment in self.learner.moments:
            self.learner.view(moment, name).zero_()
