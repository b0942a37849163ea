"""Declared schemas of files: JSON and YAML in, checked values out, and errors that name file, line and field.

A schema is a type: a dataclass, a `msgspec.Struct`, or a built-in type with type arguments. Nothing is converted: a
number in quotes is a text, `true` is no number. Refused are unknown keys, keys given twice, NaN, infinity and numbers
too large for a float, half of a surrogate pair, and nesting without end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

import msgspec
import yaml
from msgspec import Meta, inspect

from kgrl.errors import DataError, closest_name

__all__ = [
    "Above0",
    "Count",
    "Index",
    "Nats",
    "NotBelow0",
    "Positive",
    "checked",
    "decode_json",
    "decode_yaml",
    "read_json",
    "read_yaml",
    "yaml_text",
]

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A whole number from 0 on that every reader of JSON has exactly."""
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Index = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
"""The number of a thing, such as a topic; -1 for none."""

Above0 = Annotated[float, Meta(gt=0, le=1e12)]
NotBelow0 = Annotated[float, Meta(ge=0, le=1e12)]
Nats = Annotated[float, Meta(ge=-1e3, le=1e3)]
"""A loss or a change of one, in nats per token; that of a uniform guess among all 32-bit numbers is 22."""

_MOST_SHOWN = 60
"""Characters of a value that a message shows."""
_DEEPEST = 50
"""Brackets in brackets that a YAML text may have."""
_BOM = "\ufeff"
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def read_json(path: Path, kind: type[T], way_out: str = "") -> T:
    """Return the value in a JSON file.

    Args:
        path: The file.
        kind: The schema.
        way_out: What to do about a file that cannot be used; the end of the message.

    Raises:
        DataError: If the file is not of the schema.
    """
    try:
        return decode_json(path.read_bytes(), kind, path)
    except DataError as error:
        raise _advised(error, way_out) from error


def read_yaml(path: Path, kind: type[T], way_out: str = "") -> T:
    """Return the value in a YAML file; see `read_json` and `decode_yaml`."""
    try:
        return decode_yaml(path.read_bytes(), kind, path)
    except DataError as error:
        raise _advised(error, way_out) from error


def decode_json(data: bytes | str, kind: type[T], path: str | Path, line: int | None = None) -> T:
    """Return the value of a JSON text.

    Args:
        data: The text; bytes are UTF-8, with or without a byte order mark.
        kind: The schema.
        path: The file that messages name.
        line: Its line that holds the text, from 1; None if the text is the whole file.

    Raises:
        DataError: If the text is not of the schema.

    Example:
        >>> decode_json('{"loss": 3.5}', dict[str, float], "metrics.jsonl", 7)
        {'loss': 3.5}
        >>> decode_json('{"loss": "low"}', dict[str, float], "metrics.jsonl", 7)
        Traceback (most recent call last):
        ...
        kgrl.errors.DataError: metrics.jsonl:7: […]: expected a number, found text
    """
    text = _decoded(data, path, line)
    try:
        value = _whole(_JSON.decode(text.removeprefix(_BOM)), text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if line is None else f"column {error.colno}"
        raise DataError(path, line, f"not JSON: {error.msg} at {place}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(path, line, f"not JSON: {_reason(error)}") from error
    return checked(value, kind, path, line)


def decode_yaml(data: bytes | str, kind: type[T], path: str | Path) -> T:
    r"""Return the value of a YAML text, with the plain scalars of YAML 1.2: `1e-4` is a number, `No` is a text.

    Raises:
        DataError: If the text is not of the schema, or has tags or aliases, which no file of kgrl needs.

    Example:
        >>> decode_yaml("rate: 1e-4\nname: No", dict[str, float | str], "mine.yaml")
        {'rate': 0.0001, 'name': 'No'}
    """
    text = _decoded(data, path, None)
    try:
        value = _whole(yaml.load(text, _Yaml), text)  # noqa: S506 - a safe loader with fewer types
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError(path, line, f"not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(path, None, f"not YAML: {_reason(error)}") from error
    return checked(value, kind, path)


def checked(value: Any, kind: type[T], path: str | Path, line: int | None = None) -> T:
    """Return a value that JSON or YAML gave as one of the schema's type.

    Raises:
        DataError: If it is not of the schema.
    """
    try:
        made = msgspec.convert(value, kind, dec_hook=_path, str_keys=True)
    except msgspec.ValidationError as error:
        why = next(_unknown(value, _described(kind)), None) or _told(error, value, kind)
        raise DataError(path, line, why) from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # from the checks of a dataclass
        raise DataError(path, line, str(error)) from error
    # msgspec passes over what a dataclass does not know.
    for unknown in _unknown(value, _described(kind)):
        raise DataError(path, line, unknown)
    return made


def yaml_text(value: Mapping[str, Any]) -> str:
    r"""Return plain values as YAML that `decode_yaml` reads as the same values.

    Example:
        >>> yaml_text({"name": "1e-4", "rate": 1e-4})
        "name: '1e-4'\nrate: 0.0001\n"
    """
    plain = msgspec.to_builtins(value, str_keys=False)  # tuples become lists: YAML has no tuples
    return yaml.dump(plain, Dumper=_Written, sort_keys=False, allow_unicode=True, width=120)


def _path(kind: type, value: Any) -> Path:
    """Return a path for text, the only type of fields that JSON and YAML do not have."""
    if kind is not Path or not isinstance(value, str) or "\0" in value:
        raise TypeError("expected the path of a file")
    return Path(value)


def _advised(error: DataError, way_out: str) -> DataError:
    return DataError(error.path, error.line, f"{error.reason}; {way_out}") if way_out else error


def _decoded(data: bytes | str, path: str | Path, line: int | None) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        other = " (it looks like UTF-16; save it as UTF-8)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise DataError(path, line, f"invalid UTF-8 at byte {error.start}{other}") from None


def _whole(value: Any, text: str) -> Any:
    """Return a value that was read; refuse half of a surrogate pair, which escapes can stand for."""
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("an escape stands for half a character") from None
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = " ".join(str(error).split())  # YAML's messages have several lines
    return "a number has too many digits" if said.startswith("Exceeds the limit") else said


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_shown(twice)} is given twice")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is no finite number")
    return number


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no finite number")


_JSON = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_finite, parse_constant=_constant)


