// What is known of a curriculum at each step. Moving from one step to another touches only what changed between them.

export const KIND = { unseen: 0, frontier: 1, learned: 2, nucleus: 3 };
const NEVER = 0x7fffffff;

export class CurriculumState {
  // graph: what the server says of it; topics are numbers into its arrays.
  constructor(graph) {
    this.n = graph.titles.length;
    this.step = -1;
    this.steps = [];
    this.foundAt = new Int32Array(this.n).fill(NEVER);
    this.learnedAt = new Int32Array(this.n).fill(NEVER);
    this.loss = new Float32Array(this.n).fill(NaN); // as last measured at this step
    this.first = new Float32Array(this.n).fill(NaN); // before the step that first measured it
    this.firstAt = new Int32Array(this.n).fill(NEVER);
    this.latest = new Float32Array(this.n).fill(NaN); // as last measured in all steps that are known
    this.learned = []; // topics learned up to each step, a number
    this.frontier = [];
  }

  get last() {
    return this.steps.length - 1;
  }

  append(steps) {
    for (const step of steps) {
      const at = this.steps.length;
      for (const topic of step.found) this.foundAt[topic] = at;
      for (const topic of step.learned) this.learnedAt[topic] = at;
      this.#count(step);
      step.previous = step.measured.map(([topic, before, after]) => {
        const previous = this.latest[topic];
        if (Number.isNaN(previous)) {
          this.first[topic] = before;
          this.firstAt[topic] = at;
        }
        this.latest[topic] = after;
        return previous;
      });
      this.steps.push(step);
    }
  }

  #count(step) {
    const at = this.steps.length;
    const known = step.learned.filter((topic) => this.foundAt[topic] < at).length;
    const gone = new Set(step.learned);
    const fresh = step.found.filter((topic) => !gone.has(topic)).length;
    this.learned.push((this.learned.at(-1) ?? 0) + step.learned.length);
    this.frontier.push((this.frontier.at(-1) ?? 0) - known + fresh);
  }

  // Go to a step, and return the topics whose looks may have changed.
  moveTo(step) {
    const changed = new Set();
    const touch = (s) => {
      for (const topic of s.found) changed.add(topic);
      for (const topic of s.learned) changed.add(topic);
      for (const [topic] of s.measured) changed.add(topic);
    };
    while (this.step < step) {
      const s = this.steps[++this.step];
      for (const [topic, , after] of s.measured) this.loss[topic] = after;
      touch(s);
    }
    while (this.step > step) {
      const s = this.steps[this.step--];
      for (let i = s.measured.length - 1; i >= 0; i--) this.loss[s.measured[i][0]] = s.previous[i];
      touch(s);
    }
    return changed;
  }

  kind(topic) {
    const learned = this.learnedAt[topic];
    if (learned <= this.step) return learned === 0 ? KIND.nucleus : KIND.learned;
    return this.foundAt[topic] <= this.step ? KIND.frontier : KIND.unseen;
  }

  // The value that a topic is coloured by, NaN where there is none. A learned topic whose loss was not measured has the
  // training loss of the step in which it was learned.
  value(topic, colour) {
    const loss = this.loss[topic];
    if (colour === "progress") return this.first[topic] - loss;
    const learned = this.learnedAt[topic];
    return Number.isNaN(loss) && learned <= this.step ? this.steps[learned].loss : loss;
  }

  // The range of values over all steps, without the outermost hundredths.
  range(colour) {
    const values = [];
    for (const step of this.steps) {
      if (colour === "loss") values.push(step.loss);
      for (const [topic, , after] of step.measured) values.push(colour === "loss" ? after : this.first[topic] - after);
    }
    values.sort((a, b) => a - b);
    if (!values.length) return null;
    return [values[Math.floor(values.length * 0.01)], values[Math.ceil(values.length * 0.99) - 1]];
  }
}
