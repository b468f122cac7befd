// The service's API as this page uses it.

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `the service answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export async function ask(method, path, { json, xml, headers = {} } = {}) {
  const options = { method, headers: { ...headers }, credentials: "same-origin", redirect: "error" };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["content-type"] = "application/json";
  } else if (xml !== undefined) {
    options.body = xml;
    options.headers["content-type"] = "application/xml";
  }
  const answer = await fetch(path, options);
  if (!answer.ok) {
    let problem = {};
    try { problem = await answer.json(); } catch { /* nothing that could be read */ }
    throw new Refused(answer.status, problem);
  }
  return answer;
}

export async function told(path) {
  return (await ask("GET", path)).json();
}

export async function text(path, accept) {
  return (await ask("GET", path, { headers: { accept } })).text();
}

// Of one domain; names may hold anything.
export function domainPath(domain, more = "", query = {}) {
  const asked = new URLSearchParams({ connection: domain.connection, ...query });
  return `/v1/domains/${encodeURIComponent(domain.uuid)}${more}?${asked}`;
}

export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

// Server-Sent Events, message by message. EventSource would tell neither the status of an answer nor go on from an id
// that it did not see itself.
export async function* messages(path, { since = "", signal } = {}) {
  const headers = { accept: "text/event-stream", ...(since ? { "last-event-id": since } : {}) };
  const answer = await fetch(path, { headers, signal, credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) {
    let problem = {};
    try { problem = await answer.json(); } catch { /* nothing that could be read */ }
    throw new Refused(answer.status, problem);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  let fields = {};
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (left + value).split("\n");
    left = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (Object.keys(fields).length) yield fields;
        fields = {};
        continue;
      }
      const at = line.indexOf(":");
      const name = at < 0 ? line : line.slice(0, at);
      if (name) fields[name] = line.slice(at + 1).replace(/^ /, "");
      else yield {};  // a comment: the service is there
    }
  }
}
