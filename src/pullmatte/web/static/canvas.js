// The viewport: zoom and pan, pointers to image coordinates, gestures.

import { byId, clamp } from "./dom.js";
import { emit, on, state } from "./state.js";

export const viewport = { scale: 1, x: 0, y: 0, width: 0, height: 0, ratio: 1, fitted: true };

const stage = byId("stage");
const pointers = new Map();
let gesture = null;
let currentTool = () => null;
export const held = { space: false, panned: false };

export function start(tool) {
  currentTool = tool;
  new ResizeObserver(resize).observe(stage);
  stage.addEventListener("pointerdown", down);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", (event) => up(event, true));
  stage.addEventListener("pointerleave", () => emit("hover", null));
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  byId("zoom-in").addEventListener("click", () => zoomBy(1.25));
  byId("zoom-out").addEventListener("click", () => zoomBy(0.8));
  byId("zoom-fit").addEventListener("click", fit);
  byId("zoom-one").addEventListener("click", oneToOne);
  on("project", () => { if (state.project) { resize(); fit(); } });
}

function resize() {
  const box = stage.getBoundingClientRect();
  if (!box.width || !box.height) return;
  const middle = toImageExact(box.left + viewport.width / 2, box.top + viewport.height / 2);
  Object.assign(viewport, { width: box.width, height: box.height, ratio: window.devicePixelRatio || 1 });
  for (const id of ["canvas", "marks"]) {
    const canvas = byId(id);
    canvas.width = Math.round(box.width * viewport.ratio);
    canvas.height = Math.round(box.height * viewport.ratio);
  }
  if (!state.project) return;
  if (viewport.fitted) fit();
  else {
    viewport.x = viewport.width / 2 - middle.x * viewport.scale;
    viewport.y = viewport.height / 2 - middle.y * viewport.scale;
    changed();
  }
}

function changed() {
  byId("zoom-value").textContent = `${Math.round(viewport.scale * viewport.ratio * 100)} %`;
  emit("viewport");
}

export function fit() {
  const { width, height } = state.project;
  const margin = viewport.width > 600 ? 24 : 8;
  const scale = Math.min((viewport.width - 2 * margin) / width, (viewport.height - 2 * margin) / height);
  viewport.scale = clamp(scale, 0.005, 4);
  centre();
  viewport.fitted = true;
  changed();
}

function centre() {
  viewport.x = (viewport.width - state.project.width * viewport.scale) / 2;
  viewport.y = (viewport.height - state.project.height * viewport.scale) / 2;
}

export function oneToOne() {
  zoomAt(viewport.width / 2, viewport.height / 2, 1 / viewport.ratio / viewport.scale);
}

export function zoomBy(factor) {
  zoomAt(viewport.width / 2, viewport.height / 2, factor);
}

// (x, y) in the stage stays where it is.
function zoomAt(x, y, factor) {
  if (!state.project) return;
  const scale = clamp(viewport.scale * factor, 0.005, 64);
  const ratio = scale / viewport.scale;
  viewport.x = x - (x - viewport.x) * ratio;
  viewport.y = y - (y - viewport.y) * ratio;
  viewport.scale = scale;
  viewport.fitted = false;
  keepInSight();
}

export function panBy(dx, dy) {
  viewport.x += dx;
  viewport.y += dy;
  viewport.fitted = false;
  keepInSight();
}

function keepInSight() {
  const { width, height } = state.project;
  const rest = 40;
  viewport.x = clamp(viewport.x, rest - width * viewport.scale, viewport.width - rest);
  viewport.y = clamp(viewport.y, rest - height * viewport.scale, viewport.height - rest);
  changed();
}

function toImageExact(clientX, clientY) {
  const box = stage.getBoundingClientRect();
  return { x: (clientX - box.left - viewport.x) / viewport.scale, y: (clientY - box.top - viewport.y) / viewport.scale };
}

// The middle of an image pixel, in client coordinates.
export function imageToClient(x, y) {
  const box = stage.getBoundingClientRect();
  return {
    x: box.left + viewport.x + (x + 0.5) * viewport.scale,
    y: box.top + viewport.y + (y + 0.5) * viewport.scale,
  };
}

export function isInside({ x, y }) {
  return x >= 0 && y >= 0 && x < state.project.width && y < state.project.height;
}

function wheel(event) {
  if (!state.project) return;
  event.preventDefault();
  const box = stage.getBoundingClientRect();
  const step = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
  zoomAt(event.clientX - box.left, event.clientY - box.top, Math.exp(-clamp(step, -120, 120) / (event.ctrlKey ? 120 : 400)));
}

// The compare border lets pans through.
const isControl = (event) => event.target.closest("[role=slider]") && !pans(event);
const pans = (event) => event.button === 1 || held.space;

function down(event) {
  if (!state.project || isControl(event)) return;
  stage.focus({ preventScroll: true });
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 2) {
    if (gesture?.kind === "tool") gesture.tool.cancel?.();
    gesture = { kind: "pinch", last: pinch() };
  } else if (pointers.size === 1) {
    if (pans(event) || state.tool === "pan") {
      event.preventDefault();
      gesture = { kind: "pan", x: event.clientX, y: event.clientY };
      stage.classList.add("panning");
      held.panned = held.space;
    } else {
      const tool = currentTool();
      gesture = { kind: "tool", tool };
      tool?.down(toImageExact(event.clientX, event.clientY), event);
    }
  }
}

function move(event) {
  if (!state.project) return;
  const point = toImageExact(event.clientX, event.clientY);
  if (!pointers.has(event.pointerId)) {
    emit("hover", { ...point, type: event.pointerType });
    return;
  }
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (gesture?.kind === "pinch" && pointers.size >= 2) followPinch();
  else if (gesture?.kind === "pan") {
    panBy(event.clientX - gesture.x, event.clientY - gesture.y);
    Object.assign(gesture, { x: event.clientX, y: event.clientY });
  } else if (gesture?.kind === "tool") {
    emit("hover", { ...point, type: event.pointerType });
    gesture.tool?.move?.(point, event);
  }
}

function up(event, cancelled = false) {
  if (!pointers.delete(event.pointerId)) return;
  if (gesture?.kind === "tool") {
    if (cancelled) gesture.tool?.cancel?.();
    else gesture.tool?.up?.(toImageExact(event.clientX, event.clientY), event);
  }
  stage.classList.remove("panning");
  // The finger that is left after a pinch must not start to draw.
  gesture = gesture?.kind === "pinch" && pointers.size ? { kind: "none" } : null;
}

function pinch() {
  const [a, b] = [...pointers.values()];
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.hypot(a.x - b.x, a.y - b.y) };
}

function followPinch() {
  const now = pinch();
  const box = stage.getBoundingClientRect();
  panBy(now.x - gesture.last.x, now.y - gesture.last.y);
  zoomAt(now.x - box.left, now.y - box.top, now.distance / Math.max(gesture.last.distance, 1));
  gesture.last = now;
}
