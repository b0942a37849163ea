"""The curiosity policy: one network that scores every candidate given the path so far, and its files.

A recurrent network reads the pages opened so far. Its state, the current page, the goal and the global features make
the context. The context forms queries, whose products with a candidate's embedding are features of the candidate. It
also scales and shifts the layer that reads a candidate's features (feature-wise linear modulation, Perez et al. 2018).
Permuting the slots permutes the scores, empty slots change nothing, and the same weights run on any number of slots and
any graph. The module does not know Stable-Baselines3.

A policy reads features by their names (`PolicyConfig.feature_names`), so one that was trained before there were others
computes what it computed then, bit for bit: the others do not enter its products. `CandidateScorer.reading_all` gives
them weights of zero, for a training that may make use of them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kgrl.agents.base import POLICY_FILE
from kgrl.agents.policy.layers import judged, modulated, read_path
from kgrl.builtin import PROJECTED
from kgrl.envs.features.names import (
    FEATURE_VERSION,
    FEATURES,
    GLOBAL_FEATURES,
    PATH_ROWS,
    PATH_WIDTH,
    SAME_MEANING_SINCE,
)
from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.system.display import count_text
from kgrl.system.files import file_digest, replacing, write_json
from kgrl.system.schemas import read_json

__all__ = ["WEIGHTS_FILE", "CandidateScorer", "PolicyConfig", "load_policy", "save_policy"]

WEIGHTS_FILE = "policy.safetensors"
_BEFORE = "policy.before.safetensors"
"""The weights that are being replaced, until the JSON file names the new ones."""

_COUNTS = {"features": "feature_names", "global_features": "global_feature_names"}
"""Entries of `policy.json` that are numbers of names, with the entries of the names."""

Size = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of a curiosity policy, and the names of the features it reads.

    Args:
        hidden: Width of the layers that read a candidate.
        recurrent: Width of the recurrent network that reads the path.
        heads: Number of queries that the context forms.
        members: Number of networks in the committee.
        feature_names: Features of a candidate that it reads, in the order of its weights.
        global_feature_names: Features of the state that it reads.
    """

    hidden: int = 64
    recurrent: int = 96
    heads: int = 4
    members: int = 1
    feature_names: tuple[str, ...] = FEATURES
    global_feature_names: tuple[str, ...] = GLOBAL_FEATURES


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
        read: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
            "candidates": (self.config.feature_names, FEATURES),
            "global": (self.config.global_feature_names, GLOBAL_FEATURES),
        }
        self._columns = {part: _places(names, known) for part, (names, known) in read.items() if names != known}

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

    def reading_all(self) -> CandidateScorer:
        """Return a scorer that reads all features, those that this one does not read with weights of zero.

        Its scores are the same up to rounding, until it is trained. A scorer that reads all of them is returned itself.
        """
        if not self._columns:
            return self
        own, weights = self.config, self.state_dict()
        for member in range(own.members):
            first, context = f"members.{member}.candidate.weight", f"members.{member}.context.0.weight"
            weights[first] = _with_zeros(weights[first], 0, own.feature_names, FEATURES)
            begin = weights[context].shape[1] - len(own.global_feature_names)
            weights[context] = _with_zeros(weights[context], begin, own.global_feature_names, GLOBAL_FEATURES)
        scorer = CandidateScorer(replace(own, feature_names=FEATURES, global_feature_names=GLOBAL_FEATURES))
        scorer.load_state_dict(weights)
        return scorer.train(self.training)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the candidates' logits and the state's value.

        Args:
            observation: Samples of `kgrl.envs.features.space.observation_space`, stacked along a first axis `[batch]`.

        Returns:
            Logits, shape `[batch, slots]`, the lowest float where a slot is empty; values, shape `[batch]`.
        """
        logits, known = self.judge(observation)
        return logits, self.values(known)

    def judge(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the candidates' logits and what the value heads read.

        Args:
            observation: See `forward`.

        Returns:
            Logits, as `forward` has them; inputs of the value heads, shape `[batch, members, 3 width]`.
        """
        filled = observation["mask"] > 0
        # Copied, so that products have the size that they had in training: sums of others end in other bits.
        read = {part: observation[part].index_select(-1, torch.from_numpy(at)) for part, at in self._columns.items()}
        opinions = [member({**observation, **read}) for member in self.members]
        # Members' scores have arbitrary offsets; their log-probabilities can be averaged.
        logits = torch.stack([scores.log_softmax(dim=-1) for scores, _ in opinions]).mean(dim=0)
        logits = logits.masked_fill(~filled, torch.finfo(logits.dtype).min)
        return logits, torch.stack([known for _, known in opinions], dim=1)

    def values(self, known: Tensor) -> Tensor:
        """Return the values of states, shape `[batch]`, from what `judge` returned for the value heads."""
        heads = [member.value(known[:, at]) for at, member in enumerate(self.members)]  # type: ignore[operator]
        return torch.stack(heads).mean(dim=0).squeeze(-1)


