// What is written beside a graph: the step that is shown, and the history of the topic that is selected.

import { barRow, digits, element, svg } from "/static/dom.js";

const SHOWN_CANDIDATES = 24;

function facts(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) list.append(element("dt", { text: name }), element("dd", { text: value }));
  return list;
}

function topicButton(titles, topic, onPick) {
  const title = titles[topic];
  return element("button", { type: "button", class: "name", title, text: title, on: { click: () => onPick(topic) } });
}

// step: all about an expansion, as the server gives it. counts: how many topics are learned, and on the frontier.
// exams: [step, tokens, loss] of each exam.
export function drawStep(article, { step, titles, counts, exams, scores, onPick }) {
  const nucleus = step.index === 0;
  const parts = [
    element("h3", { text: nucleus ? "The nucleus" : titles[step.topic] }),
    facts([
      ["expansion", `${step.index}`],
      ["tokens", `${digits(step.tokens)} of ${digits(step.tokens_total)} so far`],
      ["training loss", `${digits(step.train_loss)} nats per token`],
      ["learned", `${digits(counts.learned)} topics`],
      ["frontier", `${digits(counts.frontier)} topics`],
    ]),
    ...examPart(step, exams),
    ...learnedPart(step, titles, onPick),
    ...rewardPart(step),
    ...candidatesPart(step, titles, scores, onPick),
    ...passagesPart(step, titles, onPick),
  ];
  article.replaceChildren(...parts);
}

function examPart(step, exams) {
  if (exams.length < 2) return [];
  const before = exams.findLast(([at]) => at <= step.index) ?? exams[0];
  const heading = element("h4", { text: `Exam loss ${digits(before[2])} nats per token` });
  return [heading, lineChart(exams.map(([at, , loss]) => [at, loss]), "Exam loss over the steps", step.index)];
}

function learnedPart(step, titles, onPick) {
  const chips = step.neighbourhood.map((topic) => topicButton(titles, topic, onPick));
  return [element("h4", { text: "Learned in this step" }), element("p", { class: "chips" }, ...chips)];
}

function rewardPart(step) {
  if (step.reward === null) return [];
  const entries = Object.entries(step.components);
  const widest = Math.max(1e-9, ...entries.map(([, value]) => Math.abs(value)));
  const rows = entries.map(([name, value]) =>
    element("li", {}, ...barRow(element("span", { class: "name", text: name }), value / widest, digits(value, 4))),
  );
  return [element("h4", { text: `Reward ${digits(step.reward, 4)}` }), element("ul", { class: "bars" }, ...rows)];
}

function candidatesPart(step, titles, scores, onPick) {
  const heading = element("h4", { text: "Candidates, as the agent saw them" });
  if (!step.candidates.length) {
    const why = step.index === 0 ? "The nucleus is given, not chosen." : scores === "yes" ? "No scores at this step." : `No scores: ${scores}.`;
    return [heading, element("p", { class: "quiet", text: why })];
  }
  const best = step.candidates[0][1] || 1;
  const shown = step.candidates.slice(0, SHOWN_CANDIDATES);
  const picked = step.candidates.find(([topic]) => topic === step.topic);
  if (picked && !shown.includes(picked)) shown.push(picked);
  const rows = shown.map(([topic, chance]) => {
    const mine = topic === step.topic;
    const row = barRow(topicButton(titles, topic, onPick), chance / best, `${digits(chance * 100, 1)}%`);
    return element("li", { class: mine ? "picked" : null, "aria-current": mine ? "true" : null }, ...row);
  });
  const list = element("ol", { class: "bars" }, ...rows);
  if (picked) return [heading, list];
  return [heading, list, element("p", { class: "quiet", text: "The topic picked is not among the 64 that were preferred." })];
}

function passagesPart(step, titles, onPick) {
  const heading = element("h4", { text: `Trained on ${step.passages.length} passages` });
  const texts = step.passages.map(([topic, text]) =>
    element("blockquote", {}, topicButton(titles, topic, onPick), element("p", { text })),
  );
  return [heading, ...texts];
}

// history: as the server gives it; null where a run does not have the topic.
export function drawTopic(article, { history, title, titles, onPick, onStep, onClose }) {
  article.hidden = false;
  const close = element("button", { type: "button", class: "close", "aria-label": "Close the topic", text: "×", on: { click: onClose } });
  if (history === null) {
    article.replaceChildren(close, element("h3", { text: title }), element("p", { class: "quiet", text: "This run's corpus does not have it." }));
    return;
  }
  const step = (at) => element("button", { type: "button", class: "step", text: `step ${at}`, on: { click: () => onStep(at) } });
  article.replaceChildren(
    close,
    element("h3", { text: title }),
    learnedLine(history, step, titles, onPick),
    candidateLine(history, step),
    ...lossPart(history, step),
  );
}

function learnedLine(history, step, titles, onPick) {
  if (history.learned === null) return element("p", { text: "Not learned so far." });
  if (history.learned === 0) return element("p", {}, "Learned with the nucleus.");
  const where = history.within === history.topic ? ["; it was picked."] : [" in the neighbourhood of ", topicButton(titles, history.within, onPick), "."];
  return element("p", {}, "Learned in ", step(history.learned), ...where);
}

function candidateLine(history, step) {
  if (history.found === null) return element("p", { text: "It was never on the frontier." });
  const line = element("p", {}, "On the frontier from ", step(history.found), ".");
  if (!history.scores.length) return line;
  const best = history.scores.reduce((a, b) => (b[1] > a[1] ? b : a));
  line.append(` Among the preferred in ${history.scores.length} of the choices, at best ${digits(best[1] * 100, 1)}% (rank ${best[2]}) in `, step(best[0]), ".");
  return line;
}

function lossPart(history, step) {
  if (!history.measured.length) return [element("p", { class: "quiet", text: "Its loss was never measured." })];
  const points = history.measured.map(([at, , after]) => [at, after]);
  points.unshift([history.measured[0][0] - 1, history.measured[0][1]]);
  const rows = history.measured.map(([at, before, after]) =>
    element("tr", {}, element("td", {}, step(at)), element("td", { text: digits(before) }), element("td", { text: digits(after) })),
  );
  const head = element("tr", {}, ...["", "before", "after"].map((text) => element("th", { text, scope: "col" })));
  const table = element("table", {}, element("caption", { text: "Loss in nats per token at each measurement" }), element("thead", {}, head), element("tbody", {}, ...rows));
  return [lineChart(points, "Its loss over the steps"), table];
}

// A small line through points [x, y].
export function lineChart(points, label, at = null) {
  const [width, height, edge] = [300, 64, 5];
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const x = (value) => edge + ((value - left) / Math.max(right - left, 1e-9)) * (width - 2 * edge);
  const y = (value) => height - edge - ((value - low) / Math.max(high - low, 1e-9)) * (height - 2 * edge);
  const path = svg("polyline", { points: points.map((p) => `${x(p[0])},${y(p[1])}`).join(" ") });
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `${label}: ${digits(ys[0])} at first, ${digits(ys.at(-1))} at last` }, path);
  for (const point of points) chart.append(svg("circle", { cx: x(point[0]), cy: y(point[1]), r: 2 }));
  if (at !== null) chart.append(svg("line", { x1: x(at), x2: x(at), y1: 0, y2: height }));
  return chart;
}
