"""Rendering: what people see with and without a display, lists of frames, and frames of vectors of environments."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv, RabbitHoleEnv, Variety
from kgrl.envs.rendering import Window
from kgrl.envs.slot_env import SlotEnv
from kgrl.errors import SettingError
from tests.support.simulated import simulated_curriculum

Make = Callable[..., Curriculum]
Vectors = NDArray[np.float32]


@pytest.fixture(params=["curriculum", "rabbit hole"])
def make(request: pytest.FixtureRequest, tiny_corpus: Corpus, fake_embeddings: Vectors) -> Callable[..., SlotEnv]:
    """Makes environments of both kinds with a render mode."""
    if request.param == "rabbit hole":
        return lambda mode: RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, target=True, slots=6, render_mode=mode)
    return lambda mode: CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=6, render_mode=mode)


def pick(env: SlotEnv) -> int:
    return int(env.action_masks().argmax())


@pytest.mark.parametrize("mode", ["human", "ansi", "rgb_array"])
def test_before_a_reset_there_is_nothing_to_render(make: Callable[..., SlotEnv], mode: str) -> None:
    with pytest.raises(ResetNeeded, match="reset"):
        make(mode).render()


def test_images_change_and_repeat(make: Callable[..., SlotEnv]) -> None:
    def frames() -> list[Any]:
        env = make("rgb_array")
        env.reset(seed=0)
        drawn = [env.render()]
        env.step(pick(env))
        return [*drawn, env.render()]

    first, second = frames(), frames()
    assert all(frame.shape == (750, 1000, 3) and frame.dtype == np.uint8 for frame in first)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_without_a_display_people_see_text(
    make: Callable[..., SlotEnv], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    shown = make("human")
    shown.reset(seed=0)
    frames = [capsys.readouterr().out]
    shown.step(pick(shown))
    frames.append(capsys.readouterr().out)
    assert shown.render() is None and capsys.readouterr().out == ""
    env = make("ansi")
    env.reset(seed=0)
    assert "\x1b" not in frames[0] and frames[0] == env._text(colour=False).rstrip("\n") + "\n"
    env.step(pick(env))
    assert frames[1] == env._text(colour=False).rstrip("\n") + "\n" != frames[0]
    shown.close()


class Screen:
    """Windows that are drawn into memory."""

    def __init__(self) -> None:
        self.windows: list[FigureManagerBase] = []
        self.shown = self.loops = self.destroyed = 0

    def new_figure_manager(self, num: int, **options: Any) -> FigureManagerBase:
        screen = self

        class Canvas(FigureCanvasAgg):
            required_interactive_framework = "none"  # type: ignore[assignment]

            def start_event_loop(self, timeout: float = 0) -> None:
                screen.loops += 1

        class Manager(FigureManagerBase):
            def show(self) -> None:
                screen.shown += 1

            def destroy(self) -> None:
                screen.destroyed += 1

        self.windows.append(Manager(Canvas(Figure(**options)), num))
        return self.windows[-1]

    def pixels(self) -> NDArray[np.uint8]:
        canvas = self.windows[-1].canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(plt, "new_figure_manager", made.new_figure_manager)
    return made


def test_with_a_display_a_window_shows_every_frame(
    make: Callable[..., SlotEnv], screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    env, other = make("human"), make("rgb_array")
    env.reset(seed=0)
    other.reset(seed=0)
    np.testing.assert_array_equal(screen.pixels(), other.render())
    env.step(pick(env))
    other.step(pick(other))
    np.testing.assert_array_equal(screen.pixels(), other.render())
    assert (len(screen.windows), screen.shown, screen.loops) == (1, 1, 2)
    assert capsys.readouterr().out == "" and plt.get_fignums() == []
    env.close()
    env.close()
    assert screen.destroyed == 1


def test_a_closed_window_stays_closed_until_the_environment_is_closed(screen: Screen) -> None:
    window, frame = Window("title", fps=50), np.zeros((750, 1000, 3), dtype=np.uint8)
    assert window.show(lambda: frame)
    screen.windows[0].canvas.callbacks.process("close_event", None)
    assert window.show(lambda: pytest.fail("drawn though nobody sees it"))
    window.close()
    assert window.show(lambda: frame) and len(screen.windows) == 2


def test_a_copy_has_a_window_of_its_own(make: Callable[..., SlotEnv], screen: Screen) -> None:
    env = make("human")
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    assert len(screen.windows) == 1
    twin.step(pick(twin))
    assert len(screen.windows) == 2


def test_a_toolkit_that_cannot_run_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **options: Any) -> None:
        raise ImportError("cannot load backend 'TkAgg', which requires the 'tk' interactive framework")

    monkeypatch.setattr(plt, "new_figure_manager", missing)
    assert not Window("title", fps=2).show(lambda: pytest.fail("drawn though nobody sees it"))


def render_vector(make: Callable[..., Any], steps: Sequence[NDArray[np.int64]]) -> list[Any]:
    envs = make()
    envs.reset(seed=3)
    frames = [envs.render()]
    for actions in steps:
        envs.step(actions)
        frames.append(envs.render())
    return frames


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_copies_of_a_vector_are_rendered_as_single_environments(
    tiny_corpus: Corpus, fake_embeddings: Vectors, mode: str
) -> None:
    steps = [np.array([0, 1]), np.array([1, 39]), np.array([2, 0])]  # the last slot is empty

    def single() -> CurriculumEnv:
        return CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=40, render_mode=mode)

    ours = render_vector(
        lambda: CurriculumVectorEnv(simulated_curriculum(tiny_corpus, fake_embeddings), 2, slots=40, render_mode=mode),
        steps,
    )
    theirs = render_vector(lambda: gym.vector.SyncVectorEnv([single, single]), steps)
    assert len(ours) == 4 and all(len(frames) == 2 for frames in ours)
    if mode == "ansi":
        assert ours == [tuple(frames) for frames in theirs]
    else:
        # Losses differ in the last bits, and so a colour may by one.
        assert np.abs(np.array(ours, dtype=int) - np.array(theirs, dtype=int)).max() <= 3


def test_vectors_say_how_frames_are_had(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    curriculum = simulated_curriculum(tiny_corpus, fake_embeddings)
    with pytest.raises(SettingError, match=r'"rgb_array" and render\(\), or render_mode "human" with gym.make'):
        CurriculumVectorEnv(curriculum, 2, render_mode="human")
    with pytest.raises(SettingError, match="render_mode must be one of None, 'ansi', 'rgb_array', not 'rgb'"):
        CurriculumVectorEnv(curriculum, 2, render_mode="rgb")
    envs = CurriculumVectorEnv(curriculum, 2, render_mode="ansi", variety=Variety(tasks=3, held_out=None))
    with pytest.raises(ResetNeeded, match="reset"):
        envs.render()
    silent = CurriculumVectorEnv(curriculum, 2)
    silent.reset(seed=0)
    with pytest.warns(UserWarning, match=r"make_vec\(..., render_mode"):
        assert silent.render() is None
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None and all("nucleus:" in frame for frame in frames)
