// The export dialog: options, progress, download links, prompts, and the same as a command line.

import { api } from "./api.js";
import { commandGaps, commandLine } from "./command.js";
import { report, say } from "./dialogs.js";
import { byId, checkbox, el, field, icon, iconButton, select } from "./dom.js";
import { saveNow } from "./matte.js";
import { hasPrompts, promptFile } from "./prompts.js";
import { flush } from "./saving.js";
import { emit, isVideo, on, runningJob, state } from "./state.js";

const IMAGE = [["png", "PNG"], ["webp", "WebP"], ["tif", "TIFF"], ["avif", "AVIF"], ["exr", "OpenEXR"], ["jpg", "JPEG (no alpha)"]];
const VIDEO = [["mov", "MOV, ProRes 4444"], ["webm", "WebM, VP9 with alpha"], ["mkv", "MKV, FFV1 lossless"], ["mp4", "MP4, H.264 (no alpha)"],
  ["png_sequence", "PNG sequence"], ["exr_sequence", "OpenEXR sequence"]];
const OPAQUE = ["jpg", "mp4"];
const BITS = { png: [8, 16], tif: [8, 16], png_sequence: [8, 16] };

const dialog = byId("export");
let parts = null;
let jobId = null;

export function start() {
  byId("export-open").addEventListener("click", openExport);
  on("job", drawJob);
  on("project", () => { jobId = null; if (dialog.open) dialog.close(); });
}

export function openExport() {
  if (!state.project || dialog.open) return;
  build();
  dialog.showModal();
  refresh();
  drawJob();
}

function numberField(label, value = "", max = "") {
  const input = el("input", { type: "number", min: 0, step: 1, value, max, placeholder: "all", on: { input: refresh } });
  return { input, node: field(label, input) };
}

function build() {
  parts = {
    format: select(isVideo() ? VIDEO : IMAGE, isVideo() ? "mov" : "png", refresh),
    kind: select([["cutout", "Cut-out with alpha"], ["alpha", "Alpha alone, in grey"], ["composite", "Composite, with the look"]], "cutout", refresh),
    bits: select([["", "As the source"]], "", refresh),
    mode: select([["", "As usual for the format"], ["straight", "Straight"], ["premultiplied", "Premultiplied"]], "", refresh),
    names: state.objects.map(({ name }) => name).filter(hasPrompts),
    audio: checkbox("Sound", true, refresh),
    first: numberField("First frame", "", state.project.frames - 1),
    last: numberField("Last frame", "", state.project.frames - 1),
    startFrame: numberField("Number of the first file"),
    note: el("p", { class: "quiet" }), job: el("div", { class: "export-job", "aria-live": "polite" }),
    command: el("code", {}), gaps: el("p", { class: "quiet" }),
    start: el("button", { type: "button", class: "primary", "data-testid": "export-start", text: "Start export", on: { click: begin } }),
  };
  parts.objects = parts.names.map((name) => checkbox(name, true, refresh));
  parts.startFrame.input.placeholder = "as the source";
  parts.fields = {
    bits: field("Bits a channel", parts.bits), mode: field("Alpha", parts.mode),
    objects: el("fieldset", {}, el("legend", { text: "Objects" }), ...parts.objects),
    range: el("div", { class: "row" }, parts.first.node, parts.last.node),
  };
  dialog.replaceChildren(
    el("div", { class: "row between" }, el("h2", { id: "export-title", text: "Export" }), iconButton("close", "Close", () => dialog.close())),
    el("div", { class: "export-grid" },
      field("Format", parts.format), field("What", parts.kind), parts.fields.bits, parts.fields.mode,
      parts.fields.range, parts.startFrame.node, parts.fields.objects, parts.audio),
    parts.note, el("div", { class: "row end" }, parts.start), parts.job, saveRow(), commandBox());
}

function saveRow() {
  const button = (text, name, content) => el("button", { type: "button", on: { click: () => download(name, content()) } }, icon("download"), el("span", { text }));
  return el("div", { class: "row" },
    button("Save prompts", "prompts.json", () => promptFile()), button("Save look", "look.json", () => state.look));
}

function commandBox() {
  return el("details", { class: "command" }, el("summary", { text: "The same on the command line" }),
    el("div", { class: "row" }, parts.command, iconButton("copy", "Copy the command", copy)), parts.gaps);
}

async function copy() {
  const text = parts.command.textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("The command is copied.");
  } catch {
    // Plain http pages from another machine have no clipboard; the text is selected for Ctrl+C instead.
    getSelection().selectAllChildren(parts.command);
    say("Copy it with Ctrl+C.");
  }
}

