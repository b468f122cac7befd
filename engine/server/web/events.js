// What happens, as it happens.

import { button, el } from "./dom.js";
import { listen, world } from "./store.js";

const SHOWN = 200;

function words(event) {
  const { connection, domain, uuid, ...more } = event.data;
  return Object.entries(more)
    .filter(([, value]) => value !== "" && value !== null)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");
}

function row(event) {
  return el("tr", {},
    el("td", { "data-label": "Time" }, el("time", { datetime: event.time }, new Date(event.time).toLocaleTimeString())),
    el("td", { "data-label": "Domain" }, event.data.domain || ""),
    el("td", { "data-label": "Event" }, event.type.replace("org.virengine.", "")),
    el("td", { "data-label": "What" }, words(event)));
}

export function events(main) {
  let stopped = false;
  const type = el("input", { id: "type", type: "search", input: () => draw() });
  const domain = el("input", { id: "domain", type: "search", input: () => draw() });
  const stop = button("Stand still", () => {
    stopped = !stopped;
    stop.textContent = stopped ? "Go on" : "Stand still";
    stop.setAttribute("aria-pressed", stopped);
    if (!stopped) draw();
  }, { "aria-pressed": "false" });
  const body = el("tbody");
  main.append(
    el("div", { class: "row" },
      el("label", { for: "type" }, "Only events with"), type,
      el("label", { for: "domain" }, "of domains with"), domain, stop),
    el("table", { class: "cards" },
      el("caption", { class: "hidden" }, "Events, the newest first"),
      el("thead", {}, el("tr", {}, ["Time", "Domain", "Event", "What"].map((title) => el("th", { scope: "col" }, title)))),
      body));

  const fits = (event) => event.type.includes(type.value.toLowerCase()) && (event.data.domain || "").includes(domain.value);

  function draw() {
    body.replaceChildren(...world.events.filter(fits).slice(-SHOWN).reverse().map(row));
  }

  draw();
  return listen((what, event) => {
    if (what !== "event" || stopped || !fits(event)) return;
    body.prepend(row(event));
    while (body.children.length > SHOWN) body.lastChild.remove();
  });
}
