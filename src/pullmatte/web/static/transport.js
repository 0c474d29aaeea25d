// The buttons of a clip: frames, playback, propagation, locks.

import { api } from "./api.js";
import { report, say } from "./dialogs.js";
import { byId, checkbox, el, icon, iconButton, setIcon, select } from "./dom.js";
import * as frames from "./frames.js";
import { loadAlphas, saveNow } from "./matte.js";
import { goTo } from "./navigation.js";
import * as playback from "./playback.js";
import { isVideo, on, emit, runningJob, state, set } from "./state.js";

const parts = {};

export function start() {
  parts.play = iconButton("play", "Play", () => playback.toggle());
  parts.number = el("input", { type: "number", min: 0, step: 1, value: 0, "data-testid": "frame-number", "aria-label": "Frame number",
    on: { change: () => { playback.stop(); goTo(parts.number.valueAsNumber || 0); } } });
  parts.count = el("span", { class: "quiet" });
  parts.todo = el("span", { class: "quiet" });
  parts.go = ["backward", "both", "forward"].map((direction) =>
    el("button", { type: "button", "data-testid": `propagate-${direction}`, title: `Propagate ${direction}`, "aria-label": `Propagate ${direction}`,
      on: { click: () => propagate(direction) } }, icon(direction), direction === "both" ? el("span", { text: "Propagate" }) : null));
  parts.stop = el("button", { type: "button", "data-testid": "propagate-stop", class: "danger", hidden: true, on: { click: cancel } }, icon("stop"), el("span", { text: "Stop" }));
  parts.follow = checkbox("Follow", state.options.follow, (checked) => { state.options.follow = checked; });
  parts.locks = lockForm();
  byId("transport").replaceChildren(
    el("div", { class: "group", role: "group", "aria-label": "Frames" },
      iconButton("first", "First frame", () => step(-Infinity)), iconButton("previous", "Frame before", () => step(-1)),
      parts.play, iconButton("next", "Frame after", () => step(1)), iconButton("last", "Last frame", () => step(Infinity))),
    parts.number, parts.count,
    el("div", { class: "group segmented", role: "group", "aria-label": "Propagate" }, ...parts.go),
    parts.stop, parts.follow, parts.todo, parts.locks);
  on("project frame playing", drawFrame);
  on("project job done objects server", drawJob);
}

export function step(by) {
  playback.stop();
  goTo(by === -Infinity ? 0 : by === Infinity ? state.project.frames - 1 : state.frame + by);
}

function drawFrame() {
  if (!isVideo()) return;
  if (document.activeElement !== parts.number || state.playing) parts.number.value = state.frame;
  parts.number.max = state.project.frames - 1;
  const seconds = state.frame / (state.project.fps || 25);
  parts.count.textContent = `of ${state.project.frames - 1} · ${seconds.toFixed(2)} s`;
  setIcon(parts.play, state.playing ? "pause" : "play");
  parts.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
}

function drawJob() {
  if (!isVideo()) return;
  const running = Boolean(runningJob("propagate"));
  parts.go.forEach((button) => { button.disabled = running || !state.prompts.length; });
  parts.stop.hidden = !running;
  const names = new Set(state.prompts.map((entry) => entry.object));
  const left = [...names].reduce((sum, name) => sum + state.project.frames - count(state.done[name]), 0);
  parts.todo.textContent = running || !names.size ? "" : left ? `${left} frames to do` : state.current ? "All frames done" : "Prompts changed since: propagate again";
  const chosen = parts.locks.object.value;
  parts.locks.object.replaceChildren(el("option", { value: "", text: "all objects" }),
    ...state.objects.map(({ name }) => el("option", { value: name, text: name })));
  parts.locks.object.value = state.objects.some(({ name }) => name === chosen) ? chosen : "";
}

const count = (ranges) => (ranges || []).reduce((sum, [first, last]) => sum + last - first + 1, 0);

async function propagate(direction) {
  playback.stop();
  try {
    await saveNow();
    const job = await api.propagate(state.project.id, direction);
    emit("job-seen", job);
    say(direction === "both" ? "Propagating both ways." : `Propagating ${direction}.`);
  } catch (error) {
    report(error);
  }
}

async function cancel() {
  const job = runningJob("propagate");
  try {
    if (job) emit("job-seen", await api.cancel(job.id));
  } catch (error) {
    report(error);
  }
}

// A frame of a running propagation has come.
let following = false;

export async function frameCame({ project, object, frame, coverage }) {
  if (project !== state.project?.id) return;
  (state.coverage[object] ??= {})[frame] = coverage;
  state.done = { ...state.done, [object]: withFrame(state.done[object] || [], frame) };
  frames.dropAlpha(object, frame);
  emit("done");
  if (state.playing) return;
  // Frames that come while one is being drawn are left out of the view, not of the result.
  if (state.options.follow && runningJob("propagate") && !following) {
    following = true;
    try {
      await frames.loadPicture(frame);
      await Promise.all(state.objects.map(({ name }) => frames.loadAlpha(name, frame)));
      if (state.project?.id === project && state.options.follow) goTo(frame);
    } catch (error) {
      report(error);
    } finally {
      following = false;
    }
  } else if (frame === state.frame) loadAlphas(frame, { ask: false });
}

function withFrame(ranges, n) {
  const all = [...ranges, [n, n]].sort((a, b) => a[0] - b[0]);
  const out = [];
  for (const [first, last] of all) {
    const end = out.at(-1);
    if (end && first <= end[1] + 1) end[1] = Math.max(end[1], last);
    else out.push([first, last]);
  }
  return out;
}

function lockForm() {
  const first = el("input", { type: "number", min: 0, step: 1, "aria-label": "First frame of the range", placeholder: "from" });
  const last = el("input", { type: "number", min: 0, step: 1, "aria-label": "Last frame of the range", placeholder: "to" });
  const object = select([["", "all objects"]], "", () => {}, { "aria-label": "Object to lock" });
  const run = (locked) => lock(object.value || null, first.valueAsNumber, last.valueAsNumber, locked);
  const node = el("details", { class: "locks" }, el("summary", {}, icon("lock"), el("span", { text: "Lock" })),
    el("div", { class: "pop" },
      el("p", { class: "quiet", text: "Locked frames never change. Without a range it is the current frame." }),
      el("div", { class: "row" }, first, last, object),
      el("div", { class: "row" },
        el("button", { type: "button", on: { click: () => run(true) } }, icon("lock"), el("span", { text: "Lock" })),
        el("button", { type: "button", on: { click: () => run(false) } }, icon("unlock"), el("span", { text: "Unlock" })))));
  node.object = object;
  return node;
}

async function lock(object, from, to, locked) {
  const first = Number.isNaN(from) ? (Number.isNaN(to) ? state.frame : 0) : from;
  const last = Number.isNaN(to) ? (Number.isNaN(from) ? state.frame : state.project.frames - 1) : to;
  try {
    const answer = await api.lock(state.project.id, { object, first: Math.min(first, last), last: Math.max(first, last), locked });
    set("done", { locked: answer.locked });
    say(`Frames ${first} to ${last} ${locked ? "locked" : "unlocked"}.`);
  } catch (error) {
    report(error);
  }
}
