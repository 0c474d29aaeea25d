// Which frame is shown: loads its picture and alphas, and the foregrounds once idle.

import { report } from "./dialogs.js";
import { clamp, debounce } from "./dom.js";
import * as frames from "./frames.js";
import { isBusy, loadAlphas, updateReady } from "./matte.js";
import { emit, on, runningJob, set, state, visibleObjects } from "./state.js";

let loadingFrame = false;

export function start() {
  on("go", (n) => goTo(n));
  on("matte view objects look", idle);
  on("prompts", () => idle());
}

// The address follows, so that a reload comes back to the same frame.
const rememberFrame = debounce(() => {
  if (state.project) history.replaceState(null, "", `#/project/${state.project.id}/frame/${state.frame}`);
}, 150);

export function goTo(n) {
  if (!state.project) return;
  const frame = clamp(Math.round(n) || 0, 0, state.project.frames - 1);
  if (frame !== state.frame) set("frame", { frame, selected: keepSelected(frame) });
  rememberFrame();
  show();
}

const keepSelected = (frame) => (state.selected?.entry.frame === frame ? state.selected : null);

// While one frame is on its way only the newest wish is remembered, so that scrubbing keeps up.
export async function show() {
  updateReady();
  if (loadingFrame) return;
  loadingFrame = true;
  try {
    for (let wanted = -1; state.project && wanted !== state.frame;) {
      wanted = state.frame;
      await frames.loadPicture(wanted);
      emit("picture");
    }
  } catch (error) {
    report(error);
  } finally {
    loadingFrame = false;
  }
  if (!state.project || state.playing) return;
  await loadAlphas(state.frame, { ask: !runningJob("propagate") });
  updateReady();
  idle();
}

const SHOWS_COLOURS = ["cutout", "composite", "compare"];

const idle = debounce(async () => {
  const { project, frame } = state;
  if (!project || state.playing || isBusy() || runningJob("propagate") || !SHOWS_COLOURS.includes(state.view)) return;
  if (state.look.decontaminate === false && state.view === "composite") return;
  for (const { name } of visibleObjects()) {
    if (state.frame !== frame || state.project !== project || isBusy()) return;
    try {
      if (await frames.loadForeground(name, frame)) emit("matte", { object: name, frame, foreground: true });
    } catch (error) {
      // The cut-out stays in the picture's own colours, which is still a cut-out.
      console.warn(error);
      return;
    }
  }
}, 300);
