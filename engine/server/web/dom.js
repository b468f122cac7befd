// Elements, whose texts are only ever text: nothing that the server tells is taken for markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, facts = {}, ...children) {
  return filled(document.createElement(tag), facts, children);
}

export function svg(tag, facts = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), facts, children);
}

function filled(element, facts, children) {
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function button(text, action, facts = {}) {
  return el("button", { type: "button", click: action, ...facts }, text);
}

// Tells it to those who can't see it, and to those who can.
export function say(text) {
  document.getElementById("said").textContent = text;
}

// A question that only a yes answers. Resolves to whether that was said.
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    const done = (answer) => { box.close(); box.remove(); resolve(answer); };
    const box = el("dialog", { "aria-label": question, cancel: () => done(false) },
      el("p", {}, question),
      el("div", { class: "row" },
        button(yes, () => done(true), { class: "hurts" }),
        button("Leave it", () => done(false), { autofocus: true })));
    document.body.append(box);
    box.showModal();
  });
}

// A dialog with a heading and a way out. `closed` is called when it goes.
export function dialog(title, content, closed = () => {}) {
  const box = el("dialog", { "aria-labelledby": "dialog-title", class: "wide" },
    el("div", { class: "row between" },
      el("h2", { id: "dialog-title" }, title),
      button("Close", () => box.close())),
    content);
  box.addEventListener("close", () => { box.remove(); closed(); });
  document.body.append(box);
  box.showModal();
  return box;
}
