// Settings and look of the project, saved as they change.

import { api } from "./api.js";
import { report } from "./dialogs.js";
import { debounce } from "./dom.js";
import * as frames from "./frames.js";
import { askAll } from "./matte.js";
import { emit, state } from "./state.js";

export async function saveSettings(values, { askAgain = false } = {}) {
  const startedAt = performance.now();
  state.settings = { ...state.settings, ...values };
  emit("settings");
  try {
    await api.update(state.project.id, { settings: values });
    if (!askAgain) return;
    // Other settings have other results; those that are shown are of the old ones.
    frames.dropAlphas();
    askAll(startedAt);
    emit("results-changed");
  } catch (error) {
    report(error);
  }
}

let waiting = false;
const putLook = debounce((id, look) => { waiting = false; api.update(id, { look }).catch(report); }, 400);

export function saveLook(values) {
  state.look = { ...state.look, ...values };
  emit("look");
  waiting = true;
  putLook(state.project.id, state.look);
}

// An export must not run ahead of the last move of a slider.
export async function flush() {
  if (!waiting) return;
  putLook.cancel();
  waiting = false;
  await api.update(state.project.id, { look: state.look });
}
