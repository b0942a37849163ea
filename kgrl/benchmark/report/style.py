"""The looks and the behaviour of a benchmark's page, beside those that all reports have."""

from __future__ import annotations

__all__ = ["BENCHMARK_BEHAVIOUR", "BENCHMARK_STYLE"]

BENCHMARK_STYLE = """
:root {
  --better: #0b62b8; --better-wash: #d6e8fb; --worse: #a8450b; --worse-wash: #fde3cf;
  --same: #565f70; --same-wash: #eceef2; --gap: #8a2440;
}
@media (prefers-color-scheme: dark) {
  :root {
    --better: #8ec6ff; --better-wash: #123a60; --worse: #ffb27d; --worse-wash: #57290c;
    --same: #b3bac8; --same-wash: #2a303c; --gap: #ff9db4;
  }
}
html { scroll-padding-top: 16px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.anchor { color: inherit; text-decoration: none; }
.anchor::after { content: " #"; color: var(--quiet); opacity: 0; }
.anchor:hover::after, .anchor:focus-visible::after { opacity: 1; }
a { color: var(--accent); }
nav.contents { display: flex; flex-wrap: wrap; gap: 6px 18px; margin-top: 18px; font-size: 14px; }
h3 { margin: 22px 0 10px; }
h3:first-child { margin-top: 0; }
p.lead { max-width: 80ch; margin: 0 0 14px; }
thead th { border-bottom: 1px solid var(--line); font-size: 13.5px; }
thead th:first-child, th.text, td.text { text-align: left; }
thead th:first-child, tbody th { padding-left: 0; }
th, td { padding: 6px 10px; }
tbody th { font-weight: 500; }
td { font-size: 14px; }
td.sentence { white-space: normal; min-width: 340px; color: var(--quiet); font-size: 13px; line-height: 1.4; }
td.verdict { font-weight: 600; }
td.better { color: var(--better); } td.worse { color: var(--worse); }
td.not-distinguishable, td.baseline { color: var(--same); font-weight: 400; } td.missing { color: var(--gap); }
table.matrix { width: auto; border-collapse: separate; border-spacing: 3px; }
table.matrix th { padding: 3px 10px 3px 0; }
table.matrix tbody tr + tr > * { border-top: 0; }
table.matrix thead th { border: 0; padding: 2px 4px; text-align: center; font-size: 12.5px; font-weight: 500; }
table.matrix td { padding: 0; min-width: 62px; text-align: center; font-size: 12.5px; border-radius: 5px; }
table.matrix td a { color: inherit; text-decoration: none; display: block; padding: 4px 6px; border-radius: 5px; }
table.matrix td.better, .key.better { background: var(--better-wash); color: var(--better); }
table.matrix td.worse, .key.worse { background: var(--worse-wash); color: var(--worse); }
table.matrix td.not-distinguishable, .key.not-distinguishable { background: var(--same-wash); color: var(--same); }
table.matrix td.baseline, .key.baseline { color: var(--same); }
table.matrix td.missing, .key.missing {
  color: var(--gap); background: repeating-linear-gradient(45deg, transparent 0 5px, var(--line) 5px 6px);
}
.keys { display: flex; flex-wrap: wrap; gap: 8px 16px; font-size: 13.5px; margin: 0 0 12px; }
.key { border-radius: 5px; padding: 1px 8px; }
details { border-top: 1px solid var(--line); }
details:first-of-type { border-top: 0; }
details > summary { cursor: pointer; padding: 9px 2px; overflow-wrap: anywhere; }
details > summary small { margin-left: 8px; }
details > .inside { padding: 2px 0 14px; }
.buttons { display: flex; gap: 8px; margin: 0 0 10px; flex-wrap: wrap; }
button {
  font: inherit; font-size: 13.5px; color: var(--text); background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 3px 11px; cursor: pointer;
}
button:hover { border-color: var(--accent); }
.agents {
  border: 1px solid var(--line); border-radius: 12px; background: var(--card); padding: 10px 14px; margin: 0 0 16px;
  display: flex; flex-wrap: wrap; gap: 4px 14px; position: sticky; top: 0; z-index: 5; font-size: 13.5px;
  max-height: 34vh; overflow-y: auto;
}
.agents legend { float: none; }
.agents svg { width: 26px; height: 8px; }
td small { display: block; font-size: 12px; white-space: nowrap; }
.card + .card, .grid + .card, .card + h3 { margin-top: 18px; }
.grid > .card + .card { margin-top: 0; }
.columns { columns: 300px; column-gap: 28px; }
.columns li { break-inside: avoid; margin-bottom: 3px; font-size: 13.5px; }
.columns li small { font-size: 12px; margin-left: 7px; }
.gaps { color: var(--gap); font-size: 13.5px; }
.gaps ul { margin: 4px 0 0; padding-left: 1.4em; }
.gaps li { margin: 0 0 3px; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13.5px; margin: 8px 0; }
dl { margin: 0; } dt { font-weight: 600; margin-top: 10px; } dd { margin: 2px 0 0; max-width: 90ch; }
@media print {
  body { background: #fff; font-size: 12px; }
  main { max-width: none; padding: 0; }
  .agents { position: static; max-height: none; } .buttons, nav.contents { display: none; }
  .scroll { overflow: visible; } td.sentence { min-width: 0; }
  th, td { padding: 3px 5px; font-size: 10.5px; }
  tr, .figure, details > summary { break-inside: avoid; }
  .card { break-inside: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

BENCHMARK_BEHAVIOUR = """
"use strict";
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const all = selector => [...document.querySelectorAll(selector)];
const drawn = new Map();
const boxes = all(".agents input");
const shown = new Set(boxes.filter(box => box.checked).map(box => box.value));

