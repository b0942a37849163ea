"""The layout: named folders, imports that go one way, words that are used once, and fronts that say what they offer."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("kgrl", "envs", "agents", "data")
CLAUSES = {"What", "How", "Where", "Who", "Whether", "Those"}


def dotted(path: Path) -> str:
    """The dotted name of a file's module, inside the one import root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "kgrl" else ("kgrl", *parts))


def product_files() -> list[Path]:
    """All Python files of the package, each once: links are not followed."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    linked = [ROOT / "kgrl" / folder for folder in FOLDERS[1:]]
    return sorted(path for path in found if not any(link in path.parents for link in linked))


MODULES = {dotted(path): ast.parse(path.read_text(encoding="utf-8")) for path in product_files()}


def imported(tree: ast.Module) -> set[str]:
    """The modules of the package that a module imports anywhere: in functions and for type checkers, too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (full & MODULES.keys()) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


IMPORTS = {name: imported(tree) - {name} for name, tree in MODULES.items()}


def layers() -> list[str]:
    """The rooms in the order of the table in docs/design.md, as `kgrl.NAME`."""
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design[design.index("| room |") :].split("\n\n")[0]
    rooms = re.findall(r"^\| `([a-z_]+)(?:/|\.py)`", table, flags=re.MULTILINE)
    return [f"kgrl.{room}" for room in rooms]


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_the_top_of_the_package_is_nouns_and_folders() -> None:
    names = {path.name for path in (ROOT / "kgrl").iterdir() if path.name != "__pycache__"}
    files = {name for name in names if (ROOT / "kgrl" / name).is_file()}
    assert files == {
        *("__init__.py", "__init__.pyi", "__main__.py", "py.typed"),
        *("corpus.py", "errors.py", "exam.py", "expansion.py"),
    }


def test_every_folder_says_what_is_in_it() -> None:
    folders = {path.parent for path in product_files()}
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder


def test_the_table_of_rooms_is_the_tree() -> None:
    rooms = {room(name) for name in MODULES} - {"kgrl", "kgrl.__main__"}
    assert len(layers()) == len(set(layers())) and set(layers()) == rooms


def test_a_room_imports_only_from_rooms_above_it() -> None:
    order = {name: place for place, name in enumerate(layers())}
    for name, others in IMPORTS.items():
        if room(name) in order:
            below = [other for other in others if order.get(room(other), -1) > order[room(name)]]
            assert not below, f"{name} imports {below}"


def test_no_modules_import_one_another_in_a_circle() -> None:
    """By taking modules away that import nothing that remains, until none is left."""
    remaining = {name: set(others) for name, others in IMPORTS.items()}
    while free := [name for name, others in remaining.items() if not others & remaining.keys()]:
        for name in free:
            del remaining[name]
    assert not remaining, sorted(remaining)


def test_no_two_public_things_share_a_name() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for name, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                where[node.name].append(name)
    assert not {name: modules for name, modules in where.items() if len(modules) > 1}


FRONTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("__init__.pyi"))


@pytest.mark.parametrize("path", FRONTS, ids=lambda path: dotted(path.with_suffix(".py")))
def test_a_lazy_front_has_what_it_lists(path: Path) -> None:
    package = importlib.import_module(dotted(path.with_suffix(".py")))
    listed = re.findall(r"import \w+ as (\w+)", path.read_text(encoding="utf-8"))
    assert listed and set(listed) == set(package.__all__) == set(dir(package))
    assert all(getattr(package, name) is not None for name in listed)


def loaded(code: str) -> set[str]:
    """The top-level modules that are loaded after some code, in a process of its own."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_a_curriculum_loads_no_queue() -> None:
    found = loaded("from kgrl.curriculum import Curriculum")
    assert "numpy" in found
    assert not found & {"huey", "redis", "httpx", "torch", "transformers", "faiss", "numba", "scipy"}


def test_importing_kgrl_loads_next_to_nothing() -> None:
    heavy = {"torch", "faiss", "scipy", "numba", "pyarrow", "networkx", "gymnasium", "numpy", "rich", "tyro"}
    assert not loaded("import kgrl, kgrl.curriculum") & heavy


@pytest.mark.parametrize("code", ["import kgrl, gymnasium", "import gymnasium, kgrl"])
def test_gymnasium_knows_the_environments_in_either_order_of_imports(code: str) -> None:
    command = [sys.executable, "-c", f"{code}; print(*gymnasium.registry)"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {"kgrl/Curriculum-v0", "kgrl/RabbitHole-v0", "kgrl/Noisy-v0"} <= set(known)


def test_opening_a_corpus_loads_no_model_and_no_client_of_sites() -> None:
    found = loaded("import kgrl.data.load, kgrl.curriculum.loop, kgrl.runs.run, kgrl.learners.plugins.make")
    assert not found & {"torch", "transformers", "httpx", "pooch", "pyarrow", "networkx", "gymnasium", "sklearn"}


SCRATCH = """
from kgrl.corpus import Corpus
from kgrl.graph import TopicGraph
from kgrl.learners import make_learner
corpus = Corpus("one", TopicGraph.from_links(["Set"], [], []), ["A set has members."], [0], [0])
learner = make_learner("scratch", corpus, width=16, heads=2, vocabulary=300)
learner.learn(corpus.select([0]), 10)
learner.losses(corpus.select([0]))
learner.loss_gradient(corpus.select([0]))
"""


def test_a_lesson_of_a_scratch_learner_loads_no_transformers_and_no_compiler() -> None:
    """Torch's compiler, which sympy comes with, is imported by the first optimizer that is made."""
    assert not loaded(SCRATCH) & {"transformers", "peft", "sympy", "networkx", "jinja2", "pandas", "sklearn"}


def test_first_lines_name_a_noun_or_an_action() -> None:
    """A first line that begins with a clause has to be resolved before one knows what the thing is."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        f"{module}, line {getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, documented) and (text := ast.get_docstring(node)) and text.split()[0] in CLAUSES
    ]
    assert not found, "\n".join(found)
