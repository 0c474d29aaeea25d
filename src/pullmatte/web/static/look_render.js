// The composite view: an approximation of the look, at a bounded size so that it stays quick.

import { api } from "./api.js";
import { clamp } from "./dom.js";
import { emit, isVideo, on, state } from "./state.js";

const MOST_PIXELS = 3e6;
const MOST_WHILE_PLAYING = 0.6e6;
const edges = new Map();
let plate = { key: "", canvas: null };
let file = { name: null, source: null, ready: false };

on("project", () => { edges.clear(); plate = { key: "", canvas: null }; file = { name: null, source: null }; });

// Share of full size at which edges and plates are computed.
export function previewScale() {
  const { width, height } = state.project;
  return Math.min(1, Math.sqrt((state.playing ? MOST_WHILE_PLAYING : MOST_PIXELS) / (width * height)));
}

function sheet(scale) {
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(state.project.width * scale)), Math.max(1, Math.round(state.project.height * scale)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  return { canvas, context, lay: (source) => context.drawImage(source, 0, 0, canvas.width, canvas.height) };
}

// Canvas filters are missing in some browsers; repeated halving and doubling is close.
function blurred(source, px) {
  const out = new OffscreenCanvas(source.width, source.height);
  const context = out.getContext("2d");
  if (px <= 0.05) { context.drawImage(source, 0, 0); return out; }
  if ("filter" in context) {
    context.filter = `blur(${px}px)`;
    context.drawImage(source, 0, 0);
    return out;
  }
  const factor = 1 / Math.max(1, px * 1.4);
  const small = new OffscreenCanvas(Math.max(1, source.width * factor), Math.max(1, source.height * factor));
  small.getContext("2d").drawImage(source, 0, 0, small.width, small.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, out.width, out.height);
  return out;
}

function edgeOf(item, scale) {
  const { shift = 0, feather = 0 } = state.look;
  if (!shift && !feather) return item.mask;
  const key = `${item.serial}/${shift}/${feather}/${scale.toFixed(4)}`;
  if (!edges.has(key)) {
    if (edges.size > 8) edges.delete(edges.keys().next().value);
    edges.set(key, editedEdge(item.mask, shift * scale, feather * scale, scale));
  }
  return edges.get(key);
}

function editedEdge(mask, shift, feather, scale) {
  const { canvas, lay } = sheet(scale);
  lay(mask);
  const shifted = shift ? shiftedEdge(canvas, shift) : canvas;
  return feather ? blurred(shifted, feather) : shifted;
}

// Copies laid around a circle: the lightest (grow) or darkest (shrink) of each pixel is kept, which
// moves soft edges by parts of a pixel too.
function shiftedEdge(mask, shift) {
  const grey = new OffscreenCanvas(mask.width, mask.height);
  const context = grey.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, grey.width, grey.height);
  context.drawImage(mask, 0, 0);
  const still = new OffscreenCanvas(grey.width, grey.height);
  still.getContext("2d").drawImage(grey, 0, 0);
  context.globalCompositeOperation = shift > 0 ? "lighten" : "darken";
  for (let radius = Math.abs(shift); radius > 0.2; radius -= 2) {
    for (let k = 0; k < 16; k += 1) {
      context.drawImage(still, radius * Math.cos((k * Math.PI) / 8), radius * Math.sin((k * Math.PI) / 8));
    }
  }
  const image = context.getImageData(0, 0, grey.width, grey.height);
  for (let i = 0; i < image.data.length; i += 4) {
    image.data[i + 3] = image.data[i];
    image.data[i] = image.data[i + 1] = image.data[i + 2] = 255;
  }
  context.globalCompositeOperation = "source-over";
  context.putImageData(image, 0, 0);
  return grey;
}

