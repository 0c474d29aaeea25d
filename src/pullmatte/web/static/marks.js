// What is drawn over the picture: prompts, the painted layer, the brush's outline, the compare border.

import { held, viewport } from "./canvas.js";
import { byId } from "./dom.js";
import { emit, objectNamed, on, state, visibleObjects } from "./state.js";
import { draft, layer, rasterKind } from "./tools.js";

const canvas = byId("marks");
const context = canvas.getContext("2d");
const RESULTS = ["composite", "compare"];
let wanted = false;

export function start() {
  on("project frame prompts objects view tool viewport marks selected options", () => {
    if (wanted) return;
    wanted = true;
    requestAnimationFrame(() => { wanted = false; draw(); });
  });
  startDivider();
}

function draw() {
  const { ratio, scale, x, y } = viewport;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  placeDivider();
  if (!state.project || state.playing) return;
  drawLayer(ratio, scale, x, y);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  // Away from the picture nothing stands in the way of judging the result.
  if (!RESULTS.includes(state.view) || draft.hover) for (const object of visibleObjects()) drawPrompts(object);
  if (draft.box) drawBox(draft.box, colourOf(state.active), true);
  drawBrush();
}

const colourOf = (name) => objectNamed(name)?.colour || "#888888";
const toStage = (px, py) => [viewport.x + px * viewport.scale, viewport.y + py * viewport.scale];

function drawLayer(ratio, scale, x, y) {
  const kind = rasterKind();
  const painted = kind && layer(kind);
  if (!painted || !["overlay", "original"].includes(state.view)) return;
  context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
  context.imageSmoothingEnabled = scale * ratio <= 2;
  context.drawImage(painted.canvas, 0, 0);
}

function drawPrompts({ name, colour }) {
  const entry = state.prompts.find((other) => other.object === name && other.frame === state.frame);
  if (!entry) return;
  const active = name === state.active;
  context.globalAlpha = active ? 1 : 0.55;
  if (entry.box && !(active && draft.box)) drawBox(entry.box, colour, active, isSelected(entry, "box"));
  (entry.points || []).forEach(([px, py, label], index) => {
    const moved = draft.point?.entry === entry && draft.point.index === index ? draft.point.at : [px, py];
    drawPoint(...toStage(moved[0] + 0.5, moved[1] + 0.5), label, colour, isSelected(entry, "points", index));
  });
  context.globalAlpha = 1;
}

function isSelected(entry, part, index) {
  const { selected } = state;
  return selected?.entry === entry && selected.part === part && (part !== "points" || selected.index === index);
}

// Include and exclude differ by shape as well, not by colour alone.
function drawPoint(px, py, label, colour, selected) {
  const radius = selected ? 9 : 7;
  context.beginPath();
  context.arc(px, py, radius + 2, 0, 2 * Math.PI);
  context.fillStyle = selected ? "#ffd34d" : "#111";
  context.fill();
  context.beginPath();
  context.arc(px, py, radius + 0.8, 0, 2 * Math.PI);
  context.fillStyle = "#fff";
  context.fill();
  context.beginPath();
  context.arc(px, py, radius - 1, 0, 2 * Math.PI);
  context.fillStyle = label ? colour : "#1a1a1a";
  context.fill();
  context.strokeStyle = "#fff";
  context.lineWidth = 1.8;
  context.beginPath();
  context.moveTo(px - 3.2, py);
  context.lineTo(px + 3.2, py);
  if (label) {
    context.moveTo(px, py - 3.2);
    context.lineTo(px, py + 3.2);
  }
  context.stroke();
}

function drawBox([x0, y0, x1, y1], colour, active, selected) {
  const [left, top] = toStage(x0, y0);
  const [right, bottom] = toStage(x1, y1);
  const outline = [left, top, right - left, bottom - top];
  context.lineWidth = 4;
  context.strokeStyle = "rgb(0 0 0 / 60%)";
  context.strokeRect(...outline);
  context.lineWidth = 2;
  context.strokeStyle = selected ? "#ffd34d" : colour;
  context.strokeRect(...outline);
  context.lineWidth = 1;
  context.strokeStyle = "#fff";
  if (!active) return;
  for (const [cx, cy] of [[left, top], [right, top], [left, bottom], [right, bottom]]) {
    context.fillStyle = colour;
    context.fillRect(cx - 4, cy - 4, 8, 8);
    context.strokeRect(cx - 4, cy - 4, 8, 8);
  }
}

function drawBrush() {
  if (!rasterKind() || !draft.hover) return;
  const [px, py] = toStage(draft.hover.x, draft.hover.y);
  for (const [width, colour] of [[3, "#000"], [1.2, "#fff"]]) {
    context.beginPath();
    context.arc(px, py, Math.max(1.5, (state.options.brush / 2) * viewport.scale), 0, 2 * Math.PI);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
}

const divider = byId("divider");

function placeDivider() {
  const shown = Boolean(state.project) && state.view === "compare";
  divider.hidden = !shown;
  if (!shown) return;
  const { width, height } = state.project;
  const [px, top] = toStage(width * state.options.divider, 0);
  const bottom = toStage(0, height)[1];
  divider.style.left = `${px}px`;
  divider.style.top = `${Math.max(0, top)}px`;
  divider.style.height = `${Math.min(viewport.height, bottom) - Math.max(0, top)}px`;
  divider.setAttribute("aria-valuenow", Math.round(state.options.divider * 100));
}

function moveDivider(share) {
  state.options.divider = Math.min(Math.max(share, 0), 1);
  emit("options");
}

function startDivider() {
  divider.addEventListener("pointerdown", (event) => {
    if (held.space || event.button !== 0) return;
    event.stopPropagation();
    divider.setPointerCapture(event.pointerId);
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const left = byId("stage").getBoundingClientRect().left;
    moveDivider((event.clientX - left - viewport.x) / viewport.scale / state.project.width);
  });
  divider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    moveDivider(state.options.divider + step);
  });
}

