// Plays the current view at the clip's rate; frames that come too late are left out.

import { report, say } from "./dialogs.js";
import { viewport } from "./canvas.js";
import { clamp } from "./dom.js";
import * as frames from "./frames.js";
import { goTo } from "./navigation.js";
import { hasPrompts } from "./prompts.js";
import { emit, isVideo, set, state, visibleObjects } from "./state.js";

const AHEAD = 12;
const AT_ONCE = 4;
let run = null;

export function toggle() {
  if (!isVideo()) return;
  if (run) stop();
  else play();
}

export function stop() {
  if (!run) return;
  run = null;
  set("playing", { playing: false });
  emit("view");
  goTo(state.frame);
}

function play() {
  if (state.frame >= state.project.frames - 1) set("frame", { frame: 0 });
  const fps = state.project.fps || 25;
  run = { from: state.frame, since: performance.now(), fps, loading: new Map(), shown: [], drawn: -1, project: state.project };
  set("playing", { playing: true });
  tick();
}

const needsAlpha = () => state.view !== "original";
const objectsShown = () => visibleObjects().filter(({ name }) => hasPrompts(name));

// Fetched no larger than they are shown.
function height() {
  const wanted = Math.ceil((state.project.height * viewport.scale * viewport.ratio) / 90) * 90;
  return clamp(wanted, 180, state.project.height);
}

function isThere(n) {
  if (!frames.picture(n)) return false;
  return !needsAlpha() || objectsShown().every(({ name }) => frames.alpha(name, n) || frames.isMissing(name, n));
}

function prefetch(n) {
  const mine = run;
  if (mine.loading.has(n) || isThere(n)) return;
  const wanted = [frames.loadPicture(n, height())];
  if (needsAlpha()) wanted.push(...objectsShown().map(({ name }) => frames.loadAlpha(name, n)));
  mine.loading.set(n, Promise.all(wanted)
    .catch((error) => { if (run === mine) { stop(); report(error); } })
    .finally(() => mine.loading.delete(n)));
}

function fill(from) {
  const last = Math.min(state.project.frames - 1, from + AHEAD);
  for (let n = from; n <= last && run && run.loading.size < AT_ONCE; n += 1) prefetch(n);
}

function tick() {
  if (!run) return;
  if (state.project !== run.project) { run = null; set("playing", { playing: false }); return; }
  const now = performance.now();
  const last = state.project.frames - 1;
  const due = Math.min(last, run.from + Math.floor(((now - run.since) * run.fps) / 1000));
  let n = due;
  while (n > run.drawn && n > state.frame && !isThere(n)) n -= 1;
  if (isThere(n) && n !== run.drawn) {
    run.drawn = n;
    run.shown = [...run.shown.filter((time) => now - time < 2000), now];
    set("frame", { frame: n });
    tellRate();
  } else if (due - Math.max(run.drawn, run.from) > run.fps) {
    // Nothing for a second: wait with the clock instead of jumping ahead.
    run.from = Math.max(run.drawn, run.from);
    run.since = now;
  }
  if (run.drawn >= last) { stop(); return; }
  fill(Math.max(run.drawn + 1, Math.min(due, run.drawn + AHEAD)));
  requestAnimationFrame(tick);
}

function tellRate() {
  const { shown, fps } = run;
  if (shown.length < 6) return;
  const real = (shown.length - 1) / ((shown.at(-1) - shown[0]) / 1000);
  say(`Playing ${real.toFixed(1)} of ${fps.toFixed(2).replace(/\.?0+$/, "")} frames a second.`);
}
