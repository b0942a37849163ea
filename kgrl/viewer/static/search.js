// The search box: suggestions under it, chosen by keyboard or mouse.

import { element } from "/static/dom.js";

const MOST = 10;

// Without case and accents.
function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

// Titles that contain what is typed; those that begin with it first, short before long.
function matches(index, typed) {
  const wanted = plain(typed.trim());
  if (!wanted) return [];
  const found = [];
  for (const [title, text] of index) {
    const at = text.indexOf(wanted);
    if (at >= 0) found.push([at === 0 ? 0 : text[at - 1] === " " ? 1 : 2, text.length, title]);
  }
  return found.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MOST).map(([, , title]) => title);
}

export class Search {
  constructor(box, list, titles, onChosen) {
    Object.assign(this, { box, list, onChosen });
    this.index = titles.map((title) => [title, plain(title)]);
    this.found = [];
    this.at = -1;
    box.addEventListener("input", () => this.#suggest());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("blur", () => this.#close());
  }

  #suggest() {
    this.found = matches(this.index, this.box.value);
    this.at = this.found.length ? 0 : -1;
    const options = this.found.map((title, at) =>
      element("li", { id: `found-${at}`, role: "option", text: title, on: { mousedown: (event) => this.#choose(at, event) } }),
    );
    if (!options.length && this.box.value.trim()) options.push(element("li", { class: "quiet", text: "no topic is called so" }));
    this.list.replaceChildren(...options);
    this.list.hidden = !options.length;
    this.box.setAttribute("aria-expanded", String(options.length > 0));
    this.#mark();
  }

  #key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (this.found.length) this.at = (this.at + step + this.found.length) % this.found.length;
      this.#mark();
    } else if (event.key === "Enter" && this.at >= 0) {
      this.#choose(this.at, event);
    } else if (event.key === "Escape") {
      if (this.list.hidden) this.box.blur();
      this.#close();
    } else return;
    event.preventDefault();
  }

  #mark() {
    [...this.list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === this.at)));
    if (this.at >= 0) this.box.setAttribute("aria-activedescendant", `found-${this.at}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  #choose(at, event) {
    event.preventDefault();
    this.box.value = this.found[at];
    this.#close();
    this.onChosen(this.found[at]);
  }

  #close() {
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
  }
}
