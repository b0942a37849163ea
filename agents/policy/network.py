"""The curiosity policy: one network that scores every candidate given the path so far, and its files.

A recurrent network reads the pages opened so far. Its state, the current page, the goal and the global features make
the context. The context forms queries, whose products with a candidate's embedding are features of the candidate. It
also scales and shifts the layer that reads a candidate's features (feature-wise linear modulation, Perez et al. 2018).
Permuting the slots permutes the scores, empty slots change nothing, and the same weights run on any number of slots and
any graph. The module does not know Stable-Baselines3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kgrl.agents.base import POLICY_FILE
from kgrl.builtin import PROJECTED
from kgrl.envs.features.names import FEATURE_VERSION, FEATURES, GLOBAL_FEATURES, PATH_ROWS, PATH_WIDTH
from kgrl.errors import KgrlError, MissingDataError
from kgrl.system.files import temporary_folder

__all__ = ["WEIGHTS_FILE", "CandidateScorer", "PolicyConfig", "load_policy", "save_policy"]

WEIGHTS_FILE = "policy.safetensors"


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of a curiosity policy, and the features it reads.

    Args:
        hidden: Width of the layers that read a candidate.
        recurrent: Width of the recurrent network that reads the path.
        heads: Number of queries that the context forms.
        members: Number of networks in the committee.
        features: Number of features of a candidate.
        global_features: Number of features of the state.
        feature_version: Version of their meaning.
    """

    hidden: int = 64
    recurrent: int = 96
    heads: int = 4
    members: int = 1
    features: int = len(FEATURES)
    global_features: int = len(GLOBAL_FEATURES)
    feature_version: int = FEATURE_VERSION


