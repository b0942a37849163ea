// Elements made from text: titles and passages come from anywhere, so nothing is ever parsed as markup.

export function element(tag, options = {}, ...children) {
  const { text, on, ...attributes } = options;
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  if (text !== undefined) made.textContent = text;
  for (const [event, act] of Object.entries(on ?? {})) made.addEventListener(event, act);
  made.append(...children);
  return made;
}

// A title on a canvas, which breaks no lines.
export function shortened(title, most = 80) {
  const letters = title.length > most ? [...title] : [];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : title;
}

export function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A row of a list with a bar behind its number: share is 0 to 1, and below 0 the bar is of the other colour.
export function barRow(label, share, number) {
  const bar = element("span", { class: share < 0 ? "bar below" : "bar" });
  bar.style.width = `${Math.min(100, Math.abs(share) * 100)}%`;
  return [label, element("span", { class: "track" }, bar), element("span", { class: "number", text: number })];
}

export function digits(value, most = 3) {
  const shown = Number(value.toFixed(most)) || 0; // not -0
  return shown.toLocaleString("en", { maximumFractionDigits: most, minimumFractionDigits: Number.isInteger(value) ? 0 : most });
}

export async function fetched(path, signal) {
  const answer = await fetch(path, { signal });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? `the viewer answered ${answer.status}`);
  return body;
}
