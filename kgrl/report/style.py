"""The looks and the behaviour of a report page, light and dark by the reader's setting."""

from __future__ import annotations

__all__ = ["BEHAVIOUR", "STYLE"]

STYLE = """
:root {
  --ground: #f6f7f9; --card: #ffffff; --text: #1c2230; --quiet: #626b7d; --line: #e3e6ec; --grid: #eceff3;
  --accent: #6366f1; --goal: #10b981; --goal-wash: rgba(16, 185, 129, .14);
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1218; --card: #181c25; --text: #e7eaf1; --quiet: #97a0b3; --line: #2a303c; --grid: #252b36;
    --accent: #8b8ff8; --goal: #34d399; --goal-wash: rgba(52, 211, 153, .16);
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1240px; margin: 0 auto; padding: 40px 24px 72px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 8px; overflow-wrap: anywhere; }
header p { color: var(--quiet); margin: 0; max-width: 72ch; }
section { margin-top: 40px; }
h2 { font-size: 18px; letter-spacing: -.01em; margin: 0 0 14px; }
h3 { font-size: 16px; margin: 0; overflow-wrap: anywhere; }
h3 + p { color: var(--quiet); margin: 2px 0 8px; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 18px 20px; min-width: 0;
  box-shadow: 0 1px 2px rgba(0, 0, 0, .04);
}
.grid { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 10px 12px; text-align: right; white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; white-space: normal; }
thead [rowspan], thead tr + tr > * { border-bottom: 1px solid var(--line); }
thead tr + tr > * { padding-top: 0; font-weight: 400; color: var(--quiet); }
thead [colspan] { padding: 0 12px 4px; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
thead [rowspan]:first-child, tbody th { text-align: left; padding-left: 0; }
small { color: var(--quiet); font-weight: 400; font-size: 12.5px; }
thead small { display: block; }
.note { color: var(--quiet); font-size: 13.5px; max-width: 90ch; margin: 12px 2px 0; }
.legend { display: flex; flex-wrap: wrap; gap: 10px 22px; align-items: center; margin-bottom: 14px; font-size: 14px; }
.legend span { display: inline-flex; align-items: center; gap: 8px; }
.legend b { font-weight: 400; color: var(--quiet); }
.dot, .diamond { width: 11px; height: 11px; background: #8b5cf6; border-radius: 50%; }
.diamond { border-radius: 2px; transform: rotate(45deg) scale(.9); background: #3b82f6; }
.dot.frontier { background: #94a3b8; width: 7px; height: 7px; }
.dot.goal { outline: 2.5px solid var(--goal); }
.ramp {
  width: 110px; height: 9px; border-radius: 5px;
  background: linear-gradient(90deg, #3b82f6, #8b5cf6, #ec4899, #f59e0b);
}
fieldset { border: 0; padding: 0; margin: 0 0 0 auto; display: flex; gap: 14px; align-items: center; }
fieldset legend { float: left; padding: 0; color: var(--quiet); }
label { display: inline-flex; gap: 6px; align-items: center; cursor: pointer; }
input { accent-color: var(--accent); margin: 0; }
ol { margin: 12px 0 0; padding-left: 2.2em; }
li { margin: 0 0 12px; padding-left: 4px; }
li::marker { color: var(--quiet); font-variant-numeric: tabular-nums; }
li small { margin-left: 10px; }
li p { margin: 1px 0 0; color: var(--quiet); font-size: 14px; overflow-wrap: anywhere; }
mark {
  background: var(--goal-wash); color: inherit; border-radius: 4px; padding: 0 3px; margin: 0 -1px;
  -webkit-box-decoration-break: clone; box-decoration-break: clone;
}
@media print { .card { break-inside: avoid; box-shadow: none; } }
"""

BEHAVIOUR = """
"use strict";
const figures = [];
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function theme() {
  const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--grid") };
  const set = {
    "font.color": colour("--text"), "font.family": getComputedStyle(document.body).fontFamily,
    "hoverlabel.bgcolor": colour("--card"), "hoverlabel.bordercolor": colour("--line"),
    "hoverlabel.font.color": colour("--text"), "hoverlabel.align": "left",
  };
  for (const [key, value] of Object.entries(axis)) { set["xaxis." + key] = value; set["yaxis." + key] = value; }
  figures.forEach(figure => Plotly.relayout(figure, set));
}

function paint(by) {
  const learned = figures.flatMap(f => f.data.map((trace, index) => ({ f, trace, index })).filter(t => t.trace.meta));
  const values = learned.flatMap(t => t.trace.meta[by]);
  const low = Math.min(...values), high = Math.max(...values);
  learned.forEach(({ f, trace, index }) =>
    Plotly.restyle(f, { "marker.color": [trace.meta[by]], "marker.cmin": low, "marker.cmax": high }, [index]));
  const ends = by === "order" ? ["first", "last"] : [low.toFixed(2), high.toFixed(2)];
  document.querySelector("[data-low]").textContent = ends[0];
  document.querySelector("[data-high]").textContent = ends[1];
}

async function draw() {
  for (const place of document.querySelectorAll(".figure")) {
    const { data, layout } = JSON.parse(place.firstChild.textContent);
    place.replaceChildren();
    await Plotly.newPlot(place, data, layout, { responsive: true, displayModeBar: false });
    figures.push(place);
  }
  theme();
  paint("order");
}

document.querySelectorAll("input[name=colour]").forEach(i => i.addEventListener("change", () => paint(i.value)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
draw();
"""
