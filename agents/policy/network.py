"""The curiosity policy: one network that scores every candidate given the path so far, and its files.

A recurrent network reads the pages opened so far. Its state, the current page, the goal and the global features make
the context. The context forms queries, whose products with a candidate's embedding are features of the candidate. It
also scales and shifts the layer that reads a candidate's features (feature-wise linear modulation, Perez et al. 2018).
Permuting the slots permutes the scores, empty slots change nothing, and the same weights run on any number of slots and
any graph. The module does not know Stable-Baselines3.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kgrl.agents.base import POLICY_FILE
from kgrl.agents.policy.layers import judged, modulated, read_path
from kgrl.builtin import PROJECTED
from kgrl.envs.features.names import FEATURE_VERSION, FEATURES, GLOBAL_FEATURES, PATH_ROWS, PATH_WIDTH
from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.system.files import file_digest, replacing, write_json
from kgrl.system.schemas import read_json

__all__ = ["WEIGHTS_FILE", "CandidateScorer", "PolicyConfig", "load_policy", "save_policy"]

WEIGHTS_FILE = "policy.safetensors"
_BEFORE = "policy.before.safetensors"
"""The weights that are being replaced, until the JSON file names the new ones."""

Size = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


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
        opinions = [member(observation) for member in self.members]
        # Members' scores have arbitrary offsets; their log-probabilities can be averaged.
        logits = torch.stack([scores.log_softmax(dim=-1) for scores, _ in opinions]).mean(dim=0)
        logits = logits.masked_fill(~filled, torch.finfo(logits.dtype).min)
        return logits, torch.stack([known for _, known in opinions], dim=1)

    def values(self, known: Tensor) -> Tensor:
        """Return the values of states, shape `[batch]`, from what `judge` returned for the value heads."""
        heads = [member.value(known[:, at]) for at, member in enumerate(self.members)]  # type: ignore[operator]
        return torch.stack(heads).mean(dim=0).squeeze(-1)


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
    """The entries of `policy.json` that tell which versions of kgrl can read it."""

    features: int
    global_features: int
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
    feature_names: list[str] = []
    global_feature_names: list[str] = []
    slots: Size = 64
    sample: bool = False
    training: dict[str, Any] = {}
    weights_sha256: str | None = None

    @property
    def config(self) -> PolicyConfig:
        """The sizes of the network."""
        return PolicyConfig(**{field.name: getattr(self, field.name) for field in fields(PolicyConfig)})


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
    record = {**asdict(scorer.config), "feature_names": FEATURES, "global_feature_names": GLOBAL_FEATURES, **about}
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
    path, here = folder / POLICY_FILE, PolicyConfig()
    saved = read_json(path, _Version, "this file does not describe a policy")
    # Compared before all else, since files of another version may well have other entries.
    for name in ("feature_version", "features", "global_features"):
        if (there := getattr(saved, name)) != getattr(here, name):
            known = f"{name.replace('_', ' ')} {there}, this version of kgrl {getattr(here, name)}"
            raise KgrlError(f"the policy {path} has {known}; train it anew")
    return read_json(path, _PolicyFile, "this file does not describe a policy")


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
