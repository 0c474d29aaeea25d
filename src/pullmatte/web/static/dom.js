// Small helpers to build elements; markup strings would be blocked by the page's own policy.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

// Within the page, as icons from another file appear a moment late each time.
export async function loadIcons() {
  const text = await (await fetch("icons.svg")).text();
  const sprite = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  sprite.setAttribute("class", "away");
  document.body.append(document.importNode(sprite, true));
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [name, run] of Object.entries(value)) node.addEventListener(name, run);
    else if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key in node && !key.includes("-") && key !== "list") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function iconButton(name, label, run, extra = {}) {
  return el("button", { type: "button", "aria-label": label, title: label, on: { click: run }, ...extra }, icon(name));
}

export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `#icon-${name}`);
}

export function field(label, control, hint) {
  return el("label", { class: "field" }, el("span", { text: label }), control, hint ? el("small", { text: hint }) : null);
}

export function select(options, value, run, extra = {}) {
  const node = el("select", { on: { change: () => run(node.value) }, ...extra },
    ...options.map(([key, text]) => el("option", { value: key, text })));
  node.value = value;
  return node;
}

// A slider with its number beside it, both of one value.
export function slider(label, { min, max, step, value, unit = "" }, run) {
  const show = (number) => `${Number(number.toFixed(2))}${unit}`;
  const output = el("output", { text: show(value) });
  const input = el("input", { type: "range", min, max, step, on: { input: () => {
    output.textContent = show(input.valueAsNumber);
    run(input.valueAsNumber);
  } } });
  input.value = value;
  const node = el("label", { class: "field slider" }, el("span", { text: label }), output, input);
  node.setValue = (number) => { input.value = number; output.textContent = show(number); };
  return node;
}

export function checkbox(label, checked, run) {
  const input = el("input", { type: "checkbox", checked, on: { change: () => run(input.checked) } });
  const node = el("label", { class: "check" }, input, el("span", { text: label }));
  node.input = input;
  return node;
}

export function debounce(run, wait) {
  let timer = 0;
  const later = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => { timer = 0; run(...values); }, wait);
  };
  later.cancel = () => { clearTimeout(timer); timer = 0; };
  return later;
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
