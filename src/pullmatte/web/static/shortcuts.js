// Keys.

import { held, fit, oneToOne, panBy, zoomBy } from "./canvas.js";
import { openHelp, say } from "./dialogs.js";
import { byId } from "./dom.js";
import { openExport } from "./export.js";
import { resizeBrush, setTool, setView, swapSign } from "./options.js";
import * as playback from "./playback.js";
import { addObject, removeSelected } from "./prompts.js";
import { VIEWS } from "./render.js";
import { isVideo, redo, state, undo } from "./state.js";
import { step } from "./transport.js";

const tell = (word, label) => label && say(`${word}: ${label}.`);
export const doUndo = () => tell("Undone", undo());
export const doRedo = () => tell("Done again", redo());

const PLAIN = {
  v: () => setTool("pointer"), b: () => setTool("brush"), t: () => setTool("trimap"), h: () => setTool("pan"),
  "[": () => resizeBrush(0.85), "]": () => resizeBrush(1.18), x: swapSign, n: addObject,
  "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), 0: fit, f: oneToOne,
  delete: removeSelected, backspace: removeSelected,
};

const typing = (event) => event.target.closest("input:not([type=range], [type=checkbox], [type=color]), textarea, select");
const inDialog = () => document.querySelector("dialog[open]");

export function start() {
  document.addEventListener("keydown", down);
  document.addEventListener("keyup", up);
  window.addEventListener("blur", () => { held.space = false; byId("stage").classList.remove("can-pan"); });
}

function down(event) {
  if (inDialog() || typing(event)) return;
  if (event.key === "?") { event.preventDefault(); openHelp(); return; }
  if (!state.project) return;
  if (event.ctrlKey || event.metaKey) withControl(event);
  else if (!event.altKey) plain(event);
}

function withControl(event) {
  const key = event.key.toLowerCase();
  const run = key === "z" ? (event.shiftKey ? doRedo : doUndo) : { y: doRedo, e: openExport }[key];
  if (!run) return;
  event.preventDefault();
  run();
}

function plain(event) {
  const key = event.key.toLowerCase();
  if (key === " ") { space(event); return; }
  if (moved(event)) { event.preventDefault(); return; }
  const view = VIEWS[Number(key) - 1];
  const run = view ? () => setView(view[0]) : PLAIN[key];
  if (!run) return;
  event.preventDefault();
  run();
}

// Space on a button presses it; elsewhere it pans while held, and plays when tapped.
function space(event) {
  if (event.target.closest("button, summary, [role=tab], input, a")) return;
  event.preventDefault();
  if (event.repeat) return;
  Object.assign(held, { space: true, panned: false });
  byId("stage").classList.add("can-pan");
}

function up(event) {
  if (event.key !== " " || !held.space) return;
  held.space = false;
  byId("stage").classList.remove("can-pan");
  if (!held.panned) playback.toggle();
}

// Arrows step through a clip; on a photo they move the view.
function moved(event) {
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.target.closest("[role=tab], input, summary")) return false;
  if (isVideo()) {
    if (event.key === "Home") step(-Infinity);
    else if (event.key === "End") step(Infinity);
    else if (arrow?.[0]) step(arrow[0] * (event.shiftKey ? 10 : 1));
    else return false;
    return true;
  }
  if (!arrow || event.target !== byId("stage")) return false;
  panBy(-40 * arrow[0], -40 * arrow[1]);
  return true;
}