// Blur of what lies behind alone: where the subject stands there is a hole that its surroundings
// fill, so that its colours don't glow around it.
function blurredPlate(picture, masks, scale) {
  const px = (state.look.blur ?? 12) * scale;
  const whole = sheet(scale);
  whole.lay(picture.bitmap);
  const holed = sheet(scale);
  holed.lay(picture.bitmap);
  holed.context.globalCompositeOperation = "destination-out";
  masks.forEach((mask) => holed.lay(mask));
  const filled = blurred(holed.canvas, px);
  const out = sheet(scale);
  out.context.drawImage(blurred(whole.canvas, px), 0, 0);
  for (let k = 0; k < 6; k += 1) out.context.drawImage(filled, 0, 0);
  return out;
}

function plateOf(picture, frame, objects, scale) {
  const { background, blur, pop, text } = state.look;
  const masks = objects.map(({ item }) => item.mask);
  const key = JSON.stringify([picture.serial, background, blur, pop, text, scale, file.serial,
    background === "blur" ? objects.map(({ item }) => item.serial) : 0]);
  if (plate.key === key) return plate.canvas;
  const out = background === "blur" ? blurredPlate(picture, masks, scale) : sheet(scale);
  if (background === "original") out.lay(picture.bitmap);
  if (pop && ["original", "blur"].includes(background)) fade(out, pop);
  plate = { key, canvas: out.canvas };
  return out.canvas;
}

function fade({ canvas, context }, amount) {
  context.globalCompositeOperation = "saturation";
  context.globalAlpha = clamp(amount, 0, 1);
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  context.globalCompositeOperation = "source-over";
}

const isMoving = (name) => /\.(mp4|mov|webm|mkv|m4v|avi)$/i.test(name);

// The picture or clip behind; null until it is there.
function behind(name, frame, again) {
  if (file.name !== name) loadBehind(name, again);
  if (!file.ready) return null;
  const { source } = file;
  if (isMoving(name) && source.duration) {
    const time = (frame / (state.project.fps || 25)) % source.duration;
    if (Math.abs(source.currentTime - time) > 0.02 && !source.seeking) source.currentTime = time;
  }
  return source;
}

function loadBehind(name, again) {
  const moving = isMoving(name) && isVideo();
  const source = moving ? document.createElement("video") : new Image();
  const mine = { name, source, ready: false, serial: name };
  file = mine;
  const ready = () => { mine.ready = true; again(); };
  const lost = () => { if (!mine.failed) { mine.failed = true; emit("look-error", "This background can't be shown here; the export may still use it."); } };
  if (moving) {
    source.muted = true;
    source.addEventListener("loadeddata", ready);
    source.addEventListener("seeked", again);
  } else source.addEventListener("load", ready);
  source.addEventListener("error", lost);
  source.src = api.backgroundUrl(state.project.id, name);
}

export function forgetBackground() { file = { name: null, source: null, ready: false }; }

function drawText(context, { words: all, x = 0.5, y = 0.5, size = 0.2, colour = "#ffffff" }) {
  const { width, height } = state.project;
  const lines = String(all).split("\n");
  const px = size * height;
  context.save();
  context.fillStyle = colour;
  // Close to the export's typeface in shape, line height and baseline.
  context.font = `${px}px "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif`;
  context.textAlign = "center";
  const line = px * 0.97 + 4;
  const first = y * height + px * 0.36 - ((lines.length - 1) / 2) * line;
  lines.forEach((words, i) => context.fillText(words, x * width, first + i * line));
  context.restore();
}

export function drawLook(context, picture, frame, objects, tools) {
  const { background = null, text, decontaminate = true } = state.look;
  const { width, height } = state.project;
  const scale = previewScale();
  if (background === null || background === "checker") tools.drawChecker();
  else if (background.startsWith("#")) {
    context.fillStyle = background;
    context.fillRect(0, 0, width, height);
  } else if (background.startsWith("file:")) {
    const source = behind(background.slice(5), frame, tools.again);
    if (source) tools.cover(context, source, width, height);
    else tools.drawChecker();
  } else if (background === "original" && !state.look.pop) tools.lay(context, picture.bitmap);
  else context.drawImage(plateOf(picture, frame, objects, scale), 0, 0, width, height);
  if (background !== null && text?.words) drawText(context, text);
  for (const { item } of objects) {
    tools.drawSubject((decontaminate && item.foreground) || picture.bitmap, edgeOf(item, scale));
  }
}
