"use strict";
const figures = [];
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function theme() {
  const set = {
    "font.color": colour("--text"), "font.family": getComputedStyle(document.body).fontFamily,
    "hoverlabel.bgcolor": colour("--card"), "hoverlabel.bordercolor": colour("--line"),
    "hoverlabel.font.color": colour("--text"), "hoverlabel.align": "left",
  };
  for (const figure of figures) {
    const own = { ...set };
    for (const axis of Object.keys(figure.layout).filter(key => /^[xy]axis/.test(key)))
      for (const [key, name] of [["gridcolor", "--grid"], ["linecolor", "--line"], ["zerolinecolor", "--grid"]])
        own[axis + "." + key] = colour(name);
    Plotly.relayout(figure, own);
  }
}

function paint(by) {
  const read = figures.flatMap(f => f.data.map((trace, index) => ({ f, trace, index })).filter(t => t.trace.meta));
  if (!read.length) return;
  const values = read.flatMap(t => t.trace.meta[by]);
  const low = Math.min(...values), high = Math.max(...values);
  read.forEach(({ f, trace, index }) =>
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
