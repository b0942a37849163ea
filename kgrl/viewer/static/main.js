// The page: the runs side by side, one slider over both, and what follows runs that are still going.

import { Scale, themeColours } from "/static/colours.js";
import { fetched } from "/static/dom.js";
import { RunView } from "/static/runview.js";
import { Search } from "/static/search.js";

const POLL_MS = 1000;
const $ = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.container = $("runs");
    this.runs = [];
    this.step = 0;
    this.playing = false;
    this.theme = themeColours();
  }

  async load() {
    const about = await fetched("/api/runs");
    document.body.classList.toggle("two", about.length > 1);
    // Where topics have to be known, those that were read and are not known, and those that faded, are told apart.
    const knowing = about.some((run) => run.knowing);
    for (const kind of document.querySelectorAll(".kinds .knowing")) kind.hidden = !knowing;
    if (knowing) $("solid").textContent = "solid";
    document.title = `kgrl view: ${about.map((run) => run.name).join(", ")}`;
    this.runs = await Promise.all(about.map((run, number) => RunView.load(number, run, this)));
    for (const run of this.runs) this.container.append(run.section); // in order, whichever came first
    this.#follow_cameras();
    const titles = [...new Set(this.runs.flatMap((run) => run.titles))];
    new Search($("search"), $("found"), titles, (title) => this.select(title));
    this.recolour();
    this.goTo(0);
    this.container.setAttribute("aria-busy", "false");
    setTimeout(() => this.poll(), POLL_MS);
  }

  get last() {
    return Math.max(0, ...this.runs.map((run) => run.last));
  }

  goTo(step) {
    this.step = Math.max(0, Math.min(step, this.last));
    for (const run of this.runs) run.show(this.step);
    const slider = $("slider");
    slider.max = this.last;
    slider.value = this.step;
    const spoken = this.runs.filter((run) => run.last >= 0).map((run) => run.spoken(this.step));
    slider.setAttribute("aria-valuetext", `Expansion ${this.step} of ${this.last}: ${spoken.join("; ")}`);
    $("at").textContent = `${this.step} / ${this.last}`;
    document.documentElement.dataset.step = this.step;
  }

  select(title) {
    for (const run of this.runs) run.select(title).catch((error) => this.tell(error.message));
  }

  tell(message) {
    $("notice").textContent = message;
    $("notice").hidden = !message;
  }

  // Colours by all losses of all runs, so that the same colour means the same on both sides.
  recolour() {
    const colour = $("colour").value;
    const scale = (this.scale = new Scale(colour, this.#range(colour)));
    for (const run of this.runs) run.recolour(scale, colour, this.theme);
    scale.draw($("ramp"));
    const unit = colour === "loss" ? "" : "nats ";
    $("low").textContent = scale.empty ? "" : `${unit}${scale.low.toFixed(1)}`;
    $("high").textContent = scale.empty ? "not measured" : scale.high.toFixed(1);
    const what = colour === "loss" ? "loss in nats per token as last measured, or where a topic that was read was not measured the training loss of the step that first read it" : "fall of the loss since it was first measured, in nats per token";
    $("scale").title = what;
    $("scale").setAttribute("aria-label", `Colours show the ${what}, from ${scale.low.toFixed(1)} to ${scale.high.toFixed(1)}`);
  }

  #range(colour) {
    const ranges = this.runs.map((run) => run.state.range(colour)).filter(Boolean);
    return ranges.length ? [Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1]))] : null;
  }

  play(on = !this.playing) {
    if (on && this.step === this.last && !this.runs.some((run) => run.going)) this.goTo(0);
    this.playing = on;
    $("play").textContent = on ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) this.#tick(performance.now(), 0);
  }

  #tick(then, owed) {
    requestAnimationFrame((now) => {
      if (!this.playing) return;
      const due = owed + ((now - then) / 1000) * Number($("speed").value);
      const whole = Math.floor(due);
      if (whole > 0) this.goTo(this.step + whole);
      if (this.step >= this.last && !this.runs.some((run) => run.going)) this.play(false);
      else this.#tick(now, due - whole);
    });
  }

  async poll() {
    try {
      const atEnd = this.step === this.last;
      const grown = await Promise.all(this.runs.filter((run) => run.going).map((run) => run.follow()));
      if (grown.some(Boolean)) {
        // Every topic is drawn anew for another scale, so a live run keeps its scale while that fits.
        if (!this.scale.fits(this.#range($("colour").value))) this.recolour();
        this.goTo(atEnd && !this.playing ? this.last : this.step);
      }
      this.tell("");
    } catch (error) {
      this.tell(error instanceof TypeError ? "The viewer has ended, or cannot be reached." : error.message);
    }
    setTimeout(() => this.poll(), POLL_MS);
  }

  #follow_cameras() {
    const [a, b] = this.runs.map((run) => run.view.sigma.getCamera());
    if (!b || this.runs[0].key !== this.runs[1].key) return;
    let busy = false;
    const copy = (to) => (state) => {
      if (busy) return;
      busy = true;
      to.setState(state);
      busy = false;
    };
    a.on("updated", copy(b));
    b.on("updated", copy(a));
  }
}

function listen(page) {
  $("play").addEventListener("click", () => page.play());
  $("back").addEventListener("click", () => page.goTo(page.step - 1));
  $("on").addEventListener("click", () => page.goTo(page.step + 1));
  $("slider").addEventListener("input", () => page.goTo(Number($("slider").value)));
  $("colour").addEventListener("change", () => page.recolour());
  $("theme").addEventListener("click", () => setTheme(page, dark() ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(page));
  document.addEventListener("keydown", (event) => key(page, event));
}

const KEYS = {
  " ": (page) => page.play(),
  ArrowLeft: (page) => page.goTo(page.step - 1),
  ArrowRight: (page) => page.goTo(page.step + 1),
  Home: (page) => page.goTo(0),
  End: (page) => page.goTo(page.last),
  "/": () => $("search").select(),
  "+": (page) => page.runs[0].view.zoom(0.7),
  "-": (page) => page.runs[0].view.zoom(1.4),
  0: (page) => page.runs[0].view.zoom(0),
  Escape: (page) => page.select(null),
};

function key(page, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const inside = event.target;
  if (inside.matches("input[type=search], select")) return;
  if (inside.matches("input[type=range]") && event.key !== " " && event.key !== "/") return;
  if (inside.matches("button") && event.key === " ") return;
  if (inside.matches(".panel") && ["Home", "End"].includes(event.key)) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act(page);
}

const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function setTheme(page, name) {
  if (name) document.documentElement.dataset.theme = name;
  page.theme = themeColours();
  page.recolour();
}

const page = new Page();
globalThis.kgrl = page; // for the browser's console
listen(page);
page.load().catch((error) => page.tell(error.message));
