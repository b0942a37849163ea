// Colours: two scales that are read alike on light and dark ground, and what the theme says.

const SCALES = {
  // One hue after another, evenly darker to lighter: low losses dark and cool, high ones bright.
  loss: ["#3b2f7f", "#36558f", "#2b748e", "#1f938b", "#2fb07a", "#6ccb5b", "#b4dc3c", "#f3e03a"],
  // From forgotten over unchanged to learned.
  progress: ["#b8323f", "#dd6b57", "#eda58b", "#b9bcc4", "#86b3d9", "#4388c4", "#1d5f9e"],
};
const STEPS = 256;

function parsed(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// A table of colours, so that colouring a topic is one look-up.
function table(stops) {
  const colours = stops.map(parsed);
  return Array.from({ length: STEPS }, (_, i) => {
    const at = (i / (STEPS - 1)) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    const mixed = colours[low].map((part, channel) => Math.round(part + (colours[low + 1][channel] - part) * (at - low)));
    return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  });
}

const TABLES = Object.fromEntries(Object.entries(SCALES).map(([name, stops]) => [name, table(stops)]));

export class Scale {
  // range: lowest and highest value, or null where nothing was measured.
  constructor(name, range) {
    this.name = name;
    this.table = TABLES[name];
    const [low, high] = range ?? [0, 1];
    const widest = Math.max(Math.abs(low), Math.abs(high), 1e-6);
    [this.low, this.high] = name === "progress" ? [-widest, widest] : [low, Math.max(high, low + 1e-6)];
    this.empty = range === null;
  }

  of(value) {
    const at = Math.round(((value - this.low) / (this.high - this.low)) * (STEPS - 1));
    return this.table[Math.max(0, Math.min(STEPS - 1, at))];
  }

  // Whether a range of values is shown well enough by this scale.
  fits(range) {
    if (range === null || this.empty) return this.empty === (range === null);
    const slack = 0.05 * (this.high - this.low);
    const wanted = new Scale(this.name, range);
    return Math.abs(wanted.low - this.low) < slack && Math.abs(wanted.high - this.high) < slack;
  }

  draw(canvas) {
    const context = canvas.getContext("2d");
    for (let x = 0; x < canvas.width; x++) {
      context.fillStyle = this.table[Math.floor((x / canvas.width) * STEPS)];
      context.fillRect(x, 0, 1, canvas.height);
    }
  }
}

export function themeColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ground", "ink", "muted", "faint", "link", "link-solid", "nucleus", "solid", "faded", "read", "frontier", "picked", "surface"];
  return Object.fromEntries(names.map((name) => [name, drawn(style.getPropertyValue(`--${name}`).trim())]));
}

// sigma adds what it draws to the ground without weighing it, so that a see-through colour has to be weighed before.
function drawn(hex) {
  if (hex.length < 9) return hex;
  const alpha = parseInt(hex.slice(7), 16) / 255;
  return `rgba(${parsed(hex).map((part) => Math.round(part * alpha)).join(",")},${alpha.toFixed(3)})`;
}
