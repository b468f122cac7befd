// What goes on, and what ended of late.

import { ask, told } from "./api.js";
import { button, el, say } from "./dom.js";
import { listen, may } from "./store.js";

export function operations(main) {
  const body = el("tbody");
  main.append(
    el("div", { class: "row" }, button("Look again", () => draw())),
    el("table", { class: "cards" },
      el("caption", { class: "hidden" }, "Operations, the newest first"),
      el("thead", {}, el("tr", {}, ["What", "Domain", "Asked by", "Began", "State", ""].map((title) =>
        el("th", { scope: "col" }, title || el("span", { class: "hidden" }, "What can be done"))))),
      body));

  async function cancel(operation) {
    await ask("DELETE", `/v1/operations/${encodeURIComponent(operation.id)}`);
    say(`${operation.what} is cancelled`);
    draw();
  }

  function row(operation) {
    const running = operation.state === "running";
    return el("tr", {},
      el("th", { scope: "row" }, operation.what),
      el("td", { "data-label": "Domain" }, operation.domain || "–"),
      el("td", { "data-label": "Asked by" }, operation.by),
      el("td", { "data-label": "Began" }, new Date(operation.begun * 1000).toLocaleTimeString()),
      el("td", { "data-label": "State" }, operation.state, operation.problem ? `: ${operation.problem.detail}` : ""),
      el("td", {}, running && may("operator")
        ? button("Cancel", () => cancel(operation), { class: "hurts", "aria-label": `Cancel: ${operation.what}` }) : null));
  }

  async function draw() {
    const found = await told("/v1/operations");
    body.replaceChildren(...(found.length ? found.map(row)
      : [el("tr", {}, el("td", { colspan: "6", class: "quiet" }, "Nothing goes on."))]));
  }

  draw();
  return listen((what, event) => { if (what === "event" && event.type.includes(".plan.")) draw(); });
}
