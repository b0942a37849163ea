"""The page: one HTML file with everything in it, that asks nothing of the network.

Its content security policy forbids requests, so that this holds for the pictures' library too. Titles and names come
from data that nobody vetted: they are escaped as text, and `<` is escaped inside the embedded JSON.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import plotly.io
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import TopicGraph
from kgrl.report.data import RunData
from kgrl.report.figures import components_figure, curves_figure, tree_figure
from kgrl.report.style import BEHAVIOUR, STYLE
from kgrl.report.tree import GrownTree
from kgrl.runs.metrics import tokens_to_target
from kgrl.system.files import write_text

__all__ = ["write_report"]

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_PHASES = ("research", "learn", "probe", "exam")
_COLUMNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("exam loss", "nats per token", ("before", "after")),
    ("tokens to target", "", ()),
    ("AULC", "nats per token", ()),
    ("seconds", "", _PHASES),
    ("probe share", "of the loop's seconds", ()),
)
"""Headings of the results: name, unit, and the columns under it where there are several."""


def write_report(
    path: Path, title: str, runs: Sequence[RunData], graph: TopicGraph, target: float | None = None
) -> None:
    """Write a report of some runs on one topic graph, atomically.

    Args:
        path: The HTML file.
        title: The page's heading.
        runs: The runs, the baseline first.
        graph: The topic graph that they grew on.
        target: The exam loss that tokens are counted to, in nats per token; the baseline's last if None.

    Raises:
        ValueError: If there is no run.
    """
    if not runs:
        raise ValueError("a report needs a run")
    target = runs[0].curve[-1][1] if target is None else target
    body = [
        f"<header><h1>{html.escape(title)}</h1><p>{_lead(runs, graph)}</p></header>",
        _section("Results", _results(runs, target)),
        _section("Learning curves", _card(_figure(curves_figure(runs, target)))),
        *([_section("Rewards", _rewards(runs))] if any(_rewarded(run) for run in runs) else []),
        _section("Grown graphs", _legend(runs) + _grid(_tree(graph, run) for run in runs)),
        _section("Curricula", _grid(_curriculum(graph, run) for run in runs)),
    ]
    write_text(path, _document(html.escape(title), "\n".join(body)))


def _document(title: str, body: str, style: str = STYLE, behaviour: str = BEHAVIOUR) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<main>
{body}
</main>
<script>{behaviour}</script>
</body>
</html>
"""


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>"


def _card(content: str) -> str:
    return f'<div class="card">{content}</div>'


def _grid(parts: Iterable[str]) -> str:
    return f'<div class="grid">{"".join(_card(part) for part in parts)}</div>'


def _figure(figure: Figure) -> str:
    """A place for a figure, and its JSON; `<` cannot occur in it, so nothing in it can end the script element."""
    text = str(plotly.io.to_json(figure)).replace("<", "\\u003c")
    return f'<div class="figure"><script type="application/json">{text}</script></div>'


def _lead(runs: Sequence[RunData], graph: TopicGraph) -> str:
    budget = runs[0].expansions[-1].budget
    names = ", ".join(html.escape(run.agent) for run in runs)
    return (
        f"{names}: each grew a curriculum from a nucleus on a graph of {len(graph):,} topics and "
        f"{graph.n_links:,} links, with {budget:,} tokens to train on."
    )


def _results(runs: Sequence[RunData], target: float) -> str:
    rows = "".join(_row(run, target) for run in runs)
    table = f"<table><thead>{_head()}</thead><tbody>{rows}</tbody></table>"
    note = (
        f"The target is an exam loss of {target:.3f}, where {html.escape(runs[0].agent)} ended unless another "
        "was asked for. AULC, the area under the learning curve over the budget, is better when lower. "
        "One run of each agent shows what happened, not which agent is better: that takes several seeds."
    )
    return _card(f'<div class="scroll">{table}</div>') + f'<p class="note">{note}</p>'


