// What the page knows, who is told of changes, and undo.

export const state = {
  project: null,
  frame: 0,
  // Entries and objects are never changed in place: undo keeps the old arrays.
  prompts: [],
  objects: [],
  active: null,
  hidden: new Set(),
  selected: null,
  view: "overlay",
  tool: "pointer",
  settings: { opacity: "auto", steady: 0, sum_to_one: false },
  look: {},
  done: {},
  locked: {},
  coverage: {},
  current: true,
  server: { version: "", worker: "starting", worker_error: null, model: null, memory_mb: 0, jobs: [] },
  options: {
    sign: 1, brush: 40, erase: false, level: 255, strength: 0.5, follow: true,
    backdrop: "checker", backdropColour: "#4f7f5f", before: "original", divider: 0.5,
  },
  playing: false,
};

const listeners = new Map();

export function on(names, run) {
  for (const name of names.split(" ")) {
    if (!listeners.has(name)) listeners.set(name, []);
    listeners.get(name).push(run);
  }
}

export function emit(name, detail) {
  for (const run of listeners.get(name) || []) run(detail);
}

export const isVideo = () => state.project?.kind === "video";
export const objectNamed = (name) => state.objects.find((object) => object.name === name);
export const visibleObjects = () => state.objects.filter((object) => !state.hidden.has(object.name));
export const runningJob = (kind) => state.server.jobs.find((job) =>
  job.project === state.project?.id && job.kind === kind && ["queued", "running"].includes(job.state));

export function set(name, values) {
  Object.assign(state, values);
  emit(name, values);
}

let past = [];
let future = [];

const snapshot = () => ({ prompts: state.prompts, objects: state.objects, active: state.active });

export function resetHistory() {
  past = [];
  future = [];
  emit("history");
}

export const canUndo = () => past.length > 0;
export const canRedo = () => future.length > 0;

// One undoable step. `edit` puts new arrays into the state.
export function change(label, edit, startedAt = performance.now()) {
  const before = snapshot();
  edit();
  if (before.prompts === state.prompts && before.objects === state.objects) return;
  past.push({ label, ...before });
  if (past.length > 200) past.shift();
  future = [];
  announce(before, label, startedAt);
}

function announce(before, label, startedAt, travelled = false) {
  if (state.selected && !state.prompts.includes(state.selected.entry)) state.selected = null;
  emit("history");
  emit("prompts", {
    label, startedAt, travelled,
    changed: differences(before.prompts, state.prompts),
    objectsChanged: before.objects !== state.objects,
  });
}

// Which (object, frame) pairs two lists of entries don't share.
function differences(before, after) {
  const old = new Set(before);
  const fresh = new Set(after);
  const touched = [...before.filter((entry) => !fresh.has(entry)), ...after.filter((entry) => !old.has(entry))];
  const pairs = new Map(touched.map((entry) => [`${entry.frame}/${entry.object}`, entry]));
  return [...pairs.values()].map(({ object, frame }) => ({ object, frame }));
}

function travel(from, to) {
  const step = from.pop();
  if (!step) return null;
  const before = snapshot();
  to.push({ label: step.label, ...before });
  Object.assign(state, { prompts: step.prompts, objects: step.objects, active: step.active });
  announce(before, step.label, performance.now(), true);
  return step.label;
}

export const undo = () => travel(past, future);
export const redo = () => travel(future, past);
