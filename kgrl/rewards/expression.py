"""Reward expressions: `0.7*mean-prediction-gain + 0.3*clip(information-gap, -1, 1) - 1e-4*token-cost`.

The text is parsed, never evaluated as code. The grammar:

    expression = term { ("+" | "-") term }
    term       = factor { "*" factor }
    factor     = "-" factor | number | "(" expression ")" | reward | combinator
    reward     = name [ "(" option "=" (number | word) { "," ... } ")" ]  |  file.py:name
    combinator = name "(" expression { "," number } ")"

A combinator is one of `kgrl.rewards.combinators.COMBINATORS`. The minus of a difference needs a space before it, since
names may hold one. A file is the user's own, and it is imported because the user names it.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from kgrl.errors import KgrlError, UnknownNameError
from kgrl.expansion import Expansion
from kgrl.rewards.base import FunctionReward, Product, Reward, WeightedSum, options_text
from kgrl.rewards.combinators import COMBINATORS
from kgrl.rewards.registry import plugged_in, rewards
from kgrl.system.files import absolute
from kgrl.system.own_code import from_own_file, own_place, present

__all__ = ["ExpressionError", "absolute_files", "as_reward", "parse_reward", "reward_files", "reward_from_file"]


_TOKEN = re.compile(
    r"(?P<file>[^\s()*+,=\-][^\s()*+,=]*\.py:[A-Za-z_]\w*)"
    r"|(?P<number>(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?(?![\w.]))"  # possessive: digits are read once
    r"|(?P<name>[A-Za-z_]\w*(?:-\w+)*)"
    r"|(?P<sign>[-+*(),=])"
)

_AROUND = 200
"""Characters before and behind a mistake that a message shows."""
_DEEPEST = 50
"""Brackets that may be open at a time; each takes a few calls of the recursive parser."""

_LARGEST_COUNT = 2**63
"""Digits alone are a whole number below it, as options that count something want it."""

Option = float | str | bool


class ExpressionError(KgrlError, ValueError):
    """A reward expression that cannot be read; the message points at the place.

    Args:
        reason: The mistake.
        text: The whole text.
        place: The place of the mistake in it, counted from 0.
    """

    def __init__(self, reason: str, text: str, place: int) -> None:
        super().__init__(f"{reason}\n{_pointed(text, place)}")
        self.text, self.place = text, place


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def parse_reward(text: str) -> Reward:
    """Read a reward expression.

    Raises:
        UnknownNameError: If a name in it is not known; the message suggests the nearest and points at the place.
        ExpressionError: If the text cannot be read, a reward does not take its options, or a file is missing.

    Example:
        >>> parse_reward("2*(self-prediction-gain - per-token(token-cost))").name
        '2*self-prediction-gain - 2*per-token(token-cost)'
        >>> parse_reward("token-cost - 2 * time-csot")
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown reward 'time-csot'; did you mean 'time-cost'? Known: ...
          token-cost - 2 * time-csot
                           ^
    """
    # Without an expression around it a path may hold any characters, spaces included.
    only = _only_file(text)
    return _Parser(text).whole() if only is None else reward_from_file(str(only[0]), only[1])


def reward_files(text: str) -> list[Path]:
    """Return the files that a reward expression takes rewards from, as far as they are there; none is imported.

    Raises:
        ExpressionError: If the text cannot be read.

    Example:
        >>> reward_files("2*mean-prediction-gain - token-cost")
        []
    """
    only = _only_file(text)
    if only is not None:
        return [only[0]]
    named = [Path(token.text.rpartition(":")[0]) for token in _tokens(text) if token.kind == "file"]
    return [file for file in named if present(file)]


def absolute_files(text: str) -> str:
    """Return a reward expression with the absolute paths of its files, as far as they are there.

    A path stays relative if the absolute one has characters that an expression cannot hold, such as spaces.

    Raises:
        ExpressionError: If the text cannot be read.

    Example:
        >>> absolute_files("2*mean-prediction-gain - token-cost")
        '2*mean-prediction-gain - token-cost'
    """
    only = _only_file(text)
    if only is not None:
        return f"{absolute(only[0])}:{only[1]}"
    for token in reversed(_tokens(text)):  # the last one first, so that places before it stay
        file, _, name = token.text.rpartition(":")
        if token.kind == "file" and present(Path(file)) and _TOKEN.fullmatch(named := f"{absolute(file)}:{name}"):
            text = text[: token.place] + named + text[token.place + len(token.text) :]
    return text


def _only_file(text: str) -> tuple[Path, str] | None:
    """Return the file and the name of a text that is no more than a reward of a file."""
    only = own_place(text)
    return only if only and present(only[0]) else None


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError(f"{text[place]!r} cannot be read here", text, place)
        tokens.append(_Token(str(match.lastgroup), match[0], place))
        place = match.end()
    return [*tokens, _Token("end", "the end", len(text))]


class _Parser:
    """Recursive-descent parser of one text, a method for each rule of the grammar; a value is a reward or a number."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.depth = text, _tokens(text), 0, 0

    def whole(self) -> Reward:
        """Parse the whole text, which must be a reward."""
        value = self.expression()
        if self.next.kind != "end":
            self.fail(f"{self.next.text!r} is not expected here")
        if not isinstance(value, Reward):
            self.fail("a number alone is not a reward", 0)
        return value

    @property
    def next(self) -> _Token:
        """The next token, which is not consumed."""
        return self.tokens[self.at]

    def take(self, sign: str) -> bool:
        """Consume the next token if it is this sign."""
        if self.next.kind != "sign" or self.next.text != sign:
            return False
        self.at += 1
        return True

    def expect(self, sign: str) -> None:
        """Consume this sign, or fail."""
        if not self.take(sign):
            self.fail(f"{sign!r} is expected here")

    def fail(self, reason: str, place: int | None = None) -> NoReturn:
        """Raise an error that points at a place, by default the next token's."""
        raise ExpressionError(reason, self.text, self.next.place if place is None else place)

    def expression(self) -> Reward | float:
        """Parse terms joined by + and -."""
        value = self.term()
        while self.next.text in ("+", "-"):
            place, sign = self.next.place, 1.0 if self.next.text == "+" else -1.0
            self.at += 1
            other = self.term()
            # Numbers may be summed among themselves, to multiply a reward: (2 + 1)*token-cost.
            if isinstance(value, Reward) and isinstance(other, Reward):
                value = WeightedSum([(1.0, value), (sign, other)])
            elif isinstance(value, Reward) or isinstance(other, Reward):
                self.fail("a number can multiply a reward, not be added to one", place)
            else:
                value = self.finite(value + sign * other, place)
        return value

    def term(self) -> Reward | float:
        """Parse factors joined by *; numbers and signs are gathered into one weight."""
        weight, product, begin = 1.0, None, self.next
        while True:
            while self.take("-"):
                weight = -weight
            factor = self.factor()
            if not isinstance(factor, Reward):
                weight = self.finite(weight * factor, begin.place)
            else:
                product = factor if product is None else Product(product, factor)
            if not self.take("*"):
                break
        if product is None:
            return weight
        return product if weight == 1 else self.made(begin, partial(WeightedSum, [(weight, product)]))

    def factor(self) -> Reward | float:
        """Parse a number, a reward, a combinator, or an expression in brackets."""
        token = self.next
        if self.take("("):
            value = self.nested()
            self.expect(")")
            return value
        if token.kind not in ("number", "file", "name"):
            self.fail(f"a reward or a number is expected here, not {token.text}")
        self.at += 1
        if token.kind == "number":
            return self.finite(float(token.text), token.place)
        if token.kind == "file":
            path, _, name = token.text.rpartition(":")
            return self.made(token, lambda: reward_from_file(path, name))
        values, options = self.arguments() if self.take("(") else ([], {})
        # A reward that a user registered under a combinator's name wins.
        if token.text in COMBINATORS and token.text not in rewards:
            return self.combinator(token, values, options)
        return self.reward(token, values, options)

    def finite(self, number: float, place: int) -> float:
        """Return a number that a reward can be multiplied by; fail if it is too large for one."""
        if not math.isfinite(number):
            self.fail("this number is too large", place)
        return number

    def nested(self) -> Reward | float:
        """Parse an expression within brackets."""
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"more than {_DEEPEST} brackets are open here")
        value = self.expression()
        self.depth -= 1
        return value

    def arguments(self) -> tuple[list[Reward | float], dict[str, Option]]:
        """Parse the arguments of a call up to its closing bracket: values, and options as name=value."""
        values: list[Reward | float] = []
        options: dict[str, Option] = {}
        while not self.take(")"):
            if values or options:
                self.expect(",")
            if self.next.kind == "name" and self.tokens[self.at + 1].text == "=":
                # An option may be written with a minus, like a name.
                name = self.next.text.replace("-", "_")
                self.at += 2
                options[name] = self.option()
            else:
                values.append(self.nested())
        return values, options

    def option(self) -> Option:
        """Parse the value of an option: a number or a word."""
        negative, token = self.take("-"), self.next
        if token.kind == "number":
            self.at += 1
            size = self.finite(float(token.text), token.place)
            number = int(token.text) if token.text.isdigit() and size < _LARGEST_COUNT else size
            return -number if negative else number
        if token.kind != "name" or negative:
            self.fail("an option's value is a number or a word")
        self.at += 1
        return {"true": True, "false": False}.get(token.text, token.text)

    def combinator(self, token: _Token, values: Sequence[Reward | float], options: dict[str, Option]) -> Reward:
        """Make a combinator of its arguments: a reward, then numbers."""
        # Checked by the signature, so that the message can show it.
        kind = COMBINATORS[token.text]
        takes = ", ".join(inspect.signature(kind).parameters)
        first, *numbers = values or [0.0]
        try:
            inspect.signature(kind).bind(*values, **options)
        except TypeError:
            self.fail(f"write {token.text}({takes})", token.place)
        texts = [option for option in options.values() if isinstance(option, str)]
        if not isinstance(first, Reward) or texts or any(isinstance(number, Reward) for number in numbers):
            self.fail(f"write {token.text}({takes}): first a reward, then numbers", token.place)
        return self.made(token, lambda: kind(*values, **options))

    def reward(self, token: _Token, values: Sequence[Reward | float], options: dict[str, Option]) -> Reward:
        """Make a registered reward; its name includes its options."""
        if values and token.text in rewards:
            self.fail(f"the reward {token.text!r} takes options as name=value", token.place)
        if values:
            known = sorted(COMBINATORS)
            self.fail(f"{UnknownNameError('combinator', token.text, known)}", token.place)
        reward = self.made(token, lambda: rewards.make(token.text, **options))
        if options:
            reward.name = token.text + options_text(options)
        return reward

    def made(self, token: _Token, make: Callable[[], Reward]) -> Reward:
        """Return what a call makes for a token; an error of the call points at the token."""
        try:
            return make()
        except UnknownNameError as error:
            is_difference = any(error.name.startswith(f"{known}-") for known in error.known)
            hint = ". For a difference, put spaces around the minus" if is_difference else ""
            error.args = (f"{error}{hint}\n{_pointed(self.text, token.place)}",)
            raise
        except KgrlError as error:
            raise ExpressionError(str(error), self.text, token.place) from error


