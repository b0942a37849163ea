// What is known of a curriculum at each step. Moving from one step to another touches only what changed between them.

// What a topic is at a step, as the server numbers it; the nucleus is marked where it is solid.
export const KIND = { unseen: 0, frontier: 1, read: 2, faded: 3, solid: 4, nucleus: 5 };
const NEVER = 0x7fffffff;

export class CurriculumState {
  // graph: what the server says of it; topics are numbers into its arrays.
  constructor(graph) {
    this.n = graph.titles.length;
    this.step = -1;
    this.steps = [];
    this.nucleus = new Set();
    this.kinds = new Uint8Array(this.n); // at this step
    this.latestKinds = new Uint8Array(this.n); // at the last step that is known
    this.readAt = new Int32Array(this.n).fill(NEVER); // for the first time
    this.loss = new Float32Array(this.n).fill(NaN); // as last measured at this step
    this.first = new Float32Array(this.n).fill(NaN); // before the step that first measured it
    this.firstAt = new Int32Array(this.n).fill(NEVER);
    this.latest = new Float32Array(this.n).fill(NaN); // as last measured in all steps that are known
  }

  get last() {
    return this.steps.length - 1;
  }

  append(steps) {
    for (const step of steps) {
      const at = this.steps.length;
      if (at === 0) this.nucleus = new Set(step.nucleus);
      for (const topic of step.read) this.readAt[topic] = at;
      step.previousKinds = step.kinds.map(([topic, kind]) => {
        const previous = this.latestKinds[topic];
        this.latestKinds[topic] = kind;
        return previous;
      });
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

  // How many topics are read, solid, faded and on the frontier at a step.
  counts(step) {
    const [read, solid, faded, frontier] = this.steps[step].counts;
    return { read, solid, faded, frontier };
  }

  // Go to a step, and return the topics whose looks may have changed.
  moveTo(step) {
    const changed = new Set();
    const touch = (s) => {
      for (const [topic] of s.kinds) changed.add(topic);
      for (const topic of s.read) changed.add(topic);
      for (const [topic] of s.measured) changed.add(topic);
    };
    while (this.step < step) {
      const s = this.steps[++this.step];
      for (const [topic, kind] of s.kinds) this.kinds[topic] = kind;
      for (const [topic, , after] of s.measured) this.loss[topic] = after;
      touch(s);
    }
    while (this.step > step) {
      const s = this.steps[this.step--];
      s.kinds.forEach(([topic], i) => (this.kinds[topic] = s.previousKinds[i]));
      for (let i = s.measured.length - 1; i >= 0; i--) this.loss[s.measured[i][0]] = s.previous[i];
      touch(s);
    }
    return changed;
  }

  // The topics that became solid, or are so no more, between two steps.
  solidified(before, after) {
    const [low, high] = before < after ? [before, after] : [after, before];
    const topics = new Set();
    for (let at = low + 1; at <= high; at++) {
      const { kinds, previousKinds } = this.steps[at];
      kinds.forEach(([topic, kind], i) => {
        if ((kind === KIND.solid) !== (previousKinds[i] === KIND.solid)) topics.add(topic);
      });
    }
    return topics;
  }

  isSolid(topic) {
    return this.kinds[topic] === KIND.solid;
  }

  kind(topic) {
    return this.isSolid(topic) && this.nucleus.has(topic) ? KIND.nucleus : this.kinds[topic];
  }

  // The value that a topic is coloured by, NaN where there is none. A read topic whose loss was not measured has the
  // training loss of the step in which it was first read.
  value(topic, colour) {
    const loss = this.loss[topic];
    if (colour === "progress") return this.first[topic] - loss;
    const read = this.readAt[topic];
    return Number.isNaN(loss) && read <= this.step ? this.steps[read].loss : loss;
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
