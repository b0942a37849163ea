"""Agents of users' own files: `FILE.py:CLASS` wherever an agent is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.agents import make_agent
from kgrl.agents.base import agent_name, reads_probes
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import Agent
from kgrl.errors import KgrlError, MissingDataError, SettingError, UnknownNameError
from kgrl.testing import AgentContract

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_agent.py"
CODE = """
from kgrl.agents import BaseAgent

number = 3

class First(BaseAgent):
    def __init__(self, at=0):
        self.at = at

    def choose(self, view):
        return int(view.candidates[self.at])

class Choosing(BaseAgent):
    def __init__(self, rate, *, decay):
        self.rate = rate

    def choose(self, view):
        return int(view.candidates[0])

class Undecided(BaseAgent):
    pass

class Stranger:
    def choose(self, view):
        return 0

class Broken(First):
    def __init__(self):
        raise TypeError("within the constructor")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "my agents (1)" / "mine.py"
    file.parent.mkdir()
    file.write_text(CODE)
    return file


class TestExample(AgentContract):
    """The example keeps the contract of agents."""

    @pytest.fixture
    def agent(self) -> Agent:
        return make_agent(f"{EXAMPLE}:TrainOfThought")


def test_the_example_goes_on_from_what_it_learned_last(make_tiny_curriculum: object) -> None:
    curriculum: Curriculum = make_tiny_curriculum(None, budget_tokens=900)  # type: ignore[operator]
    agent = make_agent(f"{EXAMPLE}:TrainOfThought")
    assert not reads_probes(agent)
    vectors, steps = curriculum.view.embeddings, curriculum.run(agent)
    last, offered = next(steps).topic, curriculum.view.candidates
    for step in steps:
        assert step.topic == offered[(vectors[offered] @ vectors[last]).argmax()]
        last, offered = step.topic, curriculum.view.candidates
    assert last not in curriculum.view.nucleus


def test_a_class_of_a_file_is_an_agent_anew_each_time(mine: Path) -> None:
    first, second = make_agent(f"{mine}:First"), make_agent(Path(f"{mine}:First"))
    assert repr(first) == "First(at=0)" and first is not second and type(first) is type(second)


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("Frist", UnknownNameError, "unknown name in .*mine.py: 'Frist'; did you mean 'First'"),
        ("number", SettingError, "mine.py:number is not a class but 3"),
        ("Choosing", SettingError, "mine.py:Choosing cannot be made: missing .*'rate'; .*give each a default"),
        ("Undecided", SettingError, "mine.py:Undecided cannot be made: it does not define choose"),
        ("Stranger", SettingError, "mine.py:Stranger is not an agent: it has no reset, observe, frontier_only"),
    ],
)
def test_what_is_no_agent_is_named_with_a_way_out(mine: Path, name: str, error: type[KgrlError], told: str) -> None:
    with pytest.raises(error, match=told):
        make_agent(f"{mine}:{name}")


def test_a_file_that_is_missing_broken_or_named_without_a_class_is_told(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"there is no file nowhere.py to take the agent 'First' from"):
        make_agent("nowhere.py:First")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(KgrlError, match=r"broken.py cannot be imported: ModuleNotFoundError"):
        make_agent(f"{tmp_path / 'broken.py'}:First")
    with pytest.raises(SettingError, match=r"mine.py is a file; name an agent's class in it"):
        make_agent(str(mine))


def test_an_error_of_the_constructor_is_its_own(mine: Path) -> None:
    with pytest.raises(TypeError, match="within the constructor"):
        make_agent(f"{mine}:Broken")


def test_results_know_it_by_file_and_class(mine: Path) -> None:
    assert agent_name(f"{mine}:First") == "mine.First"
    assert agent_name("closure") == "closure" and agent_name(str(mine.parent / "policy")) == "policy"