def _places(names: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each name among all."""
    return np.array([known.index(name) for name in names], dtype=np.int64)


def _with_zeros(weight: Tensor, begin: int, names: Sequence[str], known: Sequence[str]) -> Tensor:
    """Return a layer's weights with a column for each known feature, zeros for those that it does not read.

    Args:
        weight: The weights, `[out, in]`.
        begin: The column of the first feature; what is before and after the features stays.
        names: The features that have columns, in their order.
        known: The features that are to have some.
    """
    columns = weight.new_zeros(len(weight), len(known))
    columns[:, torch.from_numpy(_places(names, known))] = weight[:, begin : begin + len(names)]
    return torch.cat([weight[:, :begin], columns, weight[:, begin + len(names) :]], dim=1)


class _Member(nn.Module):
    """One network of the committee."""

    def __init__(self, config: PolicyConfig, dropout: float) -> None:
        super().__init__()
        width = config.hidden
        self.path = nn.GRU(PATH_WIDTH, config.recurrent, batch_first=True)
        known = config.recurrent + PATH_WIDTH + PROJECTED + len(config.global_feature_names)
        self.context = nn.Sequential(nn.Linear(known, 2 * width), nn.GELU(), nn.Dropout(dropout))
        self.questions = nn.Linear(2 * width, config.heads * PROJECTED)
        self.modulation = nn.Linear(2 * width, 2 * width)
        self.candidate = nn.Linear(len(config.feature_names) + config.heads, width)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width))
        self.score = nn.Linear(width, 1)
        self.value = nn.Sequential(nn.Linear(3 * width, width), nn.Tanh(), nn.Linear(width, 1))
        # Small last layers: a new policy is close to uniform, and the context hardly shifts anything at first.
        for layer, gain in ((self.score, 0.01), (self.modulation, 0.1), (self.value[-1], 1.0)):
            assert isinstance(layer, nn.Linear)
            nn.init.orthogonal_(layer.weight, gain=gain)
            nn.init.zeros_(layer.bias)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return scores and what the value head reads.

        Shapes `[batch, slots]`, the lowest float where a slot is empty, and `[batch, 3 width]`.
        """
        context = self._context(observation)
        questions = self.questions(context).unflatten(1, (-1, PROJECTED))  # [batch, heads, projected]
        answers = observation["topics"] @ questions.transpose(1, 2) / PROJECTED**0.5  # [batch, slots, heads]
        scale, shift = self.modulation(context).chunk(2, dim=-1)
        read = modulated(self._read_candidates(observation["candidates"], answers), self.norm, scale, shift)
        scores, mean = judged(self.hidden(read), observation["mask"], self.score)
        return scores, torch.cat([context, mean], dim=-1)

    def _read_candidates(self, features: Tensor, answers: Tensor) -> Tensor:
        """The layer that reads candidates, `[batch, slots, width]`.

        Features and answers have a product each: joined, they would be copied, and features get a gradient.
        """
        known = features.shape[-1]
        weight = self.candidate.weight
        read = torch.addmm(self.candidate.bias, features.flatten(0, 1), weight[:, :known].t())
        return torch.addmm(read, answers.flatten(0, 1), weight[:, known:].t()).view(*features.shape[:2], -1)

    def _context(self, observation: Mapping[str, Tensor]) -> Tensor:
        """The context: path, current page, goal and state, which the scores depend on beside the candidate.

        Shape `[batch, 2 width]`.
        """
        path = observation["path"]
        read = read_path(self.path, path[:, : PATH_ROWS - 1])
        return self.context(torch.cat([read, path[:, -1], observation["goal"], observation["global"]], dim=-1))  # type: ignore[no-any-return]


class _Version(msgspec.Struct):
    """The entry of `policy.json` that tells which versions of kgrl can read it."""

    feature_version: int


class _PolicyFile(msgspec.Struct, forbid_unknown_fields=True):
    """The content of `policy.json`."""

    hidden: Size
    recurrent: Size
    heads: Size
    members: Size
    features: Size
    global_features: Size
    feature_version: Size
    feature_names: list[str]
    global_feature_names: list[str]
    slots: Size = 64
    sample: bool = False
    training: dict[str, Any] = {}
    weights_sha256: str | None = None

    @property
    def config(self) -> PolicyConfig:
        """The sizes of the network, and the features it reads."""
        sizes = self.hidden, self.recurrent, self.heads, self.members
        return PolicyConfig(*sizes, tuple(self.feature_names), tuple(self.global_feature_names))


def save_policy(scorer: CandidateScorer, folder: Path, about: dict[str, Any]) -> None:
    """Write a policy as `policy.safetensors` and `policy.json`.

    The JSON file has the digest of its weights, and is replaced last. Until then the weights before are kept beside
    them; so whenever the process is killed, the folder holds the policy before or the new one, whole.

    Args:
        scorer: The network.
        folder: The folder; made if it is missing.
        about: Further entries of the JSON file: the number of slots, `sample`, and the record of the training.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in scorer.state_dict().items()}
    content = save(weights)
    if (folder / WEIGHTS_FILE).is_file():
        with replacing(folder / _BEFORE, durable=True) as temporary:
            shutil.copyfile(folder / WEIGHTS_FILE, temporary)
    with replacing(folder / WEIGHTS_FILE, durable=True) as temporary:
        temporary.write_bytes(content)
    record = {**asdict(scorer.config), "feature_version": FEATURE_VERSION, **about}
    # Versions before 5 refuse a file by its version, after they found these.
    record |= {name: len(record[names]) for name, names in _COUNTS.items()}
    record["weights_sha256"] = hashlib.sha256(content).hexdigest()
    write_json(folder / POLICY_FILE, record, durable=True)
    (folder / _BEFORE).unlink(missing_ok=True)


def load_policy(folder: Path, weights: str = WEIGHTS_FILE) -> tuple[CandidateScorer, dict[str, Any]]:
    """Read a policy, and return the network with the entries of its JSON file.

    Args:
        folder: The policy's folder.
        weights: The file of its weights.

    Raises:
        MissingDataError: If the folder holds no policy.
        DataError: If a file cannot be used, or the two do not fit together; the message names it.
        KgrlError: If the policy reads other features than this version of kgrl makes.
    """
    if not (folder / POLICY_FILE).is_file() or not (folder / weights).is_file():
        raise MissingDataError(f"no trained policy in {folder}: it needs {POLICY_FILE} and {weights}")
    about = _read_about(folder)
    path = _weights_of(folder, about) if weights == WEIGHTS_FILE else folder / weights
    try:
        scorer = _unfilled(path, about.config)
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise DataError(path, None, f"not the weights of a policy: {error}") from error
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise DataError(path, None, "the weights of the policy have NaNs or infinities")
    scorer.load_state_dict(tensors, assign=True)
    return scorer.eval(), msgspec.to_builtins(about)


def _read_about(folder: Path) -> _PolicyFile:
    path, wrong = folder / POLICY_FILE, "this file does not describe a policy"
    there = read_json(path, _Version, wrong).feature_version
    # Compared before all else, since files of another version may well have other entries.
    if not SAME_MEANING_SINCE <= there <= FEATURE_VERSION:
        known = f"feature version {there}, this version of kgrl {FEATURE_VERSION}"
        raise KgrlError(f"the policy {path} has {known}; train it anew")
    about = read_json(path, _PolicyFile, wrong)
    _check_names(path, about.feature_names, about.features, FEATURES)
    _check_names(path, about.global_feature_names, about.global_features, GLOBAL_FEATURES)
    return about


def _check_names(path: Path, names: Sequence[str], count: int, known: Sequence[str]) -> None:
    """Refuse a policy that reads features which this version does not make, or whose names are not as many as said."""
    for name in names:
        if name not in known:
            raise KgrlError(
                f"the policy {path} reads {name!r}, which this version of kgrl does not make; train it anew"
            )
    if len(names) != count or len(set(names)) != count:
        found = f"{count_text(len(set(names)), 'feature')} named, where it says {count}"
        raise DataError(path, None, f"{found}; this file does not describe a policy")


def _weights_of(folder: Path, about: _PolicyFile) -> Path:
    """Return the weights that the JSON file was written with: a save that was interrupted leaves those before, too."""
    path = folder / WEIGHTS_FILE
    if about.weights_sha256 is None or file_digest(path) == about.weights_sha256:
        return path
    if (folder / _BEFORE).is_file() and file_digest(folder / _BEFORE) == about.weights_sha256:
        return folder / _BEFORE
    raise DataError(path, None, f"these are not the weights that {POLICY_FILE} was written with: they are damaged")


def _unfilled(path: Path, config: PolicyConfig) -> CandidateScorer:
    """Return a network without weights, after a check that those in a file have its sizes.

    Nothing of such a size is made: the file's header tells sizes, and the network is on torch's device without memory.

    Raises:
        DataError: If the sizes differ.
    """
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - it is not a dict
    # Counted by the weights' names: a second file of weights may have fewer members than the JSON file says.
    members = len({name.split(".")[1] for name in found if name.startswith("members.")})
    if not members:
        raise DataError(path, None, "the file has no member of a committee of networks")
    with torch.device("meta"):
        scorer = CandidateScorer(replace(config, members=members))
    wanted = {name: tuple(tensor.shape) for name, tensor in scorer.state_dict().items()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            sizes = f"{name} is {_shape(found.get(name))}, and should be {_shape(wanted.get(name))}"
            raise DataError(path, None, f"the file does not fit {POLICY_FILE}: {sizes}")
    return scorer


def _shape(sizes: tuple[int, ...] | None) -> str:
    return "missing" if sizes is None else " x ".join(map(str, sizes))
