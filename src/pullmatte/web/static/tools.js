// The tools: pointer (clicks and boxes), brush, trimap brush, pan.

import { isInside, viewport } from "./canvas.js";
import { report, say } from "./dialogs.js";
import { clamp } from "./dom.js";
import * as frames from "./frames.js";
import { during } from "./matte.js";
import { PaintLayer, blankTrimap, trimapOf } from "./paint.js";
import { addPoint, entryOf, movePoint, setBox, setRaster } from "./prompts.js";
import { emit, objectNamed, on, state } from "./state.js";

const DRAG = 4;
export const draft = { box: null, point: null, hover: null };
const layers = { mask_png: null, trimap_png: null };

export const TOOLS = [
  ["pointer", "Pointer: click and box", "V"], ["brush", "Brush: rough mask", "B"],
  ["trimap", "Trimap brush", "T"], ["pan", "Pan", "H"],
];

export function start() {
  on("hover", (point) => { draft.hover = point; emit("marks"); });
  on("tool frame prompts objects matte project", () => refreshLayer().catch(report));
  on("project", () => { layers.mask_png = null; layers.trimap_png = null; });
}

export const currentTool = () => tools[state.tool];
export const rasterKind = () => ({ brush: "mask_png", trimap: "trimap_png" })[state.tool];

const rounded = ({ x, y }) => [
  clamp(Math.floor(x), 0, state.project.width - 1), clamp(Math.floor(y), 0, state.project.height - 1)];

// What of the active object's prompt lies under the pointer.
export function hit(point, reach = 9) {
  const entry = entryOf(state.active, state.frame);
  if (!entry) return null;
  const near = (x, y) => Math.hypot(x - point.x, y - point.y) * viewport.scale <= reach;
  for (let index = (entry.points?.length || 0) - 1; index >= 0; index -= 1) {
    const [x, y] = entry.points[index];
    if (near(x + 0.5, y + 0.5)) return { entry, part: "points", index };
  }
  if (entry.box) {
    const [x0, y0, x1, y1] = entry.box;
    const corners = [[x0, y0, x1, y1], [x1, y0, x0, y1], [x0, y1, x1, y0], [x1, y1, x0, y0]];
    const corner = corners.find(([x, y]) => near(x, y));
    if (corner) return { entry, part: "box", anchor: { x: corner[2], y: corner[3] } };
  }
  return null;
}

function boxOf(a, b) {
  const { width, height } = state.project;
  const xs = [clamp(a.x, 0, width), clamp(b.x, 0, width)].sort((p, q) => p - q);
  const ys = [clamp(a.y, 0, height), clamp(b.y, 0, height)].sort((p, q) => p - q);
  return [Math.floor(xs[0]), Math.floor(ys[0]), Math.ceil(xs[1]), Math.ceil(ys[1])];
}

function remindOfTrimap() {
  if (entryOf(state.active, state.frame)?.trimap_png) {
    say("This frame has a trimap, which stands above clicks and boxes. Remove it in the list to use them.");
  }
}

const pointer = {
  down(point, event) {
    const found = hit(point, event.pointerType === "touch" ? 18 : 9);
    this.begin = { point, x: event.clientX, y: event.clientY, found, dragged: false };
    this.begin.exclude = event.button === 2 || event.altKey || (state.options.sign === 0 && event.button === 0);
  },
  move(point, event) {
    const { begin } = this;
    if (!begin) return;
    begin.dragged ||= Math.hypot(event.clientX - begin.x, event.clientY - begin.y) > DRAG;
    if (!begin.dragged) return;
    if (begin.found?.part === "points") draft.point = { ...begin.found, at: rounded(point) };
    else draft.box = boxOf(begin.found?.anchor || begin.point, point);
    emit("marks");
  },
  up(point) {
    const startedAt = performance.now();
    const { begin } = this;
    const { box, point: moved } = draft;
    this.cancel();
    if (!begin) return;
    if (moved) { movePoint(moved.entry, moved.index, ...moved.at, startedAt); return; }
    if (box) {
      if (box[2] > box[0] && box[3] > box[1]) { setBox(box, startedAt); remindOfTrimap(); }
      return;
    }
    if (begin.found) { state.selected = begin.found; emit("marks"); emit("selected"); return; }
    if (state.selected) { state.selected = null; emit("selected"); }
    if (isInside(begin.point)) { addPoint(...rounded(begin.point), begin.exclude ? 0 : 1, startedAt); remindOfTrimap(); }
  },
  cancel() {
    this.begin = null;
    draft.box = null;
    draft.point = null;
    emit("marks");
  },
};

