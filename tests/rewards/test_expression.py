"""Rewards as text: values as in Python, and errors that point at the place."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.errors import KgrlError, UnknownNameError
from kgrl.expansion import Expansion
from kgrl.rewards import (
    AbsoluteLearningProgress,
    Clip,
    CountNovelty,
    ExpressionError,
    ForgettingPenalty,
    IncoherencePenalty,
    MeanPredictionGain,
    Percentile,
    PerToken,
    PotentialDifference,
    Product,
    Reward,
    Schedule,
    SelfPredictionGain,
    TimeCost,
    TokenCost,
    WeightedSum,
    ZScore,
    as_reward,
    rewards,
)
from kgrl.rewards.expression import parse_reward
from kgrl.testing.samples import sample_expansions

STEPS = sample_expansions()
NUMBERS = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


def _composed(inner: st.SearchStrategy[Reward]) -> st.SearchStrategy[Reward]:
    return st.one_of(
        st.builds(lambda a, b, v, w: WeightedSum([(v, a), (w, b)]), inner, inner, NUMBERS, NUMBERS),
        st.builds(lambda a, w: WeightedSum([(w, a)]), inner, NUMBERS),
        st.builds(Product, inner, inner),
        st.builds(Clip, inner, st.floats(-9, -1), st.floats(1, 9)),
        st.builds(PerToken, inner),
        st.builds(Percentile, inner),
        st.builds(ZScore, inner),
        st.builds(PotentialDifference, inner, st.floats(0, 1)),
        st.builds(Schedule, inner, NUMBERS, NUMBERS),
    )


COMPOSITIONS = st.recursive(
    st.sampled_from([MeanPredictionGain, SelfPredictionGain, TokenCost, TimeCost]).map(lambda kind: kind()),
    _composed,
    max_leaves=6,
)


def _course(reward: Reward) -> list[float]:
    reward.begin(STEPS[0])
    return [reward(step) for step in STEPS[1:]]


@given(COMPOSITIONS)
def test_what_is_written_is_read_as_the_same(reward: Reward) -> None:
    read = parse_reward(repr(reward))
    assert read.name == reward.name
    assert repr(read) == repr(reward) == reward.name
    assert read.needs == reward.needs
    assert _course(read) == pytest.approx(_course(reward), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("reward", "text"),
    [
        (IncoherencePenalty(), "incoherence-penalty"),
        (IncoherencePenalty(least=0.2), "incoherence-penalty(least=0.2)"),
        (ForgettingPenalty(2), "forgetting-penalty(weight=2)"),
        (-0.5 * IncoherencePenalty(0.2) + TimeCost(), "-0.5*incoherence-penalty(least=0.2) + time-cost"),
        (
            TokenCost() * (ForgettingPenalty(1e-5) - Clip(AbsoluteLearningProgress(rate=0.3), 0, 1)),
            "token-cost*(forgetting-penalty(weight=1e-05) - clip(absolute-learning-progress(rate=0.3), 0, 1))",
        ),
    ],
)
def test_a_reward_is_shown_as_the_expression_that_makes_it(reward: Reward, text: str) -> None:
    assert repr(reward) == text
    read = as_reward(text)
    assert repr(read) == text and read.needs == reward.needs


def test_a_reward_that_has_no_name_is_shown_as_python() -> None:
    class Mine(Reward):
        def __init__(self, size: int) -> None:
            self.size = size

        def score(self, expansion: Expansion) -> float:
            return self.size

    def brevity(expansion: Expansion) -> float:
        return -expansion.tokens

    groups = CountNovelty(np.zeros(3, dtype=np.int32))
    assert repr(0.5 * Mine(3) + brevity - groups) == "0.5*Mine(size=3) + brevity - count-novelty(groups=<ndarray>)"


@given(st.text(alphabet="ab-+*().,=1e 'token-cost"))
def test_any_text_is_a_reward_or_an_error_that_is_explained(text: str) -> None:
    try:
        assert isinstance(parse_reward(text), Reward)
    except KgrlError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("token-cost", TokenCost()),
        ("  0.5 * token-cost", 0.5 * TokenCost()),
        ("-token-cost - -2*time-cost", -TokenCost() + 2 * TimeCost()),
        ("2*(token-cost - time-cost)*3", 6 * (TokenCost() - TimeCost())),
        ("1e-4*token-cost+.5*time-cost", 1e-4 * TokenCost() + 0.5 * TimeCost()),
        ("token-cost*time-cost*time-cost", TokenCost() * TimeCost() * TimeCost()),
        ("(2 + 1)*token-cost", 3 * TokenCost()),
        ("clip(token-cost, -1, high=1)", Clip(TokenCost(), -1, 1)),
        ("schedule(token-cost, 1, 0)", Schedule(TokenCost(), 1, 0)),
        ("potential(token-cost, gamma=0.5)", PotentialDifference(TokenCost(), 0.5)),
        ("percentile(z-score(per-token(token-cost)))", Percentile(ZScore(PerToken(TokenCost())))),
    ],
)
def test_worth_the_same_as_in_python(text: str, same: Reward) -> None:
    assert _course(as_reward(text)) == pytest.approx(_course(same))


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("0.5*tokn-cost + time-cost", 4, "unknown reward 'tokn-cost'; did you mean 'token-cost'?"),
        ("time-cost + token-cost-1e-4*time-cost", 12, "put spaces around the minus"),
        ("clipp(token-cost, -1, 1)", 0, "unknown combinator 'clipp'; did you mean 'clip'?"),
        ("clip(token-cost, 1)", 0, r"write clip\(reward, low, high\)"),
        ("1*clip(1, token-cost, 3)", 2, "first a reward, then numbers"),
        ("1*clip(token-cost, 3, 1)", 2, "not from 3 to 1"),
        ("token-cost + 1", 11, "multiply a reward, not be added"),
        ("2 * 3", 0, "a number alone is not a reward"),
        ("", 0, "a reward or a number is expected"),
        ("token-cost ** 2", 12, "a reward or a number is expected"),
        ("token-cost / 2", 11, "'/' cannot be read"),
        ("(token-cost", 11, r"'\)' is expected"),
        ("token-cost time-cost", 11, "'time-cost' is not expected"),
        ("token-cost(k=3)", 0, "unexpected keyword argument 'k'"),
        ("time-cost + nowhere.py:mine", 12, "there is no file nowhere.py"),
        ("__import__('os')", 11, "cannot be read"),
        ("(" * 99 + "token-cost" + ")" * 99, 51, "brackets"),
    ],
)
def test_an_error_points_at_its_place(text: str, place: int, message: str) -> None:
    with pytest.raises((ExpressionError, UnknownNameError), match=message) as caught:
        parse_reward(text)
    assert str(caught.value).splitlines()[-2:] == [f"  {text}", " " * (2 + place) + "^"]


class Picky(Reward):
    """The number it is given."""

    def __init__(self, power: int = 1, kind: str = "plain", doubled: bool = False) -> None:
        self.value = float(power) * (2 if doubled else 1)
        self.kind = kind

    def score(self, expansion: Expansion) -> float:
        return self.value


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rewards._factories, "picky", Picky)


@pytest.mark.usefixtures("picky")
def test_names_take_options() -> None:
    reward = parse_reward("2*picky(power=-3, kind=long-tailed, doubled=true)")
    assert reward(STEPS[1]) == -12.0
    assert reward.name == "2*picky(power=-3, kind=long-tailed, doubled=true)"
    assert parse_reward(reward.name).name == reward.name
    with pytest.raises(ExpressionError, match="takes options as name=value"):
        parse_reward("picky(3)")


MINE = """
import kgrl.rewards