class CandidateScorer(nn.Module):
    """Network that scores candidates and values states: a committee whose log-probabilities are averaged.

    Args:
        config: Sizes; the defaults if None.
        dropout: Share of activations dropped in training.

    Example:
        >>> from kgrl.envs.features.space import observation_space
        >>> observation = {name: torch.as_tensor(v)[None] for name, v in observation_space(5).sample().items()}
        >>> logits, value = CandidateScorer(PolicyConfig(hidden=8))(observation)
        >>> tuple(logits.shape), tuple(value.shape)
        ((1, 5), (1,))
    """

    def __init__(self, config: PolicyConfig | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config or PolicyConfig()
        self.members = nn.ModuleList(_Member(self.config, dropout) for _ in range(self.config.members))

    @classmethod
    def of(cls, scorers: Sequence[CandidateScorer]) -> CandidateScorer:
        """Join scorers of the same sizes, trained separately, in one committee.

        Args:
            scorers: The scorers; their members become its own.
        """
        members = [member for scorer in scorers for member in scorer.members]
        joined = cls(replace(scorers[0].config, members=len(members)))
        joined.members = nn.ModuleList(members)
        return joined

    def apart(self) -> list[CandidateScorer]:
        """Return each member as a separate scorer that shares its weights."""
        scorers = [CandidateScorer(replace(self.config, members=1)) for _ in self.members]
        for scorer, member in zip(scorers, self.members, strict=True):
            scorer.members = nn.ModuleList([member])
        return scorers

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the candidates' logits and the state's value.

        Args:
            observation: Samples of `kgrl.envs.features.space.observation_space`, stacked along a first axis `[batch]`.

        Returns:
            Logits, shape `[batch, slots]`, the lowest float where a slot is empty; values, shape `[batch]`.
        """
        filled = observation["mask"] > 0
        judged = [member(observation, filled) for member in self.members]
        # Members' scores have arbitrary offsets; their log-probabilities can be averaged.
        logits = torch.stack([scores.log_softmax(dim=-1) for scores, _ in judged]).mean(dim=0)
        logits = logits.masked_fill(~filled, torch.finfo(logits.dtype).min)
        return logits, torch.stack([value for _, value in judged]).mean(dim=0)


class _Member(nn.Module):
    """One network of the committee."""

    def __init__(self, config: PolicyConfig, dropout: float) -> None:
        super().__init__()
        width = config.hidden
        self.path = nn.GRU(PATH_WIDTH, config.recurrent, batch_first=True)
        known = config.recurrent + PATH_WIDTH + PROJECTED + config.global_features
        self.context = nn.Sequential(nn.Linear(known, 2 * width), nn.GELU(), nn.Dropout(dropout))
        self.questions = nn.Linear(2 * width, config.heads * PROJECTED)
        self.modulation = nn.Linear(2 * width, 2 * width)
        self.candidate = nn.Linear(config.features + config.heads, width)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.GELU())
        self.score = nn.Linear(width, 1)
        self.value = nn.Sequential(nn.Linear(3 * width, width), nn.Tanh(), nn.Linear(width, 1))
        # Small last layers: a new policy is close to uniform, and the context hardly shifts anything at first.
        for layer, gain in ((self.score, 0.01), (self.modulation, 0.1), (self.value[-1], 1.0)):
            assert isinstance(layer, nn.Linear)
            nn.init.orthogonal_(layer.weight, gain=gain)
            nn.init.zeros_(layer.bias)

    def forward(self, observation: Mapping[str, Tensor], filled: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores, shape `[batch, slots]`, the lowest float where a slot is empty; values, shape `[batch]`."""
        context = self._context(observation)
        questions = self.questions(context).unflatten(1, (-1, PROJECTED))  # [batch, heads, projected]
        answers = observation["topics"] @ questions.transpose(1, 2) / PROJECTED**0.5  # [batch, slots, heads]
        scale, shift = self.modulation(context).unsqueeze(1).chunk(2, dim=-1)
        read = self.norm(self.candidate(torch.cat([observation["candidates"], answers], dim=-1)))
        hidden = self.hidden(nn.functional.gelu(read * (1 + scale) + shift))  # [batch, slots, width]
        logits = self.score(hidden).squeeze(-1)
        logits = logits.masked_fill(~filled, torch.finfo(logits.dtype).min)
        mean = (hidden * filled.unsqueeze(-1)).sum(dim=1) / filled.sum(dim=1, keepdim=True).clamp(min=1)
        return logits, self.value(torch.cat([context, mean], dim=-1)).squeeze(-1)

    def _context(self, observation: Mapping[str, Tensor]) -> Tensor:
        """The context: path, current page, goal and state, which the scores depend on beside the candidate.

        Shape `[batch, 2 width]`.
        """
        path = observation["path"]
        read = self._read_path(path[:, : PATH_ROWS - 1])
        return self.context(torch.cat([read, path[:, -1], observation["goal"], observation["global"]], dim=-1))  # type: ignore[no-any-return]

    def _read_path(self, rows: Tensor) -> Tensor:
        """The state of the recurrent network after the last row, shape `[batch, recurrent]`.

        Rows are right-aligned: those before the first page are zeros and must not change the state. They are therefore
        rolled to the end, and the state after the last page is taken.
        """
        present = rows.any(dim=-1).sum(dim=1)  # [batch]
        longest = int(present.max().clamp(min=1))
        order = (torch.arange(longest, device=rows.device) - present.unsqueeze(1)) % rows.shape[1]
        moved = rows.gather(1, order.unsqueeze(-1).expand(-1, -1, rows.shape[2]))
        states, _ = self.path(moved)
        last = (present - 1).clamp(min=0)
        return states[torch.arange(len(rows), device=rows.device), last] * (present > 0).unsqueeze(1)  # type: ignore[no-any-return]


def save_policy(scorer: CandidateScorer, folder: Path, about: dict[str, Any]) -> None:
    """Write a policy as `policy.safetensors` and `policy.json`, each replaced atomically.

    Args:
        scorer: The network.
        folder: Where; made if needed.
        about: Further entries of the JSON file, such as the record of its training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {**asdict(scorer.config), "feature_names": FEATURES, "global_feature_names": GLOBAL_FEATURES, **about}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in scorer.state_dict().items()}
    with temporary_folder(folder / "policy") as made:
        save_file(weights, made / WEIGHTS_FILE)
        (made / POLICY_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        for name in (WEIGHTS_FILE, POLICY_FILE):
            (made / name).replace(folder / name)


def load_policy(folder: Path, weights: str = WEIGHTS_FILE) -> tuple[CandidateScorer, dict[str, Any]]:
    """Read a policy, and return the network with the entries of its JSON file.

    Args:
        folder: The policy's folder.
        weights: The file of its weights.

    Raises:
        MissingDataError: If the folder holds no policy.
        KgrlError: If the policy reads other features than this version of kgrl makes, or its files do not fit together.
    """
    if not (folder / POLICY_FILE).is_file() or not (folder / weights).is_file():
        raise MissingDataError(f"no trained policy in {folder}: it needs {POLICY_FILE} and {weights}")
    try:
        about = json.loads((folder / POLICY_FILE).read_text(encoding="utf-8"))
        config = PolicyConfig(**{name: int(about.get(name, 0)) for name in PolicyConfig.__dataclass_fields__})
    except (ValueError, TypeError, AttributeError) as error:
        raise KgrlError(f"{folder / POLICY_FILE} does not describe a policy: {error!r}") from error
    for name in ("feature_version", "features", "global_features"):
        saved, here = getattr(config, name), getattr(PolicyConfig(), name)
        if saved != here:
            what = name.replace("_", " ")
            raise KgrlError(f"the policy in {folder} has {what} {saved}, this version of kgrl {here}; train it anew")
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(folder / weights).items()}
        # Counted by the weights' names: a second file of weights may have fewer members than the JSON file says.
        members = len({name.split(".")[1] for name in tensors if name.startswith("members.")})
        scorer = CandidateScorer(replace(config, members=members))
        scorer.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise KgrlError(f"{folder / weights} does not fit {POLICY_FILE}: {error}") from error
    return scorer.eval(), about
