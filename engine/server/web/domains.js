// All domains, what they do, and what can be done with them.

import { ask, domainPath, Refused, text } from "./api.js";
import { button, confirmed, dialog, el, say } from "./dom.js";
import { keyOf, listen, may, sorted, world } from "./store.js";

const ACTIVE = new Set(["running", "idle", "paused", "in shutdown", "crashed", "pmsuspended"]);
const MARKS = { running: "▶", paused: "‖", "shut off": "■", "in shutdown": "▼", crashed: "×", pmsuspended: "☾" };

// What can be done in which state: [text, command, question]
function commands(domain) {
  if (!ACTIVE.has(domain.state)) return [["Start", "start"]];
  const name = `'${domain.name}'`;
  return [
    domain.state === "paused" ? ["Resume", "resume"] : ["Pause", "suspend"],
    ["Shut down", "shutdown"],
    ["Reboot", "reboot"],
    ["Save", "managed-save"],
    ["Pull the plug", "destroy", `Pull the plug of ${name}? What it has not written to its disks is lost.`],
  ];
}

async function command(domain, name, body) {
  try {
    await ask("POST", domainPath(domain, `/${name}`), { json: body || {} });
    say(`${domain.name}: ${name} is done`);
  } catch (error) {
    say(error.message);
    dialog("That did not work", el("p", { role: "alert" }, error.message));
  }
}

async function undefine(domain) {
  const question = `Forget the definition of '${domain.name}'? Its disks stay.`;
  if (!(await confirmed(question, "Undefine it"))) return;
  const answer = domainPath(domain, "", { managed_save: "true" });
  try {
    await ask("DELETE", answer);
  } catch (error) {
    dialog("That did not work", el("p", { role: "alert" }, error.message));
  }
}

async function showXml(domain) {
  const found = await text(domainPath(domain), "application/xml");
  dialog(`XML of ${domain.name}`, el("pre", { tabindex: "0", class: "xml" }, found));
}

async function showConsole(domain) {
  const { terminal } = await import("./guest.js");
  terminal(domain);
}

async function showScreen(domain) {
  const { screen } = await import("./guest.js");
  screen(domain);
}

function menu(domain) {
  const running = ACTIVE.has(domain.state);
  const items = [];
  if (may("operator")) {
    for (const [words, name, question] of commands(domain)) {
      const act = async () => {
        if (!question || (await confirmed(question, words))) command(domain, name);
      };
      items.push(button(words, act, { class: question ? "hurts" : null, "aria-label": `${words}: ${domain.name}` }));
    }
    if (running) {
      items.push(button("Console", () => showConsole(domain), { "aria-label": `Console: ${domain.name}` }));
      items.push(button("Screen", () => showScreen(domain), { "aria-label": `Screen: ${domain.name}` }));
    }
    const words = domain.autostart ? "Don't start with the host" : "Start with the host";
    items.push(button(words, () => command(domain, "set-autostart", { autostart: !domain.autostart }),
      { "aria-label": `${words}: ${domain.name}` }));
  }
  items.push(button("XML", () => showXml(domain), { "aria-label": `XML: ${domain.name}` }));
  if (may("admin")) {
    items.push(button("Undefine", () => undefine(domain), { class: "hurts", "aria-label": `Undefine: ${domain.name}` }));
  }
  return el("div", { class: "actions" }, items);
}

function row(domain) {
  const state = el("td", { class: "state", "data-state": domain.state, "data-label": "State" },
    el("span", { "aria-hidden": "true", class: "mark" }, MARKS[domain.state] || "?"), ` ${domain.state}`,
    el("span", { class: "quiet" }, ` (${domain.reason})`));
  return el("tr", { "data-domain": domain.name },
    el("th", { scope: "row" }, domain.name),
    state,
    el("td", { "data-label": "Ready" }, ACTIVE.has(domain.state) ? (domain.ready ? "yes" : "not yet") : "–"),
    el("td", { "data-label": "Starts with the host" }, domain.autostart ? "yes" : "no"),
    el("td", { "data-label": "Connection", class: "quiet connection" }, domain.connection),
    el("td", {}, menu(domain)));
}

function definer() {
  const area = el("textarea", { id: "document", rows: "14", spellcheck: "false", required: true });
  const wrong = el("div", { role: "alert" });
  const file = el("input", {
    id: "file", type: "file", accept: ".xml,text/xml",
    change: async () => { if (file.files[0]) area.value = await file.files[0].text(); },
  });
  let box;
  const form = el("form", {
    submit: async (event) => {
      event.preventDefault();
      wrong.replaceChildren();
      try {
        const facts = await (await ask("POST", "/v1/domains", { xml: area.value })).json();
        say(`${facts.name} is defined`);
        box.close();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const problems = error.problem.problems || [];
        wrong.append(problems.length
          ? el("ul", {}, problems.map((each) => el("li", {}, `line ${each.line}: ${each.xpath}: ${each.reason}`)))
          : el("p", {}, error.message));
        const line = problems[0]?.line;
        if (line) select(area, line);
      }
    },
  },
    el("label", { for: "document" }, "The domain's XML"), area,
    el("label", { for: "file" }, "or a file"), file,
    wrong, el("button", { type: "submit" }, "Define"));
  box = dialog("Define a domain", form);
  area.focus();
}

function select(area, line) {
  const lines = area.value.split("\n");
  const begin = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(begin, begin + (lines[line - 1] || "").length);
}

export function domains(main) {
  const filter = el("input", { id: "filter", type: "search", input: () => draw() });
  const count = el("span", { class: "quiet", id: "count" });
  const body = el("tbody");
  const rows = new Map();
  main.append(
    el("div", { class: "row" },
      el("label", { for: "filter" }, "Only names with"), filter, count,
      may("admin") ? button("Define…", definer) : null));
  const table = el("table", { class: "cards" },
      el("caption", { class: "hidden" }, "Domains and what they do"),
      el("thead", {}, el("tr", {}, ["Name", "State", "Ready", "Starts with the host", "Connection", "What can be done"]
        .map((title) => el("th", { scope: "col", class: title.toLowerCase() }, title)))),
      body);
  main.append(table);

  // a row is made anew only when its domain has changed: whoever stands on a button of another stays there
  function draw() {
    const shown = sorted().filter((domain) => domain.name.includes(filter.value));
    const wanted = shown.map((domain) => {
      const key = keyOf(domain);
      const told = JSON.stringify([domain, world.session.role]);
      if (rows.get(key)?.told !== told) rows.set(key, { told, element: kept(rows.get(key)?.element, row(domain)) });
      return rows.get(key).element;
    });
    for (const key of rows.keys()) if (!world.domains.has(key)) rows.delete(key);
    wanted.forEach((element, index) => {
      if (body.children[index] !== element) body.insertBefore(element, body.children[index] || null);
    });
    while (body.children.length > wanted.length) body.lastChild.remove();
    table.classList.toggle("one", new Set(shown.map((domain) => domain.connection)).size < 2);
    const running = shown.filter((domain) => ACTIVE.has(domain.state)).length;
    count.textContent = `${shown.length} domains, ${running} running`;
  }

  draw();
  return listen((what) => { if (what === "domains" || what === "session") draw(); });
}

// The focus stays in the row where it was.
function kept(before, after) {
  const focused = before?.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  if (before?.isConnected) before.replaceWith(after);
  if (focused) {
    const same = [...after.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === focused);
    (same || after.querySelector("button"))?.focus();
  }
  return after;
}
