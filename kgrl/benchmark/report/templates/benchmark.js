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