// Of which object and frame the layers are.
let layerPlace = "";
let refreshing = null;
let painting = false;

export const layer = (kind = rasterKind()) => layers[kind] || null;

// Keeps the shown layer equal to the prompt, also after undo.
async function refreshLayer() {
  if (!state.project || painting) return;
  const kind = rasterKind();
  const place = `${state.project.id}/${state.frame}/${state.active}`;
  if (place !== layerPlace) { layers.mask_png = null; layers.trimap_png = null; layerPlace = place; }
  if (!kind || !state.active) { emit("marks"); return; }
  const png = entryOf(state.active, state.frame)?.[kind];
  const alpha = frames.alpha(state.active, state.frame)?.serial || 0;
  const wanted = png || `start/${kind === "trimap_png" ? alpha : 0}`;
  if (layers[kind]?.png === wanted) { tint(); return; }
  const mine = {};
  refreshing = mine;
  const fresh = await freshLayer(kind, png);
  if (refreshing !== mine || painting || layerPlace !== place) return;
  fresh.png = wanted;
  layers[kind] = fresh;
  tint();
}

async function freshLayer(kind, png) {
  const { width, height } = state.project;
  if (png) return PaintLayer.from(png, width, height);
  if (kind === "mask_png") return new PaintLayer(width, height);
  const alpha = frames.alphaBytes(state.active, state.frame);
  const fits = alpha?.length === width * height;
  const levels = fits ? trimapOf(alpha, width, height)
    : blankTrimap(width, height, entryOf(state.active, state.frame)?.box);
  return new PaintLayer(width, height, levels);
}

function tint() {
  const colour = objectNamed(state.active)?.colour || "#2f80ed";
  layers.mask_png?.setPalette([[255, "#ffffff", 0.45]]);
  layers.trimap_png?.setPalette([[0, "#000000", 0.55], [128, "#d9d9d9", 0.5], [255, colour, 0.45]]);
  emit("marks");
}

function paintTool(kind, levelOf) {
  return {
    down(point, event) {
      if (!layers[kind] || layerPlace !== `${state.project.id}/${state.frame}/${state.active}`) return;
      painting = true;
      this.last = point;
      this.level = levelOf(event);
      this.place = { object: state.active, frame: state.frame };
      this.before = layers[kind].levels.slice();
      this.move(point, event);
    },
    move(point) {
      if (!this.last) return;
      layers[kind].stroke(this.last.x, this.last.y, point.x, point.y, state.options.brush / 2, this.level);
      this.last = point;
      emit("marks");
    },
    up() {
      if (!this.last) return;
      const startedAt = performance.now();
      this.last = null;
      during(commit(kind, this.place, startedAt)).catch(report).finally(() => { painting = false; refreshLayer().catch(report); });
    },
    cancel() {
      if (!this.last) return;
      this.last = null;
      painting = false;
      layers[kind].levels.set(this.before);
      layers[kind].show(0, 0, layers[kind].width, layers[kind].height);
      emit("marks");
    },
  };
}

async function commit(kind, { object, frame }, startedAt) {
  const painted = layers[kind];
  if (kind === "trimap_png" && !painted.hasUnknown()) {
    say("A trimap needs an unknown band; paint some before it can be used.");
    // Kept as it is, though it isn't a prompt yet.
    painted.png = entryOf(object, frame)?.[kind] || painted.png;
    return;
  }
  const png = painted.isEmpty() ? null : await painted.encode();
  if (png) painted.png = png;
  setRaster(kind, png, startedAt, object, frame);
}

const brush = paintTool("mask_png", (event) => {
  const swapped = event.altKey || event.button === 2;
  return state.options.erase !== swapped ? 0 : 255;
});
const trimap = paintTool("trimap_png", (event) => (event.altKey || event.button === 2 ? 0 : state.options.level));

const tools = { pointer, brush, trimap, pan: null };