def _marked(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


class _Core:
    """The plain scalars of YAML 1.2's core schema, instead of those of YAML 1.1."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    @classmethod
    def resolve_core(cls) -> None:
        """Set the forms of null, booleans and numbers."""
        forms = {
            "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
            "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
            "int": (r"[-+]?[0-9]+", list("-+0123456789")),
            "float": (
                r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
                list("-+.0123456789"),
            ),
        }
        cls.yaml_implicit_resolvers = {}
        for name, (form, first) in forms.items():
            for letter in first:
                known = cls.yaml_implicit_resolvers.setdefault(letter, [])
                known.append((f"tag:yaml.org,2002:{name}", re.compile(f"(?:{form})$")))


class _Yaml(_Core, yaml.SafeLoader):
    """Loader of plain values: no tags, no aliases, no key twice, finite numbers only."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse what could refer to something else."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _marked("aliases are not read", event)
        if getattr(event, "tag", None) is not None:
            raise _marked("tags are not read", event)
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, token: Any) -> None:
        """Refuse brackets without end, which take time by the cube of their number."""
        if self.flow_level >= _DEEPEST:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=self.get_mark())
        super().fetch_flow_collection_start(token)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Return a finite number."""
        return _finite(node.value.replace(".inf", "inf").replace(".nan", "nan"))

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Return a whole number in decimal digits."""
        return int(node.value)

    def construct_table(self, node: yaml.MappingNode) -> Iterator[dict[Any, Any]]:
        """Return a table without a key given twice."""
        made: dict[Any, Any] = {}
        yield made
        for key, value in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str | int):
                raise _marked("a key must be text", key)
            if name in made:
                raise _marked(f"the key {_shown(name)} is given twice", key)
            made[name] = self.construct_object(value, deep=True)


class _Written(_Core, yaml.SafeDumper):
    """Dumper that quotes texts which `_Yaml` would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value each time it occurs."""
        return True


for _class in (_Yaml, _Written):
    _class.resolve_core()
_Yaml.add_constructor("tag:yaml.org,2002:float", _Yaml.construct_number)
_Yaml.add_constructor("tag:yaml.org,2002:int", _Yaml.construct_integer)
_Yaml.add_constructor("tag:yaml.org,2002:map", _Yaml.construct_table)


_infos: dict[Any, inspect.Type] = {}


