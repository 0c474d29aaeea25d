// Draws the chosen view at device pixels.

import { viewport } from "./canvas.js";
import { byId } from "./dom.js";
import * as frames from "./frames.js";
import { drawLook } from "./look_render.js";
import { on, state, visibleObjects, objectNamed } from "./state.js";

const canvas = byId("canvas");
const context = canvas.getContext("2d", { alpha: false });
const layer = new OffscreenCanvas(1, 1);
const layerContext = layer.getContext("2d");
let wanted = false;
let lastPicture = null;
let waiters = [];
export const ownBackdrop = { bitmap: null, name: "" };

export const VIEWS = [
  ["overlay", "Overlay"], ["alpha", "Alpha"], ["cutout", "Cut-out"],
  ["composite", "Composite"], ["compare", "Compare"], ["original", "Original"],
];

export function start() {
  on("project tool frame picture matte objects prompts view viewport look settings options theme", schedule);
  on("project", () => { lastPicture = null; });
}

export function schedule() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    draw();
    const done = waiters;
    waiters = [];
    done.forEach((resolve) => resolve());
  });
}

// Resolves once the next drawing is on its way to the screen.
export function painted() {
  schedule();
  // Hidden pages draw nothing, but their work goes on.
  return new Promise((resolve) => { waiters.push(resolve); setTimeout(resolve, 1000); });
}

function place(target) {
  const { ratio, scale, x, y } = viewport;
  target.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
  target.imageSmoothingEnabled = scale * ratio <= 2;
  target.imageSmoothingQuality = state.playing ? "low" : "medium";
}

function draw() {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = getComputedStyle(canvas).getPropertyValue("--stage").trim() || "#333";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (!state.project) return;
  const picture = frames.picture(state.frame);
  // The last frame stays until the next is there, which is calmer than a blank.
  if (picture) lastPicture = { picture, frame: state.frame };
  if (!lastPicture) return;
  const { picture: shown, frame } = picture ? { picture, frame: state.frame } : lastPicture;
  if (!frames.picture(frame)) return;
  context.save();
  place(context);
  clipTo(0, 1);
  if (state.view === "compare") drawCompare(shown, frame);
  else drawView(state.view, shown, frame);
  context.restore();
}

function clipTo(from, to) {
  const { width, height } = state.project;
  context.beginPath();
  context.rect(width * from, 0, width * (to - from), height);
  context.clip();
}

function drawView(view, picture, frame) {
  if (view === "alpha") drawAlpha(frame);
  else if (view === "cutout") drawCutout(picture, frame);
  else if (view === "composite") drawComposite(picture, frame);
  else {
    lay(context, picture.bitmap);
    if (view === "overlay") drawOverlay(frame);
  }
}

export function lay(target, bitmap) {
  target.drawImage(bitmap, 0, 0, state.project.width, state.project.height);
}

// Something drawn apart from the rest, then laid over it.
function apart(paint, opacity = 1) {
  if (layer.width !== canvas.width || layer.height !== canvas.height) {
    layer.width = canvas.width;
    layer.height = canvas.height;
  }
  layerContext.setTransform(1, 0, 0, 1, 0, 0);
  layerContext.globalCompositeOperation = "source-over";
  layerContext.clearRect(0, 0, layer.width, layer.height);
  place(layerContext);
  paint(layerContext);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(layer, 0, 0);
  context.restore();
}

function drawOverlay(frame, itemOf = frames.alpha) {
  for (const { name, colour } of visibleObjects()) {
    // The trimap is shown in the same colour, so its own matte would hide it.
    if (state.tool === "trimap" && name === state.active) continue;
    const item = itemOf(name, frame);
    if (!item) continue;
    apart((target) => {
      lay(target, item.mask);
      target.globalCompositeOperation = "source-in";
      target.fillStyle = colour;
      target.fillRect(0, 0, state.project.width, state.project.height);
    }, state.options.strength);
  }
}

function drawAlpha(frame, itemOf = frames.alpha) {
  context.fillStyle = "#000";
  context.fillRect(0, 0, state.project.width, state.project.height);
  const item = state.active && itemOf(state.active, frame);
  if (item) lay(context, item.mask);
}

function checker() {
  const tile = new OffscreenCanvas(16, 16);
  const paint = tile.getContext("2d");
  paint.fillStyle = "#c8c8c8";
  paint.fillRect(0, 0, 16, 16);
  paint.fillStyle = "#9a9a9a";
  paint.fillRect(0, 0, 8, 8);
  paint.fillRect(8, 8, 8, 8);
  return context.createPattern(tile, "repeat");
}

let checkerPattern = null;

export function drawChecker() {
  checkerPattern ??= checker();
  context.save();
  context.setTransform(viewport.ratio, 0, 0, viewport.ratio, viewport.x * viewport.ratio, viewport.y * viewport.ratio);
  context.fillStyle = checkerPattern;
  context.fillRect(0, 0, state.project.width * viewport.scale, state.project.height * viewport.scale);
  context.restore();
}

// As a picture behind is fitted: covers all, cut at the sides.
export function cover(target, source, width, height) {
  const sourceWidth = source.videoWidth || source.width;
  const sourceHeight = source.videoHeight || source.height;
  const scale = Math.max(width / sourceWidth, height / sourceHeight);
  const w = width / scale;
  const h = height / scale;
  target.drawImage(source, (sourceWidth - w) / 2, (sourceHeight - h) / 2, w, h, 0, 0, width, height);
}

function drawBackdrop() {
  const { backdrop, backdropColour } = state.options;
  const { width, height } = state.project;
  if (backdrop === "checker") { drawChecker(); return; }
  context.fillStyle = { black: "#000", white: "#fff", colour: backdropColour }[backdrop] || "#808080";
  context.fillRect(0, 0, width, height);
  if (backdrop === "picture" && ownBackdrop.bitmap) cover(context, ownBackdrop.bitmap, width, height);
}

function drawCutout(picture, frame, itemOf = frames.alpha) {
  drawBackdrop();
  for (const { name } of visibleObjects()) {
    const item = itemOf(name, frame);
    if (item) drawSubject(item.foreground || picture.bitmap, item.mask);
  }
}

export function drawSubject(colours, mask) {
  apart((target) => {
    lay(target, colours);
    target.globalCompositeOperation = "destination-in";
    lay(target, mask);
  });
}

function drawComposite(picture, frame, itemOf = frames.alpha) {
  const objects = visibleObjects()
    .map(({ name }) => ({ name, item: itemOf(name, frame) })).filter(({ item }) => item);
  drawLook(context, picture, frame, objects, { drawChecker, drawSubject, cover, lay, again: schedule });
}

let compareTo = "cutout";
on("view", () => { if (!["compare", "original"].includes(state.view)) compareTo = state.view; });

function drawCompare(picture, frame) {
  const border = state.options.divider;
  context.save();
  clipTo(0, border);
  if (state.options.before === "previous") drawBefore(picture, frame);
  else lay(context, picture.bitmap);
  context.restore();
  context.save();
  clipTo(border, 1);
  drawView(compareTo, picture, frame);
  context.restore();
}

function drawBefore(picture, frame) {
  const itemOf = (name, n) => frames.previousAlpha(name, n) || frames.alpha(name, n);
  if (compareTo === "alpha") drawAlpha(frame, itemOf);
  else if (compareTo === "overlay") {
    lay(context, picture.bitmap);
    drawOverlay(frame, itemOf);
  } else if (compareTo === "composite") drawComposite(picture, frame, itemOf);
  else drawCutout(picture, frame, itemOf);
}

export const activeColour = () => objectNamed(state.active)?.colour || "#888";
