// The timeline of a clip: thumbnails, playhead, and each object's prompts, coverage, done and locked frames.

import { api } from "./api.js";
import { byId, clamp, debounce } from "./dom.js";
import { goTo } from "./navigation.js";
import { isVideo, on, state } from "./state.js";
import { stop } from "./playback.js";

const track = byId("track");
const canvas = byId("track-canvas");
const context = canvas.getContext("2d");
const THUMB = 48;
const LANE = 20;
let thumbs = new Map();
let wanted = false;

export function start() {
  on("project frame prompts objects done playing theme", schedule);
  on("project", () => {
    byId("timeline").hidden = !isVideo();
    thumbs.forEach((bitmap) => bitmap?.close());
    thumbs = new Map();
    loadThumbs();
  });
  on("objects prompts", resize);
  new ResizeObserver(resize).observe(track);
  track.addEventListener("pointerdown", (event) => {
    track.setPointerCapture(event.pointerId);
    stop();
    scrub(event);
  });
  track.addEventListener("pointermove", (event) => track.hasPointerCapture(event.pointerId) && scrub(event));
}

const frameAt = (x) => Math.floor((x / track.clientWidth) * state.project.frames);
const left = (n) => (n / state.project.frames) * track.clientWidth;

function scrub(event) {
  const box = track.getBoundingClientRect();
  goTo(clamp(frameAt(event.clientX - box.left), 0, state.project.frames - 1));
}

function resize() {
  if (!isVideo() || !track.clientWidth) return;
  const ratio = window.devicePixelRatio || 1;
  const height = THUMB + LANE * Math.max(1, state.objects.length);
  canvas.style.height = `${height}px`;
  const size = [Math.round(track.clientWidth * ratio), Math.round(height * ratio)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    [canvas.width, canvas.height] = size;
    loadThumbs();
  }
  schedule();
}

function schedule() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => { wanted = false; if (isVideo()) draw(); });
}

const thumbWidth = () => Math.max(24, Math.round((THUMB * state.project.width) / state.project.height));

function thumbFrames() {
  const { frames } = state.project;
  const count = Math.max(1, Math.min(frames, Math.ceil(track.clientWidth / thumbWidth())));
  return Array.from({ length: count }, (_, i) => Math.min(frames - 1, Math.floor(((i + 0.5) * frames) / count)));
}

// One after the other, so that they don't stand in the way of the frame that is asked for.
const loadThumbs = debounce(async () => {
  const { project } = state;
  if (!isVideo()) return;
  for (const n of thumbFrames()) {
    if (state.project !== project) return;
    if (thumbs.has(n)) continue;
    thumbs.set(n, null);
    try {
      const bitmap = await createImageBitmap(await api.blob(api.frameUrl(project.id, n, THUMB)));
      if (state.project !== project) { bitmap.close(); return; }
      thumbs.set(n, bitmap);
      schedule();
    } catch (error) {
      thumbs.delete(n);
      console.warn(error);
      return;
    }
  }
}, 200);

function colours() {
  const style = getComputedStyle(document.body);
  return Object.fromEntries(["text", "quiet", "line", "sunk", "accent", "todo"].map((name) =>
    [name, style.getPropertyValue(`--${name}`).trim()]));
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const paint = colours();
  const width = track.clientWidth;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, canvas.height);
  context.fillStyle = paint.sunk;
  context.fillRect(0, 0, width, THUMB);
  drawThumbs(width);
  state.objects.forEach((object, i) => drawLane(object, THUMB + i * LANE, paint));
  drawPlayhead(paint);
  track.setAttribute("aria-valuemax", state.project.frames - 1);
  track.setAttribute("aria-valuenow", state.frame);
  track.setAttribute("aria-valuetext", spoken());
}