def _described(kind: Any) -> inspect.Type:
    """Return msgspec's description of a schema; making one takes longer than reading a record."""
    if kind not in _infos:
        _infos[kind] = inspect.type_info(kind)
    return _infos[kind]


def _unknown(value: Any, kind: inspect.Type, where: str = "") -> Iterator[str]:
    """Yield what to say about each key that a dataclass or structure in a value does not have."""
    kind = _bare(kind)
    if isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _unknown(value, one, where)
    elif isinstance(kind, inspect.DataclassType | inspect.StructType) and isinstance(value, dict):
        known = {f.encode_name: f.type for f in kind.fields}
        for key, entry in value.items():
            if key not in known and _closed(kind):
                close = closest_name(str(key), known)
                hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
                yield f"{where}{_shown(key)} is no known key; {hint}"
            elif key in known and _may_hide(known[key]):
                yield from _unknown(entry, known[key], f"{where}{key}.")
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict) and _may_hide(kind.value_type):
        for key, entry in value.items():
            yield from _unknown(entry, kind.value_type, f"{where}{key}.")
    elif isinstance(kind, inspect.VarTupleType | inspect.ListType) and _may_hide(kind.item_type):
        for at, entry in enumerate(value if isinstance(value, list) else ()):
            yield from _unknown(entry, kind.item_type, f"{where.removesuffix('.')}[{at}].")


_PLAIN = (inspect.IntType, inspect.FloatType, inspect.StrType, inspect.BoolType, inspect.NoneType, inspect.AnyType)


def _closed(kind: inspect.DataclassType | inspect.StructType) -> bool:
    """Return whether a schema refuses further keys: dataclasses do, structures say so."""
    return not isinstance(kind, inspect.StructType) or kind.cls.__struct_config__.forbid_unknown_fields


def _may_hide(kind: inspect.Type) -> bool:
    """Return whether a value of this type can hold a dataclass: most lists are long and of numbers."""
    return not isinstance(_bare(kind), _PLAIN)


def _bare(kind: inspect.Type) -> inspect.Type:
    """Return a type without the description that a schema gives it."""
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _told(error: msgspec.ValidationError, value: Any, kind: Any) -> str:
    """Return what msgspec says in the words of people who write files."""
    said, _, at = str(error).partition(" - at ")
    where = at.replace("key in ", "a key of ").replace("[...]", "[…]")
    where = re.sub(r"`|\$\.?", "", where)
    if said.startswith("Invalid enum value"):
        found, known = said.removeprefix("Invalid enum value "), _choices(_described(kind), where)
        return f"{where}: expected one of {', '.join(map(str, known))}, found {found}"
    said = said.replace(", got ", ", found ").replace("Expected", "expected").replace("Object", "object")
    said = re.sub(r"`(\w+(?: \| \w+)*)`", _plain_names, said)
    found = "" if "[…]" in where or said.endswith("null") else _found(value, where)
    return (f"{where}: " if where else "") + said + found


def _plain_names(types: re.Match[str]) -> str:
    return " or ".join(_TYPES.get(name, repr(name)) for name in types[1].split(" | "))


def _choices(kind: Any, where: str) -> list[Any]:
    """Return the values that a schema allows at a place."""
    for step in re.findall(r"[^.\[\]]+", where):
        kinds = kind.types if isinstance(kind, inspect.UnionType) else [kind]
        for one in kinds:
            fields = {f.encode_name: f.type for f in getattr(one, "fields", ())}
            kind = _bare(
                fields.get(step) or getattr(one, "item_type", None) or getattr(one, "value_type", None) or kind
            )
    kinds = kind.types if isinstance(kind, inspect.UnionType) else [kind]
    return [value for one in kinds for value in getattr(one, "values", ())]


def _found(value: Any, where: str) -> str:
    """Return the value at a place, ready for a message; empty if there is none, or it is a whole object."""
    for step in re.findall(r"[^.\[\]]+", where):
        try:
            value = value[int(step) if isinstance(value, list) else step]
        except (KeyError, IndexError, ValueError, TypeError):
            return ""
    return "" if isinstance(value, dict | list) or not where else f": {_shown(value)}"


def _shown(value: Any) -> str:
    try:
        told = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number without end"
    return told if len(told) <= _MOST_SHOWN else f"{told[: _MOST_SHOWN - 1]}…"
