"""The curiosity policy: one network that scores every candidate, and what is read from disk of it.

A candidate's score depends on its own features, the global features, and the pooled features of all candidates (deep
sets, Zaheer et al. 2017). So permuting the slots permutes the scores, empty slots change nothing, and the same weights
run on any number of slots and any graph. The module does not know Stable-Baselines3.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kgrl.agents.base import POLICY_FILE
from kgrl.envs.features import FEATURE_VERSION, FEATURES, GLOBAL_FEATURES
from kgrl.errors import KgrlError, MissingDataError

__all__ = ["CandidateScorer", "PolicyConfig", "load_policy", "save_policy"]

_WEIGHTS_FILE = "policy.safetensors"


@dataclass(frozen=True)
class PolicyConfig:
    """The sizes of a curiosity policy, and the features it reads.

    Args:
        hidden: Width of the hidden layers.
        features: Number of features of a candidate.
        global_features: Number of features of the curriculum.
        feature_version: Version of their meaning.
    """

    hidden: int = 64
    features: int = len(FEATURES)
    global_features: int = len(GLOBAL_FEATURES)
    feature_version: int = FEATURE_VERSION


class CandidateScorer(nn.Module):
    """Scores candidates and values the state they are in.

    Args:
        config: Sizes.

    Example:
        >>> scorer = CandidateScorer(PolicyConfig(hidden=8))
        >>> candidates, overall = torch.zeros(2, 5, len(FEATURES)), torch.zeros(2, len(GLOBAL_FEATURES))
        >>> logits, value = scorer(candidates, torch.ones(2, 5), overall)
        >>> tuple(logits.shape), tuple(value.shape)
        ((2, 5), (2,))
    """

    def __init__(self, config: PolicyConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PolicyConfig()
        width = config.hidden
        self.candidate = nn.Sequential(nn.Linear(config.features, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.context = nn.Sequential(nn.Linear(2 * width + config.global_features, width), nn.Tanh())
        self.score_hidden = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh())
        self.score = nn.Linear(width, 1)
        self.value_hidden = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.value = nn.Linear(width, 1)
        self._initialise()

    def forward(self, candidates: Tensor, mask: Tensor, overall: Tensor) -> tuple[Tensor, Tensor]:
        """Return the candidates' logits and the state's value.

        Args:
            candidates: Candidate features, shape `[batch, slots, features]`.
            mask: 1 for filled slots and 0 for empty ones, shape `[batch, slots]`.
            overall: Global features, shape `[batch, globals]`.

        Returns:
            Logits, shape `[batch, slots]`, the lowest float where a slot is empty; values, shape `[batch]`.
        """
        filled = (mask > 0).unsqueeze(-1)
        hidden = self.candidate(candidates) * filled  # [batch, slots, width]
        mean = hidden.sum(dim=1) / filled.sum(dim=1).clamp(min=1)
        # Tanh lies above -1, so -1 stands for "no candidate" and never beats a filled slot.
        largest = hidden.masked_fill(~filled, -1.0).amax(dim=1)
        context = self.context(torch.cat([mean, largest, overall], dim=-1))  # [batch, width]
        beside = context.unsqueeze(1).expand(-1, hidden.shape[1], -1)
        logits = self.score(self.score_hidden(torch.cat([hidden, beside], dim=-1))).squeeze(-1)
        logits = logits.masked_fill(~filled.squeeze(-1), torch.finfo(logits.dtype).min)
        return logits, self.value(self.value_hidden(context)).squeeze(-1)

    def _initialise(self) -> None:
        """Orthogonal weights, and a small last layer of the scores: a fresh policy is close to uniform."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=2**0.5)
                nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.score.weight, gain=0.01)
        nn.init.orthogonal_(self.value.weight, gain=1.0)


def save_policy(scorer: CandidateScorer, folder: Path, about: dict[str, Any]) -> None:
    """Write a policy as `policy.safetensors` and `policy.json`, each replaced atomically.

    Args:
        scorer: The network.
        folder: Where; made if needed.
        about: More entries of the JSON file, such as how it was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {**asdict(scorer.config), "feature_names": FEATURES, "global_feature_names": GLOBAL_FEATURES, **about}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in scorer.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder) as made:
        save_file(weights, Path(made) / _WEIGHTS_FILE)
        (Path(made) / POLICY_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        for name in (_WEIGHTS_FILE, POLICY_FILE):
            (Path(made) / name).replace(folder / name)


def load_policy(folder: Path) -> tuple[CandidateScorer, dict[str, Any]]:
    """Read a policy and what its JSON file says.

    Raises:
        MissingDataError: If the folder holds no policy.
        KgrlError: If the policy reads other features than this version of kgrl makes, or its files do not fit together.
    """
    if not (folder / POLICY_FILE).is_file() or not (folder / _WEIGHTS_FILE).is_file():
        raise MissingDataError(f"no trained policy in {folder}: it needs {POLICY_FILE} and {_WEIGHTS_FILE}")
    try:
        about = json.loads((folder / POLICY_FILE).read_text(encoding="utf-8"))
        config = PolicyConfig(**{name: int(about[name]) for name in PolicyConfig.__dataclass_fields__})
    except (ValueError, KeyError, TypeError) as error:
        raise KgrlError(f"{folder / POLICY_FILE} does not describe a policy: {error!r}") from error
    _check_features(config, folder)
    scorer = CandidateScorer(config)
    try:
        scorer.load_state_dict(load_file(folder / _WEIGHTS_FILE))
    except (SafetensorError, RuntimeError) as error:
        raise KgrlError(f"{folder / _WEIGHTS_FILE} does not fit {POLICY_FILE}: {error}") from error
    return scorer, about


def _check_features(config: PolicyConfig, folder: Path) -> None:
    for name in ("feature_version", "features", "global_features"):
        saved, here = getattr(config, name), getattr(PolicyConfig(), name)
        if saved != here:
            what = name.replace("_", " ")
            raise KgrlError(f"the policy in {folder} has {what} {saved}, this version of kgrl {here}; train it anew")
