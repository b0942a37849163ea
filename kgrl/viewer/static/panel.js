// What is written beside a graph: the step that is shown, and the history of the topic that is selected.

import { barRow, digits, element, svg } from "/static/dom.js";

const SHOWN_CANDIDATES = 24;
const SHOWN_STEPS = 12;

function facts(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) list.append(element("dt", { text: name }), element("dd", { text: value }));
  return list;
}

function topicButton(titles, topic, onPick) {
  const title = titles[topic];
  return element("button", { type: "button", class: "name", title, text: title, on: { click: () => onPick(topic) } });
}

// step: all about an expansion, as the server gives it. knowing: whether topics have to be known, and not only read.
// counts: how many topics are read, solid, faded and on the frontier. exams: [step, tokens, loss] of each exam.
export function drawStep(article, { step, titles, knowing, counts, exams, scores, onPick }) {
  const parts = [
    element("h3", { text: step.nucleus ? "The nucleus" : titles[step.topic] }),
    facts([
      ["expansion", `${step.index}`],
      ["tokens", `${digits(step.tokens)} of ${digits(step.tokens_total)} so far`],
      ["training loss", `${digits(step.train_loss)} nats per token`],
      ...standingFacts(counts, knowing),
      ["frontier", `${digits(counts.frontier)} topics`],
    ]),
    ...examPart(step, exams),
    ...readPart(step, titles, knowing, onPick),
    ...rewardPart(step),
    ...candidatesPart(step, titles, scores, onPick),
    ...passagesPart(step, titles, onPick),
  ];
  article.replaceChildren(...parts);
}

function standingFacts({ read, solid, faded }, knowing) {
  if (!knowing) return [["learned", `${digits(solid)} topics`]];
  return [["read", `${digits(read)} topics`], ["solid", `${digits(solid)} topics`], ["faded", `${digits(faded)} topics`]];
}

function examPart(step, exams) {
  if (exams.length < 2) return [];
  const before = exams.findLast(([at]) => at <= step.index) ?? exams[0];
  const heading = element("h4", { text: `Exam loss ${digits(before[2])} nats per token` });
  return [heading, lineChart(exams.map(([at, , loss]) => [at, loss]), "Exam loss over the steps", step.index)];
}

function readPart(step, titles, knowing, onPick) {
  const list = (heading, topics) => {
    const chips = topics.map((topic) => topicButton(titles, topic, onPick));
    return [element("h4", { text: heading }), element("p", { class: "chips" }, ...chips)];
  };
  if (!knowing) return list("Learned in this step", step.neighbourhood);
  return [
    ...list("Read in this step", step.neighbourhood),
    ...(step.solid.length ? list("Solid since this step", step.solid) : []),
    ...(step.faded.length ? list("Faded in this step", step.faded) : []),
  ];
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
    const why = step.nucleus ? "The nucleus is given, not chosen." : scores === "yes" ? "No scores at this step." : `No scores: ${scores}.`;
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
export function drawTopic(article, { history, knowing, title, titles, onPick, onStep, onClose }) {
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
    readLine(history, knowing, step, titles, onPick),
    ...(knowing ? [solidLine(history, step)] : []),
    candidateLine(history, step),
    ...lossPart(history, step),
  );
}

// Where it was read first, how often in all, and where it was picked more than once.
function readLine({ read, within, topic, picked }, knowing, step, titles, onPick) {
  const [done, Done] = knowing ? ["read", "Read first"] : ["learned", "Learned"];
  if (!read.length) return element("p", { text: `Not ${done} so far.` });
  const line = element("p", {}, `${Done} in `, step(read[0]));
  if (read[0] === 0) line.append(" with the nucleus");
  else if (within === topic) line.append("; it was picked");
  else line.append(" in the neighbourhood of ", topicButton(titles, within, onPick));
  line.append(read.length > 1 ? `; read ${digits(read.length)} times, last in ` : ".");
  if (read.length > 1) line.append(step(read.at(-1)), ".");
  if (picked.length > 1) line.append(` Picked ${digits(picked.length)} times: in `, ...listed(picked, step), ".");
  return line;
}

// When it was solid, and when it faded.
function solidLine({ read, solid }, step) {
  if (!solid.length) return element("p", { text: read.length ? "Not solid so far." : "Never solid." });
  const line = element("p");
  solid.forEach(([from, to], at) => {
    const last = at === solid.length - 1;
    line.append(at ? "; solid again " : "Solid ", to === null ? "since " : "from ", step(from));
    if (to !== null) line.append(", faded in ", step(to));
    if (last) line.append(".");
  });
  return line;
}

// The first and last of many steps.
function listed(steps, step) {
  const shown = steps.length > SHOWN_STEPS ? [...steps.slice(0, SHOWN_STEPS - 1), steps.at(-1)] : steps;
  return shown.flatMap((at, i) => (i ? [i === SHOWN_STEPS - 1 && shown !== steps ? " … " : ", ", step(at)] : [step(at)]));
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
