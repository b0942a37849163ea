// One run on the page: its state, its graph, and what is written about it.

import { CurriculumState } from "/static/curriculum.js";
import { digits, fetched } from "/static/dom.js";
import { GraphView } from "/static/graphview.js";
import { drawStep, drawTopic } from "/static/panel.js";

const SETTLE_MS = 60; // a step that is passed sooner is not asked for

export class RunView {
  // number: the run's on the server. page: what it tells of clicks.
  static async load(number, about, page) {
    const [graph, news] = await Promise.all([fetched(`/api/runs/${number}/graph`), fetched(`/api/runs/${number}/steps`)]);
    return new RunView(number, about, graph, news, page);
  }

  constructor(number, about, graph, news, page) {
    Object.assign(this, { number, about, titles: graph.titles, key: graph.key, page });
    this.graph = graph;
    this.byTitle = new Map(graph.titles.map((title, topic) => [title, topic]));
    const made = document.getElementById("run").content.cloneNode(true);
    this.section = made.querySelector("section");
    this.section.setAttribute("aria-label", `Run ${about.name}`);
    this.section.querySelector(".graph").setAttribute("aria-label", `Topic graph of ${about.name}; search reaches every topic`);
    this.section.querySelector(".panel").setAttribute("aria-label", `Details of ${about.name}`);
    this.section.querySelector("h2").textContent = about.name;
    const { agent, corpus, task, learner } = about.settings;
    this.section.querySelector(".caption p").textContent = [agent, task ?? corpus, learner].filter(Boolean).join(" · ");
    this.page.container.append(made);
    this.state = new CurriculumState(graph);
    this.view = new GraphView(this.section.querySelector(".graph"), graph, this.state, page.theme, (topic) => this.#pick(topic));
    this.take(news);
  }

  get last() {
    return this.state.last;
  }

  get going() {
    return this.news.state !== "finished";
  }

  // Take in what the server has to say; returns whether there are new steps.
  take(news) {
    const begun = this.news?.version;
    if (begun !== undefined && news.version !== begun) this.#startOver();
    this.news = news;
    this.state.append(news.steps);
    const badge = this.section.querySelector(".badge");
    badge.textContent = news.state;
    badge.dataset.state = news.state;
    return news.steps.length > 0 || (begun !== undefined && news.version !== begun);
  }

  async follow() {
    return this.take(await fetched(`/api/runs/${this.number}/steps?after=${this.state.steps.length}&version=${this.news.version}`));
  }

  show(step) {
    const shown = Math.min(step, this.last);
    if (shown < 0) return;
    if (shown !== this.state.step) this.view.show(shown);
    this.section.dataset.step = shown;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.#details(shown), SETTLE_MS);
  }

  recolour(scale, colour, theme) {
    this.view.recolour(scale, colour, theme);
  }

  // Select a topic by title, or nothing.
  async select(title) {
    const topic = this.byTitle.get(title) ?? -1;
    this.selected = title;
    this.view.select(topic);
    const article = this.section.querySelector(".topic");
    if (title === null) {
      article.hidden = true;
      article.replaceChildren();
      return;
    }
    const history = topic < 0 ? null : await fetched(`/api/runs/${this.number}/topics/${topic}`);
    if (this.selected !== title) return;
    drawTopic(article, {
      history,
      knowing: this.about.knowing,
      title,
      titles: this.titles,
      onPick: (other) => this.#pick(other),
      onStep: (at) => this.page.goTo(at),
      onClose: () => this.page.select(null),
    });
    this.section.querySelector(".panel").scrollTop = 0;
  }

  #startOver() {
    const { scale, colour, theme } = this.view;
    this.state = new CurriculumState(this.graph);
    this.view.state = this.state;
    this.view.picked = -1;
    this.view.recolour(scale, colour, theme);
  }

  #pick(topic) {
    this.page.select(topic < 0 ? null : this.titles[topic]);
  }

  async #details(index) {
    this.asked?.abort();
    this.asked = new AbortController();
    try {
      const step = await fetched(`/api/runs/${this.number}/steps/${index}`, this.asked.signal);
      const counts = this.state.counts(index);
      const { exams, scores } = this.news;
      const article = this.section.querySelector(".step");
      drawStep(article, { step, titles: this.titles, knowing: this.about.knowing, counts, exams, scores, onPick: (topic) => this.#pick(topic) });
    } catch (error) {
      if (error.name !== "AbortError") this.page.tell(error.message);
    }
  }

  // A line for those who do not see the graph.
  spoken(step) {
    const shown = Math.min(step, this.last);
    const topic = this.titles[this.state.steps[shown].topic];
    const { read, solid, faded } = this.state.counts(shown);
    if (!this.about.knowing) return `${topic}, ${digits(solid)} learned`;
    return `${topic}, ${digits(read)} read, ${digits(solid)} solid, ${digits(faded)} faded`;
  }
}
