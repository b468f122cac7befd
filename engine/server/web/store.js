// What is known of the host: its domains, and what happened of late. Kept up by the stream of events.

import { domainPath, messages, Refused, told } from "./api.js";

const KEPT = 1000;
const LONGEST_PAUSE = 5000;

export const world = {
  session: { name: "", role: null },
  domains: new Map(),
  events: [],
  away: false,
};

const listeners = new Set();

// Calls `listener` with what has changed: "domains", "event", "away", "session". Returns how to stop that.
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function changed(what, more) {
  for (const listener of [...listeners]) listener(what, more);
}

export function keyOf(facts) {
  return `${facts.connection}#${facts.uuid}`;
}

export function sorted() {
  return [...world.domains.values()].sort((a, b) => a.name.localeCompare(b.name) || a.connection.localeCompare(b.connection));
}

export async function enter() {
  world.session = await told("/v1/session");
  changed("session");
  return world.session.role !== null;
}

export function may(role) {
  const ranks = ["viewer", "operator", "admin"];
  return ranks.indexOf(world.session.role) >= ranks.indexOf(role);
}

async function readAll() {
  const found = new Map();
  let path = "/v1/domains";
  while (path) {
    const answer = await fetch(path, { credentials: "same-origin" });
    if (!answer.ok) throw new Refused(answer.status, await answer.json());
    for (const facts of await answer.json()) found.set(keyOf(facts), facts);
    const next = /<([^>]*)>; rel="next"/.exec(answer.headers.get("link") || "");
    path = next ? `/v1/domains${next[1]}` : "";
  }
  world.domains = found;
  changed("domains");
}

const asked = new Map();

// Asks once for however much happens to a domain meanwhile.
async function refresh(facts) {
  const key = keyOf(facts);
  if (asked.has(key)) { asked.set(key, true); return; }
  do {
    asked.set(key, false);
    try {
      world.domains.set(key, await told(domainPath(facts)));
    } catch (error) {
      if (error.status === 404) world.domains.delete(key);
    }
  } while (asked.get(key));
  asked.delete(key);
  changed("domains");
}

function take(event) {
  world.events.push(event);
  if (world.events.length > KEPT) world.events.splice(0, world.events.length - KEPT);
  changed("event", event);
  const facts = event.data;
  if (!facts.uuid) return;
  const domain = world.domains.get(keyOf(facts));
  if (domain && facts.state) {
    world.domains.set(keyOf(facts), { ...domain, state: facts.state, reason: facts.reason, ready: false });
    changed("domains");
  }
  refresh(facts);
}

function setAway(away) {
  if (world.away !== away) { world.away = away; changed("away"); }
}

// For ever: when the service goes away, it goes on with the next one where this one ended.
export async function follow() {
  let since = "";
  let pause = 200;
  while (true) {
    let all = since === "";
    try {
      for await (const message of messages("/v1/events", { since })) {
        setAway(false);
        pause = 200;
        if (all) { all = false; await readAll(); }  // what happens meanwhile waits in the stream
        if (message.id) since = message.id;
        if (message.event === "problem") break;
        if (message.data) take(JSON.parse(message.data));
      }
    } catch (error) {
      if (error.status === 401 || error.status === 403) { world.session.role = null; changed("session"); return; }
      if (error.status === 410) { since = ""; continue; }
    }
    setAway(true);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}
