// The tool buttons, the view buttons, and the bar with the options of both.

import { report } from "./dialogs.js";
import { byId, clamp, el, icon, select, slider } from "./dom.js";
import { VIEWS, ownBackdrop } from "./render.js";
import { emit, on, set, state } from "./state.js";
import { TOOLS } from "./tools.js";

const NEEDS = { brush: "mask", trimap: "trimap" };
const parts = {};

export function start() {
  byId("tools").replaceChildren(...TOOLS.map(toolButton));
  byId("views").replaceChildren(...VIEWS.map(viewButton));
  Object.assign(parts, {
    sign: segmented("Clicks", [["1", "Include"], ["0", "Exclude"]], (value) => setOption({ sign: Number(value) })),
    paint: segmented("Brush", [["add", "Add"], ["erase", "Erase"]], (value) => setOption({ erase: value === "erase" })),
    level: segmented("Level", [["255", "Foreground"], ["128", "Unknown"], ["0", "Background"]],
      (value) => setOption({ level: Number(value) })),
    brush: slider("Size", { min: 2, max: 400, step: 1, value: state.options.brush, unit: " px" }, (value) => setOption({ brush: value })),
    strength: slider("Strength", { min: 0.1, max: 0.9, step: 0.05, value: 0.5 }, (value) => setOption({ strength: value })),
    backdrop: select([["checker", "Checker"], ["black", "Black"], ["white", "White"], ["colour", "Colour"], ["picture", "Own picture…"]],
      "checker", chooseBackdrop, { "aria-label": "Behind the cut-out" }),
    colour: el("input", { type: "color", value: state.options.backdropColour, "aria-label": "Colour behind the cut-out",
      on: { input: (event) => setOption({ backdropColour: event.target.value }) } }),
    before: select([["original", "Before: original"], ["previous", "Before: previous matte"]], "original",
      (value) => setOption({ before: value }), { "aria-label": "What stands on the left" }),
    hint: el("span", { class: "quiet" }),
  });
  parts.picture = pictureInput();
  byId("options").replaceChildren(...Object.values(parts));
  // After a click with the mouse, space must pan or play again, not press the button once more.
  for (const id of ["tools", "views", "transport"]) {
    byId(id).addEventListener("click", (event) => {
      if (event.detail && event.target.closest("button")) byId("stage").focus({ preventScroll: true });
    });
  }
  on("tool view options project", draw);
  on("server", drawTools);
  draw();
}

function setOption(values) {
  Object.assign(state.options, values);
  emit("options");
}

export function setTool(tool) {
  const button = byId(`tool-${tool}`);
  if (button?.disabled) return;
  const paints = ["brush", "trimap"].includes(tool);
  set("tool", { tool });
  // Painting is shown over the picture; on a cut-out it couldn't be judged.
  if (paints && !["overlay", "original"].includes(state.view)) setView("overlay");
}

export function setView(view) {
  set("view", { view });
}

function toolButton([tool, label, key]) {
  return el("button", { type: "button", id: `tool-${tool}`, "data-testid": `tool-${tool}`, "aria-label": label,
    title: `${label} (${key})`, "aria-pressed": "false", on: { click: () => setTool(tool) } }, icon(tool));
}

function viewButton([view, label], index) {
  return el("button", { type: "button", id: `view-${view}`, "data-testid": `view-${view}`, "aria-label": label,
    title: `${label} (${index + 1})`, "aria-pressed": "false", on: { click: () => setView(view) } },
  icon(view), el("span", { text: label }));
}

function segmented(label, choices, run) {
  const buttons = choices.map(([value, text]) => el("button", { type: "button", text, value, on: { click: () => run(value) } }));
  const node = el("div", { class: "group segmented small", role: "group", "aria-label": label }, ...buttons);
  node.setValue = (value) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === value)));
  return node;
}

function pictureInput() {
  const input = el("input", { type: "file", accept: "image/*", class: "away", tabindex: -1, "aria-hidden": "true", on: { change: async () => {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      ownBackdrop.bitmap = await createImageBitmap(file);
      setOption({ backdrop: "picture" });
    } catch {
      report(new Error(`“${file.name}” can't be shown as a picture here.`));
    }
  } } });
  return input;
}

function chooseBackdrop(value) {
  if (value === "picture") parts.picture.click();
  if (value !== "picture" || ownBackdrop.bitmap) setOption({ backdrop: value });
  else parts.backdrop.value = state.options.backdrop;
}

function drawTools() {
  const able = state.server.model?.prompts;
  for (const [tool, label, key] of TOOLS) {
    const button = byId(`tool-${tool}`);
    const lacks = Boolean(able && NEEDS[tool] && !able.includes(NEEDS[tool]));
    button.disabled = lacks;
    button.title = lacks ? `${label}: this model takes no ${NEEDS[tool]}` : `${label} (${key})`;
  }
}

function draw() {
  const { tool, view, options } = state;
  for (const [name] of TOOLS) byId(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
  for (const [name] of VIEWS) byId(`view-${name}`).setAttribute("aria-pressed", String(name === view));
  parts.sign.hidden = tool !== "pointer";
  parts.paint.hidden = tool !== "brush";
  parts.level.hidden = tool !== "trimap";
  parts.brush.hidden = !["brush", "trimap"].includes(tool);
  parts.strength.hidden = view !== "overlay";
  parts.backdrop.hidden = !["cutout", "compare"].includes(view);
  parts.colour.hidden = parts.backdrop.hidden || options.backdrop !== "colour";
  parts.before.hidden = view !== "compare";
  parts.sign.setValue(String(options.sign));
  parts.paint.setValue(options.erase ? "erase" : "add");
  parts.level.setValue(String(options.level));
  parts.brush.setValue(options.brush);
  parts.backdrop.value = options.backdrop;
  parts.hint.textContent = view === "composite" ? "Preview of the look; the export is exact." : "";
  parts.hint.hidden = view !== "composite";
  byId("stage").dataset.tool = tool;
}

export function resizeBrush(factor) {
  setOption({ brush: clamp(Math.round(state.options.brush * factor + (factor > 1 ? 1 : -1)), 2, 400) });
}

export function swapSign() {
  const { tool, options } = state;
  if (tool === "brush") setOption({ erase: !options.erase });
  else if (tool === "trimap") setOption({ level: { 255: 128, 128: 0, 0: 255 }[options.level] });
  else setOption({ sign: 1 - options.sign });
}