function spoken() {
  const n = state.frame;
  const words = state.objects.map(({ name }) => {
    const marks = [
      state.prompts.some((entry) => entry.object === name && entry.frame === n) && "has prompts",
      within(state.done[name], n) ? "done" : "to do", within(state.locked[name], n) && "locked",
    ].filter(Boolean);
    return `${name}: ${marks.join(", ")}`;
  });
  return `frame ${n} of ${state.project.frames - 1}; ${words.join("; ")}`;
}

export const within = (ranges, n) => (ranges || []).some(([first, last]) => n >= first && n <= last);

function drawThumbs(width) {
  const list = thumbFrames();
  const step = width / list.length;
  list.forEach((n, i) => {
    const bitmap = thumbs.get(n);
    if (!bitmap) return;
    context.save();
    context.beginPath();
    context.rect(i * step, 0, step - 1, THUMB);
    context.clip();
    const wide = (bitmap.width / bitmap.height) * THUMB;
    context.drawImage(bitmap, i * step + (step - wide) / 2, 0, wide, THUMB);
    context.restore();
  });
}

function drawLane({ name, colour }, top, paint) {
  const bottom = top + LANE - 2;
  context.fillStyle = paint.sunk;
  context.fillRect(0, top + 2, track.clientWidth, LANE - 4);
  context.fillStyle = paint.todo;
  context.fillRect(0, bottom - 3, track.clientWidth, 3);
  context.fillStyle = colour;
  for (const [first, last] of state.done[name] || []) {
    context.fillRect(left(first), bottom - 3, Math.max(1, left(last + 1) - left(first)), 3);
  }
  drawCoverage(name, colour, top + 2, LANE - 8);
  drawLocks(name, top, paint);
  drawPrompted(name, colour, top);
}

function drawCoverage(name, colour, top, height) {
  const entries = Object.entries(state.coverage[name] || {});
  if (!entries.length) return;
  // The largest share fills the lane, as a small object would not be seen otherwise.
  const most = Math.max(0.001, ...entries.map(([, share]) => share));
  context.save();
  context.globalAlpha = 0.45;
  context.fillStyle = colour;
  for (const [n, share] of entries) {
    const tall = (share / most) * height;
    context.fillRect(left(Number(n)), top + height - tall, Math.max(1, left(Number(n) + 1) - left(Number(n))), tall);
  }
  context.restore();
}

function drawLocks(name, top, paint) {
  context.save();
  context.strokeStyle = paint.text;
  context.lineWidth = 1;
  for (const [first, last] of state.locked[name] || []) {
    const from = left(first);
    const to = Math.max(from + 2, left(last + 1));
    context.save();
    context.beginPath();
    context.rect(from, top + 2, to - from, LANE - 4);
    context.stroke();
    context.clip();
    context.globalAlpha = 0.5;
    context.beginPath();
    for (let x = from - LANE; x < to; x += 5) { context.moveTo(x, top + LANE); context.lineTo(x + LANE, top); }
    context.stroke();
    context.restore();
  }
  context.restore();
}

function drawPrompted(name, colour, top) {
  for (const { object, frame } of state.prompts) {
    if (object !== name) continue;
    const x = (left(frame) + left(frame + 1)) / 2;
    const y = top + LANE / 2;
    context.beginPath();
    context.moveTo(x, y - 6);
    context.lineTo(x + 5, y);
    context.lineTo(x, y + 6);
    context.lineTo(x - 5, y);
    context.closePath();
    context.fillStyle = colour;
    context.fill();
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.stroke();
  }
}

function drawPlayhead(paint) {
  const x = left(state.frame);
  const width = Math.max(2, left(state.frame + 1) - x);
  const height = THUMB + LANE * Math.max(1, state.objects.length);
  context.fillStyle = paint.accent;
  context.globalAlpha = 0.25;
  context.fillRect(x, 0, width, height);
  context.globalAlpha = 1;
  context.fillRect(x + width / 2 - 1, 0, 2, height);
  context.beginPath();
  context.moveTo(x + width / 2 - 6, 0);
  context.lineTo(x + width / 2 + 6, 0);
  context.lineTo(x + width / 2, 8);
  context.fill();
}