function theme(place) {
  const layout = place.layout, set = {
    "font.color": colour("--text"), "font.family": getComputedStyle(document.body).fontFamily,
    "hoverlabel.bgcolor": colour("--card"), "hoverlabel.bordercolor": colour("--line"),
    "hoverlabel.font.color": colour("--text"), "hoverlabel.align": "left",
  };
  for (const axis of Object.keys(layout).filter(key => /^[xy]axis/.test(key)))
    for (const key of ["gridcolor", "linecolor", "zerolinecolor"])
      set[axis + "." + key] = colour(key === "linecolor" ? "--line" : "--grid");
  return Plotly.relayout(place, set);
}

function reveal(place) {
  const own = place.data.map((trace, index) => ({ trace, index })).filter(item => item.trace.meta !== undefined);
  if (!own.length) return Promise.resolve();
  const visible = own.map(item => shown.has(item.trace.meta));
  return Plotly.restyle(place, { visible }, own.map(item => item.index));
}

function draw(place) {
  if (!drawn.has(place)) drawn.set(place, (async () => {
    const { data, layout } = JSON.parse(place.firstChild.textContent);
    place.replaceChildren();
    await Plotly.newPlot(place, data, layout, { responsive: true, displayModeBar: false });
    await reveal(place);
    await theme(place);
  })());
  return drawn.get(place);
}

function choose(names) {
  shown.clear();
  names.forEach(name => shown.add(name));
  boxes.forEach(box => { box.checked = shown.has(box.value); });
  drawn.forEach((done, place) => done.then(() => reveal(place)));
}

function list(details) {
  const inside = details.querySelector(".inside");
  if (!details.dataset.cell || inside.childNodes.length) return;
  const cell = curricula().cells[details.dataset.cell];
  if (!cell) { inside.textContent = "missing: the curriculum's file is not in the folder"; return; }
  const ordered = document.createElement("ol");
  ordered.className = "columns";
  ordered.start = 0;
  cell.t.forEach((title, at) => {
    const item = document.createElement("li"), small = document.createElement("small");
    const reward = cell.r[at] === null ? "" : ", reward " + cell.r[at];
    small.textContent = cell.k[at].toLocaleString("en") + " tokens" + reward;
    item.append((at ? "" : "Nucleus: ") + curricula().titles[title], small);
    ordered.append(item);
  });
  inside.append(ordered);
}

let parsed = null;
function curricula() { return parsed ??= JSON.parse(document.getElementById("curricula-data").textContent); }

const first = boxes.filter(box => box.checked).map(box => box.value);
boxes.forEach(box => box.addEventListener("change", () => choose(boxes.filter(b => b.checked).map(b => b.value))));
const choices = { first: () => first, all: () => boxes.map(box => box.value), none: () => [] };
all("[data-choose]").forEach(b => b.addEventListener("click", () => choose(choices[b.dataset.choose]())));
all("[data-open]").forEach(b => b.addEventListener("click", () =>
  all("#" + b.dataset.of + " details").forEach(details => { details.open = b.dataset.open === "yes"; })));
all("details[data-cell]").forEach(details => details.addEventListener("toggle", () => list(details)));

function arrive() {
  const goal = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let up = goal; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
  if (goal) goal.scrollIntoView();
}
addEventListener("hashchange", arrive);
arrive();

const watcher = new IntersectionObserver(seen => seen.filter(s => s.isIntersecting).forEach(s => {
  watcher.unobserve(s.target);
  draw(s.target);
}), { rootMargin: "600px" });
all(".figure").forEach(place => watcher.observe(place));
// Figures are drawn as they come near; on paper all are near, and so are the verdicts, but not the curricula.
addEventListener("beforeprint", () => {
  all("#verdicts details").forEach(details => { details.open = true; });
  all(".figure").forEach(draw);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  drawn.forEach((done, place) => done.then(() => theme(place))));
"""