function download(name, content) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const orNull = ({ input }) => (Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);

function chosen() {
  const names = parts.names.filter((_, i) => parts.objects[i].input.checked);
  const video = isVideo();
  const hasMode = !OPAQUE.includes(parts.format.value) && parts.kind.value === "cutout";
  return {
    format: parts.format.value, kind: parts.kind.value, bits: Number(parts.bits.value) || null,
    premultiplied: hasMode && parts.mode.value ? parts.mode.value === "premultiplied" : null,
    objects: names.length === parts.names.length ? null : names,
    first: video ? orNull(parts.first) : null, last: video ? orNull(parts.last) : null,
    start_frame: parts.format.value.endsWith("_sequence") ? orNull(parts.startFrame) : null,
    audio: video && state.project.has_audio && parts.audio.input.checked && !parts.format.value.endsWith("_sequence"),
  };
}

function refresh() {
  const format = parts.format.value;
  const opaque = OPAQUE.includes(format);
  parts.kind.querySelector("[value=cutout]").disabled = opaque;
  if (opaque && parts.kind.value === "cutout") parts.kind.value = "composite";
  const bits = BITS[format] || [];
  const old = parts.bits.value;
  parts.bits.replaceChildren(el("option", { value: "", text: "As the source" }), ...bits.map((n) => el("option", { value: n, text: n })));
  parts.bits.value = bits.includes(Number(old)) ? old : "";
  parts.fields.bits.hidden = !bits.length;
  parts.fields.mode.hidden = opaque || parts.kind.value !== "cutout";
  parts.fields.objects.hidden = parts.names.length < 2;
  parts.fields.range.hidden = !isVideo();
  parts.startFrame.node.hidden = !format.endsWith("_sequence");
  parts.audio.hidden = !isVideo() || !state.project.has_audio || format.endsWith("_sequence");
  const trouble = problem();
  parts.note.textContent = trouble;
  parts.start.disabled = Boolean(trouble || runningJob("export"));
  const options = chosen();
  parts.command.textContent = commandLine(state, options);
  parts.gaps.textContent = commandGaps(state, options);
}

function problem() {
  const options = chosen();
  if (!state.prompts.length) return "There is no prompt yet: click on the object first.";
  if (options.objects && !options.objects.length) return "Choose at least one object.";
  if (options.first !== null && options.last !== null && options.first > options.last) return "The first frame comes after the last.";
  if (options.kind === "composite" && !state.look.background) {
    const reason = OPAQUE.includes(options.format) ? `${options.format} holds no alpha. ` : "";
    return `${reason}A composite needs a background: choose one under Look first.`;
  }
  return "";
}

async function begin() {
  parts.start.disabled = true;
  try {
    await saveNow();
    await flush();
    const job = await api.startExport(state.project.id, chosen());
    jobId = job.id;
    emit("job-seen", job);
  } catch (error) {
    report(error);
    parts.job.replaceChildren(el("p", { class: "problem", text: error.message }));
  }
  refresh();
}

function drawJob() {
  if (!dialog.open) return;
  const job = state.server.jobs.find((other) => other.id === jobId) || runningJob("export");
  parts.start.disabled = Boolean(problem() || runningJob("export"));
  if (!job) { parts.job.replaceChildren(); return; }
  jobId = job.id;
  parts.job.replaceChildren(...({ done: doneView, failed: failedView, cancelled: cancelledView }[job.state] || runningView)(job));
}

function runningView(job) {
  const known = job.total > 0;
  return [
    el("label", { class: "field" }, el("span", { text: known ? `${job.done} of ${job.total}` : job.state === "queued" ? "Waiting for its turn" : "Working" }),
      el("progress", known ? { max: job.total, value: job.done } : {})),
    el("button", { type: "button", class: "danger", text: "Cancel", on: { click: async () => {
      try { emit("job-seen", await api.cancel(job.id)); } catch (error) { report(error); }
    } } }),
  ];
}

const size = (bytes) => (bytes > 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`);

function doneView(job) {
  const files = job.result?.files || [];
  return [el("p", { text: files.length === 1 ? "The file is ready." : `${files.length} files are ready.` }),
    el("ul", { class: "files" }, ...files.map((file) => el("li", {},
      el("a", { href: file.url, download: file.name, "data-testid": "export-link" }, icon("download"), el("span", { text: file.name })),
      el("span", { class: "quiet", text: size(file.bytes) }))))];
}

const failedView = (job) => [el("p", { class: "problem", text: job.error || "The export failed." })];
const cancelledView = () => [el("p", { class: "quiet", text: "The export was cancelled." })];