def _head() -> str:
    """Two rows: names, and below them the columns of those that have several."""
    names = "".join(_heading(*heading) for heading in _COLUMNS)
    columns = "".join(f'<th scope="col">{column}</th>' for _, _, columns in _COLUMNS for column in columns)
    return f'<tr><th scope="col" rowspan="2">agent</th>{names}</tr><tr>{columns}</tr>'


def _heading(name: str, unit: str, columns: Sequence[str]) -> str:
    span = f'scope="colgroup" colspan="{len(columns)}"' if columns else 'scope="col" rowspan="2"'
    return f"<th {span}>{name}{f'<small>{unit}</small>' if unit else ''}</th>"


def _row(run: RunData, target: float) -> str:
    needed, seconds = tokens_to_target(run.curve, target), run.summary["seconds_by_phase"]
    cells = [
        f"{run.summary['exam_loss_before']:.3f}",
        f"{run.summary['exam_loss_after']:.3f}",
        "not reached" if needed is None else f"{needed:,.0f}",
        f"{run.summary['aulc']:.3f}",
        *(f"{seconds[phase]:.1f}" for phase in _PHASES),
        f"{run.probe_share:.0%}",
    ]
    return f'<tr><th scope="row">{html.escape(run.agent)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _rewarded(run: RunData) -> bool:
    return any(step.reward_components for step in run.expansions)


def _rewards(runs: Sequence[RunData]) -> str:
    note = "What each part of the reward was worth in each expansion, before it is weighted."
    return _card(_figure(components_figure(runs))) + f'<p class="note">{note}</p>'


def _legend(runs: Sequence[RunData]) -> str:
    goal = '<span><i class="dot goal"></i>topic of the goal</span>' if any(run.goal is not None for run in runs) else ""
    return f"""<div class="legend">
<span><i class="diamond"></i>nucleus</span><span><i class="dot"></i>learned</span>
<span><i class="dot frontier"></i>frontier</span>{goal}
<span><b>1, 2, …</b>picks</span>
<span class="scale"><b data-low>first</b><i class="ramp"></i><b data-high>last</b></span>
<fieldset><legend>coloured by</legend>
<label><input type="radio" name="colour" value="order" checked>order</label>
<label><input type="radio" name="colour" value="loss">training loss</label></fieldset>
</div>"""


def _tree(graph: TopicGraph, run: RunData) -> str:
    tree = GrownTree.grow(graph, run.expansions)
    learned = set(tree.topics[tree.steps >= 0].tolist())
    of_goal = "" if run.goal is None else f", {len(learned & set(run.goal)):,} of them of the goal"
    shown = len(tree.topics) - len(learned)
    some = f" ({shown:,} with the most links are drawn)" if shown < tree.frontier_size else ""
    caption = f"{len(learned):,} topics learned{of_goal}; {tree.frontier_size:,} on the frontier{some}"
    return f"<h3>{html.escape(run.agent)}</h3><p>{caption}</p>{_figure(tree_figure(graph, run, tree))}"


def _curriculum(graph: TopicGraph, run: RunData) -> str:
    goal = set() if run.goal is None else set(run.goal)
    items = "".join(_item(graph, expansion, goal) for expansion in run.expansions)
    return f'<h3>{html.escape(run.agent)}</h3><ol start="0">{items}</ol>'


def _item(graph: TopicGraph, expansion: Expansion, goal: set[int]) -> str:
    title = "Nucleus" if expansion.index == 0 else _title(graph, expansion.topic, goal)
    topics = [t for t in expansion.neighbourhood if expansion.index == 0 or t != expansion.topic]
    also = f"<p>{', '.join(_title(graph, topic, goal) for topic in topics)}</p>" if topics else ""
    figures = f"{expansion.tokens:,} tokens, training loss {expansion.train_loss:.3f}"
    return f"<li><b>{title}</b><small>{figures}</small>{also}</li>"


def _title(graph: TopicGraph, topic: int, goal: set[int]) -> str:
    title = html.escape(graph.titles[topic])
    return f"<mark>{title}</mark>" if topic in goal else title
