// The objects panel: objects, their prompts as a list, and prompts by keyboard.

import { ask, report, say } from "./dialogs.js";
import { byId, checkbox, clamp, el, icon, iconButton, select } from "./dom.js";
import * as prompts from "./prompts.js";
import { emit, isVideo, on, set, state } from "./state.js";
import { saveSettings } from "./saving.js";

const panel = byId("panel-objects");
const parts = {};

export function start() {
  parts.list = el("ul", { class: "objects", "aria-label": "Objects" });
  parts.opacity = opacityField();
  parts.share = checkbox("Objects share pixels, so that alphas add up to one", false,
    (checked) => saveSettings({ sum_to_one: checked }, { askAgain: true }));
  parts.prompts = el("ul", { class: "prompt-list", "aria-labelledby": "prompts-title" });
  parts.title = el("h3", { id: "prompts-title" });
  parts.byKeyboard = keyboardForms();
  panel.replaceChildren(
    el("div", { class: "row between" }, el("h2", { text: "Objects" }),
      el("button", { type: "button", "data-testid": "add-object", on: { click: () => prompts.addObject() } }, icon("plus"), el("span", { text: "Add" }))),
    parts.list, parts.opacity, parts.share, parts.title, parts.prompts, parts.byKeyboard);
  on("project prompts objects selected settings server", draw);
}

function opacityField() {
  const control = select([["auto", "Auto"], ["opaque", "Opaque"], ["transparent", "Transparent"]], "auto",
    (value) => saveSettings({ opacity: value }, { askAgain: true }), { "data-testid": "opacity" });
  const node = el("label", { class: "field" }, el("span", { text: "Opacity" }), control,
    el("small", { text: "Transparent: glass, smoke, veils." }));
  node.choice = control;
  return node;
}

let drawn = [];

function draw() {
  if (!state.project) return;
  const { model } = state.server;
  parts.opacity.hidden = !model?.opacity;
  parts.opacity.choice.value = state.settings.opacity || "auto";
  parts.share.hidden = state.objects.length < 2;
  parts.share.input.checked = Boolean(state.settings.sum_to_one);
  // Built anew only when needed: an open colour picker would be closed.
  const now = [state.objects, state.prompts, state.active, state.selected, [...state.hidden].join("/"), state.project];
  if (now.every((value, i) => value === drawn[i])) return;
  drawn = now;
  keepFocus(panel, () => {
    parts.list.replaceChildren(...state.objects.map(objectRow));
    drawPrompts();
  });
}

// Lists are built anew; the focus stays on what has the same label, or moves to the list.
function keepFocus(root, rebuild) {
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  const label = focused?.getAttribute("aria-label");
  rebuild();
  if (!focused || focused.isConnected) return;
  const same = label && [...root.querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === label);
  (same || root).focus({ preventScroll: true });
}

function objectRow(object) {
  const { name, colour } = object;
  const hidden = state.hidden.has(name);
  const chosen = name === state.active;
  const swatch = el("input", { type: "color", value: colour, "aria-label": `Colour of ${name}`, title: "Colour",
    on: { change: (event) => prompts.recolourObject(name, event.target.value) } });
  return el("li", { class: chosen ? "object chosen" : "object" }, swatch,
    el("button", { type: "button", class: "object-name", "aria-pressed": String(chosen), title: chosen ? "Chosen: prompts go to it" : "Choose",
      on: { click: () => set("objects", { active: name, selected: null }), dblclick: () => rename(name) } }, el("span", { text: name })),
    iconButton("pencil", `Rename ${name}`, () => rename(name)),
    iconButton(hidden ? "eye-off" : "eye", `Show ${name}`, () => toggle(name), { "aria-pressed": String(!hidden) }),
    iconButton("trash", `Delete ${name}`, () => prompts.deleteObject(name)));
}

function toggle(name) {
  if (!state.hidden.delete(name)) state.hidden.add(name);
  emit("objects");
}

async function rename(name) {
  const text = isVideo() && Object.keys(state.done).includes(name)
    ? "Results are kept by name: under a new one the clip has to be propagated again." : null;
  const fresh = await ask({ title: `Rename ${name}`, text, input: name, action: "Rename",
    check: (value) => prompts.nameProblem(value.trim(), name) });
  if (fresh && fresh.trim() !== name) prompts.renameObject(name, fresh.trim());
}

const WORDS = { box: "Box", mask_png: "Rough mask", trimap_png: "Trimap" };

function drawPrompts() {
  parts.title.textContent = `Prompts of ${state.active || "nothing"}`;
  const rows = prompts.entriesOf(state.active).flatMap((entry) => [
    ...(entry.points || []).map((point, index) => promptRow(entry, "points", index, pointText(point))),
    ...Object.keys(WORDS).filter((part) => entry[part]).map((part) =>
      promptRow(entry, part, null, part === "box" ? `Box ${entry.box.map(Math.round).join(", ")}` : WORDS[part])),
  ]);
  parts.prompts.replaceChildren(...(rows.length ? rows : [el("li", { class: "quiet", text: "None yet: click on the object in the picture." })]));
}

const pointText = ([x, y, label]) => `${label ? "Include" : "Exclude"} ${Math.round(x)}, ${Math.round(y)}`;

function promptRow(entry, part, index, text) {
  const { selected } = state;
  const chosen = selected?.entry === entry && selected.part === part && (part !== "points" || selected.index === index);
  const label = isVideo() ? `${text} · frame ${entry.frame}` : text;
  return el("li", { class: chosen ? "chosen" : "" },
    el("button", { type: "button", class: "link", "aria-pressed": String(chosen), on: { click: () => {
      state.selected = { entry, part, index };
      if (entry.frame !== state.frame) emit("go", entry.frame);
      emit("selected");
    } } }, label),
    iconButton("close", `Remove: ${label}`, () => prompts.removePart(entry, part, index)));
}

function numberInput(label, extra = {}) {
  return el("input", { type: "number", step: 1, min: 0, required: true, "aria-label": label, placeholder: label, ...extra });
}

function keyboardForms() {
  const x = numberInput("x");
  const y = numberInput("y");
  const sign = select([["1", "include"], ["0", "exclude"]], "1", () => {}, { "aria-label": "Include or exclude" });
  const sides = ["x0", "y0", "x1", "y1"].map((side) => numberInput(side));
  const point = el("form", { class: "inline", "aria-label": "Add a point", on: { submit: (event) => {
    event.preventDefault();
    const { width, height } = state.project;
    prompts.addPoint(clamp(x.valueAsNumber, 0, width - 1), clamp(y.valueAsNumber, 0, height - 1), Number(sign.value));
  } } }, x, y, sign, el("button", { type: "submit", text: "Add point" }));
  const box = el("form", { class: "inline", "aria-label": "Add a box", on: { submit: (event) => {
    event.preventDefault();
    addBox(sides.map((input) => input.valueAsNumber));
  } } }, ...sides, el("button", { type: "submit", text: "Set box" }));
  return el("details", { class: "by-keyboard" }, el("summary", { text: "Prompts by numbers" }), point, box);
}

function addBox([x0, y0, x1, y1]) {
  const { width, height } = state.project;
  const box = [clamp(x0, 0, width), clamp(y0, 0, height), clamp(x1, 0, width), clamp(y1, 0, height)];
  if (box[0] < box[2] && box[1] < box[3]) {
    prompts.setBox(box);
    say(`Box ${box.join(", ")} of “${state.active}”.`);
  } else report(new Error("That box is empty: x0 must be below x1, and y0 below y1, within the picture."));
}
