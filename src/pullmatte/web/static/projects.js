// The start screen: upload by drop, paste or choice, and the list of projects.

import { api } from "./api.js";
import { ask, report, say } from "./dialogs.js";
import { byId, el, iconButton } from "./dom.js";
import { state } from "./state.js";

let uploading = null;

export function start() {
  const input = byId("file-input");
  input.addEventListener("change", () => { const [file] = input.files; input.value = ""; if (file) create(file); });
  byId("upload-cancel").addEventListener("click", () => uploading?.abort());
  for (const name of ["dragenter", "dragover"]) document.addEventListener(name, over);
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", drop);
  document.addEventListener("paste", paste);
}

const busy = () => document.querySelector("dialog[open]");

function over(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
}

function drop(event) {
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer?.files || [];
  if (!file) return;
  event.preventDefault();
  if (!busy()) create(file);
}

function paste(event) {
  if (busy()) return;
  const file = [...(event.clipboardData?.files || [])][0];
  if (!file) return;
  event.preventDefault();
  create(file.name ? file : new File([file], "pasted.png", { type: file.type }));
}

async function create(file) {
  if (uploading) { report(new Error("An upload is running already; wait for it or cancel it.")); return; }
  if (state.project) location.hash = "";
  uploading = new AbortController();
  byId("upload").hidden = false;
  byId("upload-name").textContent = `Uploading ${file.name}`;
  const bar = byId("upload-bar");
  bar.value = 0;
  try {
    const project = await api.create(file, (share) => {
      bar.value = share;
      if (share >= 1) byId("upload-name").textContent = `Reading ${file.name}`;
    }, uploading.signal);
    say(`${project.name} is open.`);
    location.hash = `#/project/${project.id}`;
  } catch (error) {
    if (error.name === "AbortError") say("Upload cancelled.");
    else report(error);
  } finally {
    uploading = null;
    byId("upload").hidden = true;
  }
}

export async function list() {
  try {
    const projects = await api.projects();
    byId("list-empty").hidden = projects.length > 0;
    byId("project-list").replaceChildren(...projects.map(card));
  } catch (error) {
    report(error);
  }
}

function describe({ kind, width, height, frames, fps }) {
  const size = `${width} × ${height}`;
  return kind === "video" ? `Clip · ${size} · ${frames} frames · ${Number(fps?.toFixed(2))} fps` : `Photo · ${size}`;
}

function card(project) {
  const date = new Date(project.updated || project.created);
  return el("li", { class: "card" },
    el("a", { href: `#/project/${project.id}` },
      el("img", { src: api.frameUrl(project.id, 0, 180), alt: "", loading: "lazy" }),
      el("span", { class: "card-name", text: project.name }),
      el("span", { class: "quiet", text: describe(project) }),
      Number.isNaN(date.getTime()) ? null : el("time", { class: "quiet", dateTime: date.toISOString(), text: date.toLocaleString() })),
    iconButton("trash", `Delete ${project.name}`, () => remove(project)));
}

async function remove(project) {
  const sure = await ask({ title: `Delete ${project.name}?`, text: "The picture or clip in the studio, its prompts and its results are deleted. Your own file stays.", action: "Delete", danger: true });
  if (!sure) return;
  try {
    await api.remove(project.id);
    say(`${project.name} is deleted.`);
  } catch (error) {
    report(error);
  }
  list();
}
