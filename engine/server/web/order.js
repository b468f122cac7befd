// The order as a graph: who starts after whom, in columns, from what starts first on the left.

import { told } from "./api.js";
import { el, svg } from "./dom.js";
import { listen, world } from "./store.js";

const WIDTH = 150, HEIGHT = 34, GAP_X = 70, GAP_Y = 16, EDGE = 20;

// The column of each: one more than the last of those that it waits for.
function columns(found) {
  const byName = new Map(found.map((each) => [each.name, each]));
  const depth = new Map();
  const deep = (each) => {
    if (!depth.has(each.name)) {
      depth.set(each.name, 0);
      const waits = each.starts_after.map((wait) => byName.get(wait.name)).filter(Boolean);
      depth.set(each.name, waits.length ? 1 + Math.max(...waits.map(deep)) : 0);
    }
    return depth.get(each.name);
  };
  const placed = [];
  for (const each of found) (placed[deep(each)] ||= []).push(each);
  return placed;
}

// In each column by where those are that it waits for, so that few lines cross.
function places(placed) {
  const at = new Map();
  placed.forEach((column, x) => {
    const weight = (each) => {
      const known = each.starts_after.map((wait) => at.get(wait.name)?.row).filter((row) => row !== undefined);
      return known.length ? known.reduce((sum, row) => sum + row, 0) / known.length : Infinity;
    };
    if (x) column.sort((a, b) => weight(a) - weight(b) || a.name.localeCompare(b.name));
    column.forEach((each, row) => at.set(each.name, { row, x: EDGE + x * (WIDTH + GAP_X), y: EDGE + row * (HEIGHT + GAP_Y) }));
  });
  return at;
}

function stateOf(each) {
  const found = [...world.domains.values()].find((domain) => domain.name === each.name && domain.connection === each.connection);
  return found ? found.state : "";
}

function picture(found) {
  const placed = columns(found);
  const at = places(placed);
  const width = EDGE * 2 + placed.length * (WIDTH + GAP_X) - GAP_X;
  const height = EDGE * 2 + Math.max(...placed.map((column) => column.length)) * (HEIGHT + GAP_Y) - GAP_Y;
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-labelledby": "order-title" },
    svg("title", { id: "order-title" }, "The order of a start, from left to right; the list below says the same"),
    svg("defs", {}, svg("marker", { id: "head", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" },
      svg("path", { d: "M0 0 8 4 0 8z", class: "arrow" }))));
  for (const each of found) {
    const to = at.get(each.name);
    for (const wait of each.starts_after) {
      const from = at.get(wait.name);
      if (!from) continue;
      const x1 = from.x + WIDTH, y1 = from.y + HEIGHT / 2, x2 = to.x, y2 = to.y + HEIGHT / 2, bend = (x2 - x1) / 2;
      drawn.append(svg("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
        class: `edge ${wait.kind}`, "marker-end": "url(#head)" }));
    }
  }
  for (const each of found) {
    const { x, y } = at.get(each.name);
    const name = each.name.length > 18 ? `${each.name.slice(0, 17)}…` : each.name;
    drawn.append(svg("g", { transform: `translate(${x} ${y})` },
      svg("title", {}, `${each.name}: ${stateOf(each)}`),
      svg("rect", { width: WIDTH, height: HEIGHT, rx: 6, class: "node", "data-state": stateOf(each) }),
      svg("text", { x: WIDTH / 2, y: HEIGHT / 2, "dominant-baseline": "central", "text-anchor": "middle" }, name)));
  }
  return drawn;
}

function sentence(each) {
  const waits = each.starts_after.map((wait) => `${wait.kind === "requires" ? "requires" : "starts after"} ${wait.name}`);
  return `${each.name} ${waits.length ? waits.join(", ") : "waits for nobody"}`;
}

export function order(main) {
  const frame = el("div", { class: "frame", tabindex: "0", role: "group", "aria-label": "The order, as a graph" });
  const list = el("ul");
  main.append(frame, el("details", {}, el("summary", {}, "The same in words"), list));

  async function draw() {
    try {
      const found = await told("/v1/order");
      frame.replaceChildren(found.length ? picture(found) : el("p", {}, "There are no domains."));
      list.replaceChildren(...found.map((each) => el("li", {}, sentence(each))));
    } catch (error) {
      frame.replaceChildren(el("p", { role: "alert" }, error.message));
    }
  }

  let due = null;
  draw();
  const stop = listen((what) => {
    if (what !== "domains" || due) return;
    due = setTimeout(() => { due = null; draw(); }, 300);
  });
  return () => { stop(); clearTimeout(due); };
}