def shorter(expansion):
    return -float(expansion.tokens)

class Steps(kgrl.rewards.Reward):
    def begin(self, nucleus):
        self.seen = 0

    def score(self, expansion):
        self.seen += 1
        return self.seen

both = kgrl.rewards.TokenCost() - 2 * Steps()

@kgrl.rewards.register_reward("of-a-file")
def registered(expansion):
    return 1.0
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "my rewards (1).py"
    path.write_text(MINE)
    (tmp_path / "mine.py").write_text(MINE.replace("of-a-file", "of-another-file"))
    return path


def test_a_file_has_functions_classes_and_compositions(mine: Path) -> None:
    assert as_reward(f"{mine}:shorter").evaluate(STEPS[1]) == (-57.0, {"shorter": -57.0})
    assert _course(as_reward(f"{mine}:Steps"))[:3] == [1.0, 2.0, 3.0]
    first, second = as_reward(f"{mine}:both"), as_reward(f"{mine}:both")
    assert _course(first) == _course(second)
    assert first is not second and _course(first)[0] == 55.0
    assert as_reward("of-a-file")(STEPS[1]) == 1.0
    rewards._factories.pop("of-a-file")


def test_a_file_goes_into_expressions(mine: Path) -> None:
    reward = as_reward(f"0.5*clip({mine.parent / 'mine.py'}:shorter, -10, 0) + token-cost")
    assert reward(STEPS[1]) == 52.0
    assert repr(reward) == f"0.5*clip({mine.parent / 'mine.py'}:shorter, -10, 0) + token-cost"
    assert repr(as_reward(repr(reward))) == repr(reward)
    rewards._factories.pop("of-another-file")


def test_what_a_file_lacks_is_named(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'shorter'"):
        as_reward(f"{mine}:shortest")
    rewards._factories.pop("of-a-file")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(KgrlError, match=r"broken.py cannot be imported: ModuleNotFoundError: .*nothing_of_that_name"):
        as_reward(f"{tmp_path / 'broken.py'}:x")


@pytest.mark.parametrize(
    "text",
    [
        "1e999*token-cost",
        "0*1e999*token-cost",
        "1e308*1e308*token-cost",
        "(1e308 + 1e308)*token-cost",
        "1e200*(1e200*token-cost + time-cost)",
        "-1e200*(2*(1e200*token-cost))",
        "clip(token-cost, 0, 1e400)",
        f"{'9' * 5_000}*token-cost",
        f"schedule(token-cost, 1, {'9' * 5_000})",
        f"sampled-novelty(topics={'9' * 5_000})",
    ],
)
def test_numbers_that_no_float_holds_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"too large|not a finite number"):
        parse_reward(text)


def test_a_path_that_is_too_long_is_no_file() -> None:
    with pytest.raises(KgrlError):
        parse_reward(f"{'x' * 9_000}.py:f * {'x' * 9_000}.py:f")


@pytest.mark.parametrize("weight", [float("inf"), float("-inf"), float("nan")])
def test_a_weight_is_a_finite_number(weight: float) -> None:
    with pytest.raises(KgrlError, match="not a finite number"):
        WeightedSum([(1.0, TokenCost()), (weight, TimeCost())])


def test_digits_without_end_are_read_once() -> None:
    began = time.monotonic()
    for text in ("9" * 50_000 + "x", "0.7*mea" + "9" * 50_000, "1e" + "9" * 50_000 + ".", "9." + "9" * 50_000 + "e"):
        with pytest.raises(KgrlError) as caught:
            parse_reward(text)
        assert len(str(caught.value)) < 2_000
    assert time.monotonic() - began < 5
