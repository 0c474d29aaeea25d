// The look panel: what lies behind the subject, and edits of its edge.

import { api } from "./api.js";
import { report, say, toast } from "./dialogs.js";
import { byId, checkbox, el, field, select, slider } from "./dom.js";
import { forgetBackground, previewScale } from "./look_render.js";
import { setView } from "./options.js";
import { isVideo, on, state } from "./state.js";
import { saveLook, saveSettings } from "./saving.js";

const parts = {};
const KINDS = [["transparent", "Transparent"], ["checker", "Checker"], ["colour", "Colour"], ["file", "Own picture"],
  ["blur", "Blur of the original"], ["original", "Original"]];

export function start() {
  parts.kind = select(KINDS, "transparent", chooseKind, { id: "look-background" });
  parts.colour = field("Colour", el("input", { type: "color", value: "#4f7f5f", on: { input: (event) => edit({ background: event.target.value }) } }));
  parts.file = fileField();
  parts.blur = slider("Blur", { min: 1, max: 80, step: 1, value: 12, unit: " px" }, (value) => edit({ blur: value }));
  parts.pop = slider("Colour pop", { min: 0, max: 1, step: 0.05, value: 0 }, (value) => edit({ pop: value }));
  parts.text = textFields();
  parts.shift = slider("Shift edge", { min: -10, max: 10, step: 0.25, value: 0, unit: " px" }, (value) => edit({ shift: value }));
  parts.feather = slider("Feather", { min: 0, max: 20, step: 0.25, value: 0, unit: " px" }, (value) => edit({ feather: value }));
  parts.decontaminate = checkbox("Decontaminate: the object's own colours, free of the old background", true,
    (checked) => edit({ decontaminate: checked }));
  parts.steady = slider("Steady", { min: 0, max: 0.95, step: 0.05, value: 0 }, saveSteady);
  parts.steadyHint = el("small", { class: "quiet", text: "A filter in time against flicker of uncertain alpha." });
  parts.preview = el("p", { class: "quiet", role: "note" });
  byId("panel-look").replaceChildren(
    el("h2", { text: "Look" }),
    field("Background", parts.kind), parts.colour, parts.file, parts.blur, parts.pop, parts.text,
    el("h3", { text: "Edge" }), parts.shift, parts.feather, parts.decontaminate, parts.steady, parts.steadyHint, parts.preview);
  on("project look", draw);
  on("settings", () => parts.steady.setValue(state.settings.steady || 0));
  on("look-error", toast);
}

let steadyTimer = 0;
function saveSteady(value) {
  state.settings = { ...state.settings, steady: value };
  clearTimeout(steadyTimer);
  steadyTimer = setTimeout(() => saveSettings({ steady: value }), 400);
}

// An edit is only to be seen in the composite view.
function edit(values) {
  saveLook(values);
  if (!["composite", "compare"].includes(state.view)) setView("composite");
}

function kindOf(background) {
  if (background === null || background === undefined) return "transparent";
  if (background.startsWith("#")) return "colour";
  return background.startsWith("file:") ? "file" : background;
}

function chooseKind(kind) {
  if (kind === "file") {
    // A click that a person didn't cause may be refused, so the button stands there as well.
    parts.file.hidden = false;
    parts.file.input.click();
    return;
  }
  const background = { transparent: null, colour: parts.colour.querySelector("input").value }[kind];
  const values = { background: background === undefined ? kind : background };
  // The server refuses these where they have no meaning.
  if (!["blur", "original"].includes(kind)) values.pop = 0;
  if (kind === "transparent") values.text = null;
  edit(values);
}

function fileField() {
  const name = el("span", { class: "quiet" });
  const input = el("input", { type: "file", accept: "image/*,video/*", on: { change: () => {
    const [file] = input.files;
    input.value = "";
    if (file) upload(file);
  } } });
  const node = el("div", { class: "field" }, el("label", { class: "button file-button" }, "Choose a file", input), name);
  Object.assign(node, { input, name });
  return node;
}

async function upload(file) {
  try {
    say(`Uploading ${file.name}…`);
    const answer = await api.putBackground(state.project.id, file, (share) => say(`Uploading ${file.name}: ${Math.round(share * 100)} %`));
    forgetBackground();
    edit({ background: answer.background, pop: 0 });
    say(`${file.name} lies behind.`);
  } catch (error) {
    report(error);
  }
}

function textFields() {
  const start = { words: "", x: 0.5, y: 0.25, size: 0.3, colour: "#ffffff" };
  const put = (values) => {
    const text = { ...start, ...state.look.text, ...values };
    edit({ text: text.words.trim() ? text : null });
  };
  const words = el("textarea", { rows: 2, on: { input: () => put({ words: words.value }) } });
  const colour = el("input", { type: "color", value: start.colour, on: { input: () => put({ colour: colour.value }) } });
  const sliders = [["x", "Across", 0, 1], ["y", "Down", 0, 1], ["size", "Size", 0.02, 1]].map(([key, label, min, max]) =>
    [key, slider(label, { min, max, step: 0.01, value: start[key] }, (value) => put({ [key]: value }))]);
  const node = el("details", { class: "text-behind" }, el("summary", { text: "Text behind the subject" }),
    field("Words", words), ...sliders.map(([, part]) => part), field("Colour", colour),
    el("small", { class: "quiet", text: "The export sets it in its own typeface." }));
  node.show = (text) => {
    const shown = { ...start, ...text };
    if (document.activeElement !== words) words.value = shown.words;
    colour.value = shown.colour;
    sliders.forEach(([key, part]) => part.setValue(shown[key]));
  };
  return node;
}

function draw() {
  if (!state.project) return;
  const { background, blur = 12, pop = 0, text, shift = 0, feather = 0, decontaminate = true } = state.look;
  const kind = kindOf(background);
  parts.kind.value = kind;
  parts.kind.querySelector("[value=file]").textContent = isVideo() ? "Own picture or video" : "Own picture";
  parts.colour.hidden = kind !== "colour";
  if (kind === "colour") parts.colour.querySelector("input").value = background;
  parts.file.hidden = kind !== "file";
  parts.file.name.textContent = kind === "file" ? background.slice(5) : "";
  parts.blur.hidden = kind !== "blur";
  parts.pop.hidden = !["blur", "original"].includes(kind);
  parts.text.hidden = kind === "transparent";
  parts.blur.setValue(blur);
  parts.pop.setValue(pop);
  parts.text.show(text);
  parts.shift.setValue(shift);
  parts.feather.setValue(feather);
  parts.decontaminate.input.checked = decontaminate;
  parts.steady.hidden = parts.steadyHint.hidden = !isVideo();
  parts.steady.setValue(state.settings.steady || 0);
  const scale = previewScale();
  parts.preview.textContent = `The composite view is a preview${scale < 1 ? ` (edges at ${Math.round(scale * 100)} % of full size)` : ""}; the export computes it exactly.`;
}
