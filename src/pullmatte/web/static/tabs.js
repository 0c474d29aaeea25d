// The tabs of the panel, and light or dark.

import { byId } from "./dom.js";
import { emit } from "./state.js";

const NAMES = ["objects", "look"];

function choose(name, focus = false) {
  for (const other of NAMES) {
    const tab = byId(`tab-${other}`);
    const chosen = other === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(`panel-${other}`).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
}

export function start() {
  NAMES.forEach((name, index) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => choose(name));
    tab.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      choose(NAMES[(index + 1) % NAMES.length], true);
    });
  });
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function remembered() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

function apply(theme) {
  document.documentElement.dataset.theme = theme;
  emit("theme");
}

export function startTheme() {
  apply(remembered() || (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => { if (!remembered()) apply(dark.matches ? "dark" : "light"); });
  byId("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    // Private windows may refuse to remember.
    try { localStorage.setItem("theme", theme); } catch { /* the choice holds for this page */ }
    apply(theme);
  });
}
