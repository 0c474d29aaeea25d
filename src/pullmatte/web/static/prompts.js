// Prompts: points, box, mask and trimap of an object on a frame. All functions are undoable steps.

import { change, state } from "./state.js";

export const PALETTE = ["#e0453a", "#2f80ed", "#27a35a", "#c98a00", "#8e5bd9", "#d6409f", "#0f9aa8", "#7a8a1c"];

export function entryOf(object, frame) {
  return state.prompts.find((entry) => entry.object === object && entry.frame === frame);
}

export const hasPrompts = (object) => state.prompts.some((entry) => entry.object === object);
export const entriesOf = (object) =>
  state.prompts.filter((entry) => entry.object === object).sort((a, b) => a.frame - b.frame);

const isEmpty = (entry) => !entry.points?.length && !entry.box && !entry.mask_png && !entry.trimap_png;

function replaceEntry(object, frame, edit) {
  const old = entryOf(object, frame) || { object, frame };
  const entry = { ...old };
  edit(entry);
  // An entry without parts would mean the whole frame to the server.
  const rest = state.prompts.filter((other) => other !== old);
  state.prompts = isEmpty(entry) ? rest : [...rest, entry];
  return entry;
}

function edit(label, parts, startedAt, frame = state.frame, object = state.active) {
  change(label, () => replaceEntry(object, frame, parts), startedAt);
}

export function addPoint(x, y, label, startedAt) {
  edit("point", (entry) => { entry.points = [...(entry.points || []), [x, y, label]]; }, startedAt);
}

export function movePoint(entry, index, x, y, startedAt) {
  edit("moved point", (copy) => {
    copy.points = copy.points.map((point, i) => (i === index ? [x, y, point[2]] : point));
  }, startedAt, entry.frame, entry.object);
}

export function setBox(box, startedAt) {
  edit("box", (entry) => { entry.box = box; }, startedAt);
}

export function setRaster(kind, png, startedAt, object = state.active, frame = state.frame) {
  edit(kind === "mask_png" ? "mask" : "trimap", (entry) => {
    if (png) entry[kind] = png;
    else delete entry[kind];
  }, startedAt, frame, object);
}

export function removePart(entry, part, index) {
  edit("removed prompt", (copy) => {
    if (part === "points") copy.points = copy.points.filter((_, i) => i !== index);
    else delete copy[part];
  }, performance.now(), entry.frame, entry.object);
}

export function removeSelected() {
  const { entry, part, index } = state.selected || {};
  if (!entry || !state.prompts.includes(entry)) return false;
  state.selected = null;
  removePart(entry, part, index);
  return true;
}

// Why a name can't be used, or null.
export function nameProblem(name, except) {
  if (!name.trim()) return "An object needs a name.";
  if (/[/\\\p{Cc}]/u.test(name) || name.startsWith(".")) return "A name can't contain / or \\ or begin with a dot.";
  if (new TextEncoder().encode(name).length > 150) return "That name is too long.";
  if (state.objects.some((object) => object.name === name && name !== except)) return `There is already an object “${name}”.`;
  return null;
}

function freeName() {
  if (!state.objects.length) return "object";
  for (let n = state.objects.length + 1; ; n += 1) {
    if (!nameProblem(`object ${n}`)) return `object ${n}`;
  }
}

export function freshObject() {
  const used = new Set(state.objects.map((object) => object.colour));
  return { name: freeName(), colour: PALETTE.find((colour) => !used.has(colour)) || PALETTE[0] };
}

export function addObject() {
  const object = freshObject();
  change("new object", () => {
    state.objects = [...state.objects, object];
    state.active = object.name;
  });
  return object;
}

export function recolourObject(name, colour) {
  change("colour", () => {
    state.objects = state.objects.map((object) => (object.name === name ? { ...object, colour } : object));
  });
}

export function renameObject(name, fresh) {
  change("rename", () => {
    state.objects = state.objects.map((object) => (object.name === name ? { ...object, name: fresh } : object));
    state.prompts = state.prompts.map((entry) => (entry.object === name ? { ...entry, object: fresh } : entry));
    if (state.active === name) state.active = fresh;
  });
}

export function deleteObject(name) {
  change("deleted object", () => {
    state.objects = state.objects.filter((object) => object.name !== name);
    state.prompts = state.prompts.filter((entry) => entry.object !== name);
    if (!state.objects.length) state.objects = [freshObject()];
    if (state.active === name) state.active = state.objects[0].name;
  });
}

export function promptFile() {
  const { name, width, height } = state.project;
  return { pullmatte_prompts: 1, source: name, size: [width, height], prompts: state.prompts };
}

// A saved file may hold several entries of one object and frame; the page works with one.
export function joined(entries) {
  const byKey = new Map();
  for (const entry of entries || []) {
    const key = `${entry.frame || 0}/${entry.object}`;
    const old = byKey.get(key) || { object: entry.object, frame: entry.frame || 0 };
    const points = [...(old.points || []), ...(entry.points || []).map(([x, y, label = 1]) => [x, y, label])];
    byKey.set(key, { ...old, ...entry, frame: old.frame, ...(points.length ? { points } : {}) });
  }
  return [...byKey.values()];
}
