// The page: who is here, which view is shown, and whether the service is there.

import { ask } from "./api.js";
import { button, el, say } from "./dom.js";
import { domains } from "./domains.js";
import { events } from "./events.js";
import { operations } from "./operations.js";
import { order } from "./order.js";
import { plan } from "./plan.js";
import { changed, enter, follow, listen, world } from "./store.js";

const VIEWS = { domains, order, plan, events, operations };
const TITLES = { domains: "Domains", order: "Order", plan: "Plan", events: "Events", operations: "Operations" };

let leave = () => {};

function show() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "domains";
  document.getElementById("views").replaceChildren(...Object.keys(VIEWS).map((each) =>
    el("li", {}, el("a", { href: `#${each}`, "aria-current": each === name ? "page" : null }, TITLES[each]))));
  leave();
  const main = document.getElementById("main");
  main.replaceChildren(el("h2", {}, TITLES[name]));
  document.title = `${TITLES[name]} – virengine`;
  leave = VIEWS[name](main) || (() => {});
}

function login() {
  leave();
  leave = () => {};
  document.getElementById("views").replaceChildren();
  const secret = el("input", { id: "token", type: "password", autocomplete: "off", required: true, size: 40 });
  const wrong = el("p", { role: "alert" });
  const form = el("form", {
    submit: async (event) => {
      event.preventDefault();
      try {
        await ask("POST", "/v1/session", { json: { token: secret.value } });
        await begin();
      } catch (error) {
        wrong.textContent = error.message;
        secret.select();
      }
    },
  },
    el("label", { for: "token" }, "Token"), secret,
    el("button", { type: "submit" }, "Enter"), wrong,
    el("p", { class: "quiet" }, "virengine token add NAME --role operator makes one."));
  document.getElementById("main").replaceChildren(el("h2", {}, "Who are you?"), form);
  secret.focus();
}

function introduce() {
  const { name, role, host } = world.session;
  document.getElementById("host").textContent = host ? `at ${host}` : "";
  const who = document.getElementById("who");
  who.replaceChildren();
  if (role === null) return;
  who.append(`${name} (${role})`);
  if (name.startsWith("token:")) {
    who.append(" ", button("Leave", async () => { await ask("DELETE", "/v1/session"); location.reload(); }));
  }
}

async function begin() {
  if (!(await enter())) { login(); return; }
  show();
  follow();
}

listen((what) => {
  if (what === "session") {
    introduce();
    if (world.session.role === null) login();
  } else if (what === "away") {
    document.getElementById("away").hidden = !world.away;
    say(world.away ? "The service is away" : "The service is there");
  }
});

window.addEventListener("hashchange", () => { if (world.session.role !== null) { show(); document.getElementById("main").focus(); } });

async function start() {
  try {
    await begin();
  } catch {
    document.getElementById("away").hidden = false;
    setTimeout(start, 1000);
    return;
  }
  document.getElementById("away").hidden = !world.away;
}

start();
changed("away");
