// The drawing of one run's topic graph: WebGL by sigma, of which only what changed is written anew.

import { EdgeLineProgram, Graph, Sigma, createNodeBorderProgram } from "/static/graph.min.js";
import { KIND } from "/static/curriculum.js";
import { shortened } from "/static/dom.js";

const Ring = createNodeBorderProgram({
  borders: [
    { size: { attribute: "ring", defaultValue: 0.25 }, color: { attribute: "ringColour" } },
    { size: { fill: true }, color: { attribute: "color" } },
  ],
});
const SIZES = [0.6, 1.1, 1.5, 1.5, 2, 2.8]; // by kind
const RINGS = [0, 0.34, 0.34, 0.34, 0.2, 0.34];
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

export class GraphView {
  constructor(container, graph, state, theme, onPick) {
    this.state = state;
    this.titles = graph.titles;
    this.picked = -1;
    this.selected = -1;
    this.rows = linkRows(graph.links, graph.titles.length);
    this.theme = theme;
    this.#measure(container);
    this.sigma = new Sigma(built(graph), container, {
      defaultNodeType: "ring",
      nodeProgramClasses: { ring: Ring },
      nodeReducer: (node, { x, y }) => ({ x, y, ...this.#look(Number(node)) }),
      edgeProgramClasses: { line: EdgeLineProgram },
      defaultEdgeType: "line",
      edgeReducer: (_, link) => this.#linkLook(link),
      hideEdgesOnMove: false,
      labelFont: "system-ui, sans-serif",
      labelSize: 12,
      labelDensity: 0.6,
      labelGridCellSize: 110,
      labelRenderedSizeThreshold: 5,
      zIndex: false,
      minCameraRatio: 0.01,
      maxCameraRatio: 3,
      allowInvalidContainer: true,
      defaultDrawNodeHover: (context, node, settings) => drawHover(context, node, settings, this.theme),
      defaultDrawNodeLabel: (context, node, settings) => drawLabel(context, node, settings, this.theme),
    });
    this.sigma.on("clickNode", ({ node }) => onPick(Number(node)));
    this.sigma.on("clickStage", () => onPick(-1));
    this.sigma.on("resize", () => {
      this.#measure(container);
      this.sigma.refresh({ skipIndexation: true, schedule: true });
    });
  }

  // Topics are drawn as large as there is room for.
  #measure(container) {
    const room = Math.sqrt((container.offsetWidth * container.offsetHeight) / (this.titles.length + 1));
    this.base = Math.max(1.2, Math.min(9, 0.26 * room));
  }

  // Show everything with other colours.
  recolour(scale, colour, theme) {
    Object.assign(this, { scale, colour, theme });
    this.sigma.refresh({ skipIndexation: true });
  }

  // Show a step: write anew what changed since the last.
  show(step) {
    const before = this.state.step;
    const changed = this.state.moveTo(step);
    if (this.picked >= 0) changed.add(this.picked);
    this.picked = this.state.steps[step]?.topic ?? -1;
    if (this.picked >= 0) changed.add(this.picked);
    this.#rewrite([...changed], this.#linksBetween(before, step));
  }

  select(topic) {
    const changed = [this.selected, topic].filter((t) => t >= 0);
    this.selected = topic;
    this.#rewrite(changed, []);
    if (topic < 0) return;
    const { x, y } = this.sigma.getNodeDisplayData(String(topic));
    const camera = this.sigma.getCamera();
    const ratio = Math.min(camera.ratio, 0.25);
    camera.animate({ x, y, ratio }, { duration: STILL.matches ? 1 : 450 });
  }

  zoom(factor) {
    const camera = this.sigma.getCamera();
    if (factor === 0) camera.animatedReset({ duration: STILL.matches ? 1 : 300 });
    else camera.animate({ ratio: camera.ratio * factor }, { duration: STILL.matches ? 1 : 150 });
  }

  #rewrite(nodes, edges) {
    this.sigma.refresh({ partialGraph: { nodes: nodes.map(String), edges }, skipIndexation: true, schedule: true });
  }

  // The links of topics that became solid, or are so no more.
  #linksBetween(before, after) {
    const links = new Set();
    for (const topic of this.state.solidified(before, after)) {
      for (let at = this.rows.starts[topic]; at < this.rows.starts[topic + 1]; at++) links.add(String(this.rows.links[at]));
    }
    return [...links];
  }

  #look(topic) {
    const { state, theme } = this;
    const kind = state.kind(topic);
    const value = state.value(topic, this.colour);
    const measured = !Number.isNaN(value);
    const special = topic === this.picked || topic === this.selected;
    return {
      size: this.base * (SIZES[kind] + (special ? 1.2 : 0)),
      color: measured && this.scale ? this.scale.of(value) : [theme.faint, theme.ground, theme.read, theme.faded, theme.solid, theme.solid][kind],
      ring: special ? 0.4 : RINGS[kind],
      ringColour: special ? theme.picked : [theme.faint, theme.frontier, theme.read, theme.faded, theme.ink, theme.nucleus][kind],
      label: kind === KIND.unseen && !special ? null : shortened(this.titles[topic]),
      forceLabel: special,
      highlighted: special, // drawn above all others
    };
  }

  #linkLook(link) {
    const grown = this.state.isSolid(link.a) && this.state.isSolid(link.b);
    return { color: grown ? this.theme["link-solid"] : this.theme.link, size: 1 };
  }
}

function built(graph) {
  const made = new Graph({ type: "undirected", multi: false, allowSelfLoops: false });
  graph.titles.forEach((_, topic) => made.addNode(topic, { x: graph.x[topic], y: graph.y[topic] }));
  for (let at = 0; at < graph.links.length; at += 2) {
    const [a, b] = [graph.links[at], graph.links[at + 1]];
    made.addUndirectedEdgeWithKey(at / 2, a, b, { a, b });
  }
  return made;
}

// The numbers of each topic's links, in compressed rows.
function linkRows(links, n) {
  const starts = new Int32Array(n + 1);
  for (const topic of links) starts[topic + 1]++;
  for (let topic = 0; topic < n; topic++) starts[topic + 1] += starts[topic];
  const next = starts.slice(0, n);
  const rows = new Int32Array(links.length);
  links.forEach((topic, at) => (rows[next[topic]++] = at >> 1));
  return { starts, links: rows };
}

function drawLabel(context, node, settings, theme) {
  if (!node.label) return;
  context.font = `${settings.labelWeight} ${settings.labelSize}px ${settings.labelFont}`;
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = theme.ground;
  context.fillStyle = theme.ink;
  const [x, y] = [node.x + node.size + 3, node.y + settings.labelSize / 3];
  context.strokeText(node.label, x, y);
  context.fillText(node.label, x, y);
}

function drawHover(context, node, settings, theme) {
  context.beginPath();
  context.arc(node.x, node.y, node.size + 2, 0, 2 * Math.PI);
  context.strokeStyle = theme.picked;
  context.lineWidth = 1.5;
  context.stroke();
  drawLabel(context, node, settings, theme);
}
