// What would be done, as bars over time; and as it is done, filled in.

import { ask, messages, Refused, told } from "./api.js";
import { button, confirmed, el, say } from "./dom.js";
import { listen, may } from "./store.js";

const DIRECTIONS = { up: "Start all", down: "Stop all" };

function seconds(value) {
  return value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function plan(main) {
  let direction = "down";
  let watched = null;  // the operation that is shown, and how to stop looking
  const title = el("p", { class: "quiet", id: "plan-title" });
  const chart = el("div", { class: "gantt", role: "table", "aria-describedby": "plan-title", "aria-label": "Plan" });
  const progress = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "How far it is" });
  const outcome = el("p", { role: "status" });
  const choice = el("select", { id: "direction", change: () => { direction = choice.value; draw(); } },
    Object.entries(DIRECTIONS).map(([value, words]) => el("option", { value, selected: value === direction }, words)));
  main.append(
    el("div", { class: "row" },
      el("label", { for: "direction" }, "What to do"), choice,
      may("operator") ? button("Drill", () => carryOut("drill"), { title: "Check that it would work; nothing is changed" }) : null,
      may("operator") ? button("Carry it out", () => begin(), { class: "hurts" }) : null),
    title, progress, outcome, chart);

  async function draw() {
    let found;
    try {
      found = await told(`/v1/plan/${direction}`);
    } catch (error) {
      title.textContent = error.message;
      chart.replaceChildren();
      return;
    }
    const whole = Math.max(found.seconds || 0, ...found.steps.map((step) => step.begin + step.seconds), 1);
    title.textContent = found.steps.length
      ? `${found.steps.length} domains, ${seconds(whole)} at the most. The marked ones are the longest way.`
      : "There is nothing to do.";
    chart.replaceChildren(...found.steps.map((step) => bar(step.name, step.begin / whole, step.seconds / whole,
      step.critical ? "critical" : "", step.note || `from ${seconds(step.begin)}, at most ${seconds(step.seconds)}`)));
  }

  function bar(name, from, length, kind, words) {
    const fill = el("span", { class: `bar ${kind}` });
    fill.style.marginInlineStart = `${100 * from}%`;
    fill.style.inlineSize = `max(4px, ${100 * length}%)`;
    return el("div", { role: "row", "data-step": kind || "planned", "data-name": name },
      el("span", { role: "rowheader" }, name),
      el("span", { role: "cell", class: "track" }, fill),
      el("span", { role: "cell", class: "words" }, words));
  }

  async function begin() {
    const question = direction === "down" ? "Stop all domains, in order?" : "Start all domains, in order?";
    if (await confirmed(question, DIRECTIONS[direction])) carryOut(direction);
  }

  async function carryOut(what) {
    outcome.textContent = "";
    try {
      const operation = await (await ask("POST", `/v1/${what}`, { json: {}, headers: { prefer: "respond-async" } })).json();
      await watch(operation);
    } catch (error) {
      if (error instanceof Refused) outcome.textContent = error.message;
      else if (error.name !== "AbortError") throw error;
    }
  }

  async function watch(operation) {
    watched?.abort();
    watched = new AbortController();
    progress.hidden = false;
    const path = `/v1/operations/${encodeURIComponent(operation.id)}/events`;
    for await (const message of messages(path, { signal: watched.signal })) {
      if (!message.data) continue;
      const now = JSON.parse(message.data);
      fill(now);
      if (message.event === "ended") { ended(now); return; }
    }
  }

  function fill({ begun, ended: end, progress: far }) {
    if (!far || !far.domains.length) return;
    progress.max = far.total;
    progress.value = far.done + far.failed;
    const now = end || Date.now() / 1000;
    const first = Math.min(...far.domains.map((each) => each.began ?? now), begun);
    const whole = Math.max(now - first, 0.001);
    chart.replaceChildren(...far.domains.map((each) => {
      const from = each.began === null ? 1 : (each.began - first) / whole;
      const length = each.began === null ? 0 : ((each.ended ?? now) - each.began) / whole;
      return bar(each.name, Math.min(from, 0.99), length, each.step.replace(" ", "-"), each.what);
    }));
  }

  function ended(operation) {
    progress.hidden = true;
    const far = operation.progress || { done: 0, failed: 0, total: 0 };
    const words = operation.problem ? operation.problem.detail
      : operation.state === "cancelled" ? "It was cancelled."
        : `Done: ${far.done} of ${far.total}${far.failed ? `, ${far.failed} failed` : ""}.`;
    outcome.textContent = words;
    say(words);
  }

  draw();
  // one that somebody else has begun is shown as well
  const look = async () => {
    const running = (await told("/v1/operations")).find((each) => each.state === "running" && ["up", "down"].includes(each.what));
    if (running) watch(running).catch(() => {});
  };
  look();
  const stop = listen((what, event) => { if (what === "event" && event.type.endsWith("plan.started") && !watched) look(); });
  return () => { stop(); watched?.abort(); };
}
