// At the guest: its console and its screen. Loaded when one of them is wanted.

import { domainPath, socketUrl } from "./api.js";
import { button, dialog, el, say } from "./dom.js";

const TAKEN = 4001;
const CUT_OFF = 1006;  // RFC 6455: there was no farewell

function why(event) {
  if (event.code === TAKEN) return "Somebody else has taken it over.";
  return event.code === CUT_OFF ? "The service went away." : event.reason || "It has ended.";
}

export async function terminal(domain, force = false) {
  const { Terminal } = await import("/web/vendor/xterm/lib/xterm.mjs");
  const { FitAddon } = await import("/web/vendor/xterm-fit/lib/addon-fit.mjs");
  const place = el("div", { class: "terminal" });
  const told = el("p", { role: "status" });
  const shown = new Terminal({ screenReaderMode: true, scrollback: 5000, convertEol: false });
  const fit = new FitAddon();
  shown.loadAddon(fit);
  const socket = new WebSocket(socketUrl(domainPath(domain, "/console", force ? { force: "true" } : {})));
  socket.binaryType = "arraybuffer";
  const sized = new ResizeObserver(() => fit.fit());
  const box = dialog(`Console of ${domain.name}`, el("div", {}, place, told), () => {
    sized.disconnect();
    socket.close();
    shown.dispose();
  });
  shown.open(place);
  sized.observe(place);
  const encoder = new TextEncoder();
  let opened = false;
  shown.onData((data) => { if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(data)); });
  shown.onBinary((data) => { if (socket.readyState === WebSocket.OPEN) socket.send(Uint8Array.from(data, (each) => each.charCodeAt(0))); });
  socket.addEventListener("open", () => { opened = true; told.textContent = "Connected."; shown.focus(); });
  socket.addEventListener("message", (event) => shown.write(new Uint8Array(event.data)));
  socket.addEventListener("close", (event) => {
    told.textContent = opened ? why(event) : "The console can't be had: perhaps somebody is at it, or the domain has none. ";
    if (!opened && !force) told.append(button("Take it over", () => { box.close(); terminal(domain, true); }));
  });
}

export async function screen(domain) {
  const { default: RFB } = await import("/web/vendor/novnc/core/rfb.js");
  const place = el("div", { class: "screen" });
  const told = el("p", { role: "status" }, "Connecting…");
  let shown = null;
  const keys = button("Ctrl+Alt+Del", () => shown?.sendCtrlAltDel());
  dialog(`Screen of ${domain.name}`, el("div", {}, keys, place, told), () => shown?.disconnect());
  shown = new RFB(place, String(socketUrl(domainPath(domain, "/vnc"))), { shared: true });
  shown.scaleViewport = true;
  shown.addEventListener("connect", () => { told.textContent = "Connected."; say(`Connected to the screen of ${domain.name}`); });
  shown.addEventListener("disconnect", (event) => {
    told.textContent = event.detail.clean ? "It has ended." : "The screen can't be had: the domain has no VNC display, or has stopped.";
  });
}
