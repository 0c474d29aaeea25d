// Start: puts the parts together, opens projects by the address, listens to the server.

import { api, listen } from "./api.js";
import { imageToClient, start as startViewport } from "./canvas.js";
import { openHelp, report, say, toast } from "./dialogs.js";
import { byId, debounce, icon, loadIcons } from "./dom.js";
import * as exporting from "./export.js";
import * as frames from "./frames.js";
import * as look from "./look.js";
import * as marks from "./marks.js";
import * as matte from "./matte.js";
import * as navigation from "./navigation.js";
import * as objects from "./objects.js";
import * as options from "./options.js";
import * as playback from "./playback.js";
import * as projects from "./projects.js";
import { freshObject, joined } from "./prompts.js";
import * as render from "./render.js";
import { doRedo, doUndo, start as startShortcuts } from "./shortcuts.js";
import { canRedo, canUndo, emit, isVideo, on, resetHistory, runningJob, set, state } from "./state.js";
import * as status from "./status.js";
import { start as startTabs, startTheme } from "./tabs.js";
import * as timeline from "./timeline.js";
import * as tools from "./tools.js";
import * as transport from "./transport.js";

for (const button of document.querySelectorAll("[data-icon]")) button.prepend(icon(button.dataset.icon));
window.studio = { state, imageToClient };

function begin() {
  startTheme();
  startTabs();
  startViewport(tools.currentTool);
  for (const part of [render, tools, marks, objects, options, look, navigation, timeline, transport, exporting, projects, status]) part.start();
  matte.start(render.painted);
  startShortcuts();
  byId("undo").addEventListener("click", doUndo);
  byId("redo").addEventListener("click", doRedo);
  byId("help-open").addEventListener("click", openHelp);
  byId("home").addEventListener("click", () => { location.hash = ""; });
  on("history", () => { byId("undo").disabled = !canUndo(); byId("redo").disabled = !canRedo(); });
  on("prompts", returnToChange);
  on("matte", ({ loaded, foreground }) => { if (isVideo() && !loaded && !foreground) laterRefresh(); });
  on("busy", (busy) => { byId("busy").hidden = !busy; });
  on("job-seen", jobCame);
  on("results-changed", () => navigation.show());
  window.addEventListener("hashchange", route);
  listen(events, {
    lost: () => { byId("connection").hidden = false; },
    found: reconnected,
  });
  refreshServer();
  // Memory has no event of its own.
  setInterval(() => { if (!document.hidden) refreshServer(true); }, 10000);
  route();
}

// Undo of a change on another frame is of no use unseen.
function returnToChange({ changed, travelled }) {
  if (travelled && changed.length && !changed.some((pair) => pair.frame === state.frame)) navigation.goTo(changed[0].frame);
}

async function refreshServer(quiet = false) {
  try {
    set("server", { server: await api.state() });
    emit("job");
  } catch (error) {
    if (!quiet) report(error);
  }
}

async function reconnected() {
  byId("connection").hidden = true;
  say("Connected again.");
  matte.saveWhatWasLost();
  await refreshServer();
  if (!state.project) { projects.list(); return; }
  await refreshProject();
  frames.dropAlphas();
  navigation.show();
}