def _pointed(text: str, place: int) -> str:
    """The text on one line, or of a long one what is around the place, and a caret below the place."""
    first = max(0, place - _AROUND)
    text, place = text[first : place + _AROUND], place - first
    return re.sub(r"\s", " ", f"  {text}") + f"\n  {' ' * place}^"


def as_reward(reward: str | Reward | Callable[[Expansion], float]) -> Reward:
    """Return a reward made of text, of a function of an expansion, or of a reward, which is returned as it is.

    Args:
        reward: The reward, function or text. Text is a registered name, or an expression of names as described in
            `kgrl.rewards.expression`.

    Raises:
        UnknownNameError: If a name in the text is not known.
        ExpressionError: If the text cannot be read.
        SettingError: If it is none of the three.

    Example:
        >>> as_reward("self-prediction-gain")
        self-prediction-gain
        >>> as_reward("self-prediction-gain - 1e-4*token-cost")
        self-prediction-gain - 0.0001*token-cost
        >>> sorted(as_reward(lambda expansion: -expansion.train_loss).needs)
        ['mean', 'self', 'target']
    """
    if isinstance(reward, str):
        return parse_reward(reward)
    return reward if isinstance(reward, Reward) else FunctionReward(reward)


def reward_from_file(path: str, name: str) -> Reward:
    """Return the reward that a Python file defines under a name: a function of an expansion, a class, or a reward.

    The file is imported once in a process, like any Python module.

    Raises:
        MissingDataError: If the file is missing.
        KgrlError: If it cannot be imported.
        UnknownNameError: If it does not define the name; the message suggests the nearest.
    """
    reward = plugged_in(from_own_file(Path(path), name, "reward"), name)
    reward._source = f"{path}:{name}"
    return reward
