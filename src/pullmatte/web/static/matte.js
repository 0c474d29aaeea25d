// Asks for mattes after changes of the prompts, drops answers that were overtaken, measures the wait.

import { api } from "./api.js";
import { report, say } from "./dialogs.js";
import * as frames from "./frames.js";
import { hasPrompts, entryOf, promptFile } from "./prompts.js";
import { emit, isVideo, on, state } from "./state.js";

const pending = new Map();
let running = null;
let loading = 0;
let unsaved = false;
let lost = false;
let savedObjects = null;
// A frame whose matte failed isn't asked for again until something changes.
const failed = new Set();
let painted = () => Promise.resolve();

export const isBusy = () => Boolean(running || pending.size);

export function start(waitForPaint) {
  painted = waitForPaint;
  on("prompts", promptsChanged);
  on("project", () => { cancelAll(); failed.clear(); savedObjects = null; });
}

// Nothing here that the server doesn't know.
export const isSaved = () => !unsaved && !isBusy();

// Before anything that takes what is saved: waits for saves that are on their way.
export async function saveNow() {
  if (unsaved || lost) await savePrompts();
  else await saving;
}

const isSettled = () =>
  Boolean(state.project && frames.picture(state.frame) && !isBusy() && !loading && !unsaved);

export function updateReady() {
  if (!isSettled()) document.body.dataset.ready = "false";
  else if (document.body.dataset.ready !== "true") painted().then(() => { if (isSettled()) document.body.dataset.ready = "true"; });
  emit("busy", isBusy());
}

export function cancelAll() {
  pending.clear();
  running?.controller.abort();
  running = null;
}

function enqueue(object, frame, startedAt) {
  pending.set(`${frame}/${object}`, { object, frame, startedAt });
  if (running?.object === object) running.controller.abort();
  updateReady();
  pump();
}

function promptsChanged({ changed, startedAt, objectsChanged }) {
  // The first object of a project exists here alone until it is prompted.
  if (objectsChanged || state.objects !== savedObjects) saveObjects();
  const names = new Set(changed.map((pair) => pair.object));
  unsaved = unsaved || changed.length > 0;
  if (isVideo() && changed.length) { state.current = false; emit("done"); }
  for (const name of names) {
    failed.delete(`${state.frame}/${name}`);
    if (hasPrompts(name) && state.objects.some((object) => object.name === name)) enqueue(name, state.frame, startedAt);
    else withdraw(name);
  }
  if (unsaved && !isBusy()) savePrompts().catch(report);
  updateReady();
}

function withdraw(name) {
  for (const [key, task] of pending) if (task.object === name) pending.delete(key);
  if (running?.object === name) running.controller.abort();
  frames.dropObject(name, state.frame);
  emit("matte", { object: name, frame: state.frame });
}

// Saves of a kind follow one another, so that an older state never lands on a newer one. A matte waits
// for prompts that are on their way, but not for the objects' colours.
let saving = Promise.resolve();
let savingObjects = Promise.resolve();

function inTurn(run) {
  const mine = saving.then(run);
  saving = mine.catch(() => {});
  return mine;
}

// What the server hasn't heard is sent again once it answers; what it has refused isn't.
function saveFailed(error) {
  if (!error.status) { unsaved = lost = true; savedObjects = null; }
}

function saveObjects() {
  const { id } = state.project;
  const { objects } = state;
  savedObjects = objects;
  savingObjects = savingObjects.then(() => api.update(id, { objects })).catch((error) => { saveFailed(error); report(error); });
}

// After a time without the server.
export function saveWhatWasLost() {
  if (!lost || !state.project) return;
  failed.clear();
  if (state.objects !== savedObjects) saveObjects();
  savePrompts().catch(report);
}

export function savePrompts() {
  unsaved = lost = false;
  const { id } = state.project;
  const file = promptFile();
  return inTurn(async () => {
    const answer = await api.savePrompts(id, file);
    if (state.project?.id === id) { state.current = answer.current; emit("done"); }
  }).catch((error) => { saveFailed(error); throw error; }).finally(updateReady);
}

function next() {
  const tasks = [...pending.values()];
  return tasks.find((task) => task.object === state.active && task.frame === state.frame) ||
    tasks.find((task) => task.frame === state.frame) || tasks[0];
}

async function pump() {
  if (running || !pending.size) return;
  const task = next();
  pending.delete(`${task.frame}/${task.object}`);
  running = { ...task, controller: new AbortController() };
  const mine = running;
  updateReady();
  try {
    await saving;
    if (mine.controller.signal.aborted) return;
    await ask(mine);
  } catch (error) {
    if (error.name !== "AbortError") {
      failed.add(`${task.frame}/${task.object}`);
      // What the server has refused is not sent again; what it hasn't heard is, once it answers.
      if (error.status) unsaved = false;
      else lost = unsaved;
      report(error);
    }
  } finally {
    if (running === mine) running = null;
    if (unsaved && !lost && !isBusy() && state.project) savePrompts().catch(report);
    updateReady();
    pump();
  }
}

async function ask(task) {
  const { signal } = task.controller;
  const sent = state.prompts;
  const body = { object: task.object, frame: task.frame };
  if (unsaved) body.prompts = promptFile();
  const answer = await api.matte(state.project.id, body, signal);
  if (sent === state.prompts) unsaved = false;
  if (signal.aborted) return;
  const item = await frames.putAlpha(task.object, task.frame, answer.blob, { keepOld: true });
  if (!item || signal.aborted) return;
  (state.coverage[task.object] ??= {})[task.frame] = answer.coverage || item.mean;
  emit("matte", { object: task.object, frame: task.frame });
  emit("done");
  await painted();
  document.body.dataset.matteMs = String(Math.round(performance.now() - task.startedAt));
  document.body.dataset.modelSeconds = String(answer.seconds);
  say(`Matte of “${task.object}” in ${answer.seconds.toFixed(2)} s (model).`);
}

// Not ready meanwhile, such as while a painted layer is packed.
export async function during(work) {
  loading += 1;
  updateReady();
  try {
    return await work;
  } finally {
    loading -= 1;
    updateReady();
  }
}

// All objects anew, such as after the opacity was switched.
export function askAll(startedAt = performance.now()) {
  for (const { name } of state.objects) if (hasPrompts(name)) enqueue(name, state.frame, startedAt);
}

// What is known of a frame; prompted objects without a result are asked for.
export async function loadAlphas(n, { ask: mayAsk = true } = {}) {
  const project = state.project.id;
  try {
    await during(Promise.all(state.objects.filter(({ name }) => hasPrompts(name)).map(async ({ name }) => {
      const item = await frames.loadAlpha(name, n);
      if (state.project?.id !== project || state.frame !== n) return;
      if (item) emit("matte", { object: name, frame: n, loaded: true });
      else if (mayAsk && entryOf(name, n) && !failed.has(`${n}/${name}`) && !isAsked(name, n)) {
        enqueue(name, n, performance.now());
      }
    })));
  } catch (error) {
    report(error);
  }
}

const isAsked = (object, n) => pending.has(`${n}/${object}`) || (running?.object === object && running.frame === n);