const place = () => {
  const match = location.hash.match(/^#\/project\/([^/]+)(?:\/frame\/(\d+))?/);
  return match && { id: decodeURIComponent(match[1]), frame: Number(match[2] || 0) };
};

async function route() {
  const wanted = place();
  if (wanted && wanted.id === state.project?.id) { navigation.goTo(wanted.frame); return; }
  close();
  if (!wanted) { projects.list(); return; }
  try {
    const project = await api.project(wanted.id);
    if (place()?.id === wanted.id) open(project, wanted.frame);
  } catch (error) {
    report(error);
    location.hash = "";
  }
}

function close() {
  playback.stop();
  matte.cancelAll();
  frames.clear();
  document.body.dataset.ready = "false";
  document.body.dataset.screen = "start";
  byId("start").hidden = false;
  byId("studio").hidden = true;
  byId("project-name").textContent = "Studio";
  document.title = "pullmatte studio";
  set("project", { project: null, prompts: [], objects: [], selected: null, hidden: new Set() });
}

// Objects that have prompts but aren't listed, such as from a prompt file, get a colour here.
function completeObjects() {
  for (const { object } of state.prompts) {
    if (!state.objects.some(({ name }) => name === object)) state.objects = [...state.objects, { ...freshObject(), name: object }];
  }
  if (!state.objects.length) state.objects = [freshObject()];
}

function open(project, frame) {
  const { prompts, objects: listed, settings, look: saved, done, locked, coverage, current, ...rest } = project;
  frames.clear();
  Object.assign(state, {
    project: rest, frame: Math.min(frame, rest.frames - 1), prompts: joined(prompts?.prompts), objects: listed || [],
    settings: { opacity: "auto", steady: 0, sum_to_one: false, ...settings }, look: saved || {}, done: done || {},
    locked: locked || {}, coverage: coverage || {}, current, selected: null, hidden: new Set(),
  });
  completeObjects();
  state.active = state.objects[0].name;
  document.body.dataset.screen = "project";
  document.body.dataset.kind = rest.kind;
  byId("start").hidden = true;
  byId("studio").hidden = false;
  byId("project-name").textContent = rest.name;
  document.title = `${rest.name} · pullmatte studio`;
  resetHistory();
  emit("project");
  navigation.goTo(state.frame);
  say(state.prompts.length ? `${rest.name} is open.` : "Click on what you want, or drag a box around it.");
}

const total = (done) => Object.values(done || {}).flat().reduce((sum, [first, last]) => sum + last - first + 1, 0);

// What of the project isn't this page's own doing: results, and prompts from elsewhere.
async function refreshProject() {
  const { id } = state.project;
  try {
    const whole = await api.project(id);
    if (state.project?.id !== id) return;
    if (matte.isSaved() && !sameSaid(whole.prompts?.prompts)) { open(whole, state.frame); return; }
    const { done, locked, coverage, current, ...rest } = whole;
    state.project.name = rest.name;
    // Results that are gone may still be shown.
    if (total(done) < total(state.done)) { frames.dropAlphas(); navigation.show(); }
    set("done", { done: done || {}, locked: locked || {}, coverage: coverage || {}, current });
  } catch (error) {
    report(error);
  }
}

// Painted layers are packed anew by the server: that there is one counts.
const summary = (entries) => JSON.stringify(entries.map(({ object, frame, points = [], box = null, mask_png: mask, trimap_png: trimap }) =>
  JSON.stringify([object, frame, points, box, Boolean(mask), Boolean(trimap)])).sort());
const sameSaid = (prompts) => summary(state.prompts) === summary(joined(prompts));

const jobsSeen = new Map();

const ENDED = ["done", "failed", "cancelled"];

function jobCame(job) {
  // An answer that was overtaken by an event is older than what is known.
  if (ENDED.includes(jobsSeen.get(job.id)) && !ENDED.includes(job.state)) return;
  const jobs = [job, ...state.server.jobs.filter((other) => other.id !== job.id)];
  state.server = { ...state.server, jobs };
  emit("job");
  const before = jobsSeen.get(job.id);
  jobsSeen.set(job.id, job.state);
  if (before === job.state || !ENDED.includes(job.state)) return;
  ended(job);
}

async function ended(job) {
  const word = job.kind === "propagate" ? "Propagation" : "Export";
  if (job.state === "failed") toast(job.error || `${word} failed.`);
  else say(`${word} ${job.state === "done" ? "done" : "stopped"}.`);
  if (job.kind !== "propagate" || job.project !== state.project?.id) return;
  await refreshProject();
  frames.forgetMissing();
  navigation.show();
}

// One change may be told several times.
const laterRefresh = debounce(() => {
  if (isVideo() && !matte.isBusy() && !runningJob("propagate")) refreshProject();
}, 400);

const events = {
  job: jobCame,
  frame: transport.frameCame,
  worker: (values) => {
    if (values.worker === "failed" && state.server.worker !== "failed") toast(values.worker_error || "The model's process has failed.");
    set("server", { server: { ...state.server, ...values } });
  },
  project: ({ id }) => {
    if (!state.project) projects.list();
    else if (id === state.project.id && isVideo()) laterRefresh();
  },
};

loadIcons().catch(report);
begin();
