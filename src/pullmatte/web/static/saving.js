// Settings and look of the project, saved as they change.

import { api } from "./api.js";
import { report } from "./dialogs.js";
import { debounce } from "./dom.js";
import { askAll } from "./matte.js";
import { emit, state } from "./state.js";

export async function saveSettings(values, { askAgain = false } = {}) {
  const startedAt = performance.now();
  state.settings = { ...state.settings, ...values };
  emit("settings");
  try {
    await api.update(state.project.id, { settings: state.settings });
    if (askAgain) askAll(startedAt);
  } catch (error) {
    report(error);
  }
}

const putLook = debounce((id, look) => { api.update(id, { look }).catch(report); }, 400);

export function saveLook(values) {
  state.look = { ...state.look, ...values };
  emit("look");
  putLook(state.project.id, state.look);
}

// An export must not run ahead of the last move of a slider.
export async function flush() {
  putLook.cancel();
  const { project, settings, look } = state;
  await api.update(project.id, { settings, look });
}
