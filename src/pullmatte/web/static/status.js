// The footer: model, licence, worker, memory, running job.

import { api } from "./api.js";
import { report } from "./dialogs.js";
import { byId, el, icon } from "./dom.js";
import { emit, on, state } from "./state.js";

const WORKER = { starting: "Starting", ready: "Ready", busy: "Busy", restarting: "Restarting", failed: "Failed" };

export function start() {
  on("server", draw);
  on("job project", drawJobs);
  draw();
}

// Built anew only when it differs, so that the focus and an open tooltip aren't lost.
let drawn = "";

function draw() {
  const { worker, worker_error: error, model, memory_mb: memory } = state.server;
  const key = JSON.stringify([worker, error, model, Math.round(memory || 0)]);
  if (key === drawn) return;
  const modelChanged = drawn === "" || JSON.stringify(JSON.parse(drawn)[2]) !== JSON.stringify(model ?? null);
  drawn = key;
  const node = byId("worker");
  node.dataset.worker = worker;
  node.replaceChildren(el("i", { class: "dot", "aria-hidden": "true" }), el("span", { text: WORKER[worker] || worker }));
  if (error) node.append(el("span", { class: "problem", text: error }));
  if (memory) node.append(el("span", { class: "quiet", title: "Memory in use", text: memory >= 1000 ? `${(memory / 1000).toFixed(1)} GB` : `${Math.round(memory)} MB` }));
  if (modelChanged) drawModel(model);
}

function drawModel(model) {
  const node = byId("model");
  if (!model) { node.replaceChildren(); return; }
  const tip = el("div", { id: "licence-tip", role: "tooltip", class: "tip" },
    el("p", { text: model.commercial_use ? "Commercial use is allowed." : "Commercial use is not allowed." }),
    model.restrictions ? el("p", { text: model.restrictions }) : null,
    model.terms ? el("p", { class: "quiet", text: model.terms }) : null);
  const button = el("button", { type: "button", class: "licence", "aria-describedby": "licence-tip" },
    el("span", { text: `${model.licence || "Licence unknown"} · ${model.commercial_use ? "commercial use" : "non-commercial"}` }));
  if (!model.commercial_use) button.classList.add("warn");
  button.addEventListener("keydown", (event) => { if (event.key === "Escape") button.blur(); });
  node.replaceChildren(
    el("span", { class: "model-name", text: `${model.name} · ${model.device} · ${model.dtype}` }),
    el("span", { class: "has-tip" }, button, tip));
}

function drawJobs() {
  const job = state.server.jobs.find((other) => ["queued", "running"].includes(other.state));
  const box = byId("job-box");
  box.hidden = !job;
  if (!job) { box.replaceChildren(); box.dataset.job = ""; return; }
  if (box.dataset.job !== job.id) build(box, job);
  const label = job.kind === "propagate" ? "Propagating" : "Exporting";
  const elsewhere = job.project !== state.project?.id ? " (another project)" : "";
  box.querySelector("span").textContent = `${label}${elsewhere} ${job.total ? `${job.done} of ${job.total}` : ""}`;
  const bar = box.querySelector("progress");
  bar.setAttribute("aria-label", label);
  if (job.total) { bar.max = job.total; bar.value = job.done; }
}

function build(box, job) {
  box.dataset.job = job.id;
  box.replaceChildren(el("span", {}), el("progress", {}),
    el("button", { type: "button", "aria-label": "Stop the running job", title: "Stop", on: { click: async () => {
      try { emit("job-seen", await api.cancel(job.id)); } catch (error) { report(error); }
    } } }, icon("stop")));
}
