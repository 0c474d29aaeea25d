// Toasts, the status line, and small dialogs.

import { byId, el, iconButton } from "./dom.js";

export function say(text) {
  byId("status").textContent = text;
}

export function toast(text) {
  const old = [...document.querySelectorAll(".toast")].find((node) => node.dataset.text === text);
  old?.remove();
  const node = el("div", { class: "toast", role: "alert" }, el("p", { text }));
  node.dataset.text = text;
  node.append(iconButton("close", "Close the message", () => node.remove()));
  byId("toasts").append(node);
  setTimeout(() => node.remove(), 15000);
}

export function report(error) {
  if (error?.name === "AbortError") return;
  console.error(error);
  toast(error?.message || String(error));
}

// Resolves to the text (with `input`), true, or null when it was turned down.
export function ask({ title, text, action = "OK", danger = false, input = null, check = () => null }) {
  const dialog = byId("ask");
  return new Promise((resolve) => {
    const problem = el("p", { class: "problem", role: "alert" });
    const box = input === null ? null : el("input", { type: "text", value: input, "aria-label": title });
    const finish = (answer) => { dialog.close(); resolve(answer); };
    const form = el("form", { on: { submit: (event) => {
      event.preventDefault();
      const trouble = box && check(box.value);
      problem.textContent = trouble || "";
      if (!trouble) finish(box ? box.value : true);
    } } },
    el("h2", { id: "ask-title", text: title }), text ? el("p", { text }) : null, box, problem,
    el("div", { class: "row end" },
      el("button", { type: "button", text: "Cancel", on: { click: () => finish(null) } }),
      el("button", { type: "submit", class: danger ? "danger" : "primary", text: action })));
    dialog.replaceChildren(form);
    dialog.oncancel = () => resolve(null);
    dialog.showModal();
    box?.select();
  });
}

const SHORTCUTS = [
  ["Prompts", [
    ["Click", "Include what lies there"], ["Alt+click, right click", "Exclude it"], ["Drag", "Box around the object"],
    ["Click on a point, then Delete", "Remove the point"], ["Drag a point or a corner", "Move it"],
    ["Ctrl+Z / Ctrl+Shift+Z, Ctrl+Y", "Undo / redo"]]],
  ["Tools", [
    ["V, B, T, H", "Pointer, brush, trimap brush, pan"], ["[ and ]", "Smaller, larger brush"], ["X", "Include or exclude; add or erase"],
    ["N", "New object"]]],
  ["View", [
    ["1 … 6", "Overlay, alpha, cut-out, composite, compare, original"], ["Wheel, + and −, pinch", "Zoom"],
    ["0", "Fit"], ["F", "One picture pixel to one screen pixel"], ["Space+drag, middle drag, two fingers", "Pan"]]],
  ["Clips", [
    ["Space", "Play or pause"], ["← →", "One frame"], ["Shift+← →", "Ten frames"], ["Home, End", "First, last frame"]]],
  ["Anywhere", [["Ctrl+V", "Open a picture from the clipboard"], ["Ctrl+E", "Export"], ["?", "This help"]]],
];

export function openHelp() {
  const dialog = byId("help");
  dialog.replaceChildren(
    el("div", { class: "row between" }, el("h2", { id: "help-title", text: "Help" }), iconButton("close", "Close", () => dialog.close())),
    el("p", { text: "Click on what you want. Correct with further clicks, a box, the brush for a rough mask, or the trimap brush for the edge. Every change asks for a new matte; in a clip, propagate carries it to the other frames." }),
    el("div", { class: "shortcuts", tabindex: 0, role: "group", "aria-label": "Shortcuts" }, ...SHORTCUTS.map(([title, rows]) =>
      el("section", {}, el("h3", { text: title }), el("dl", {}, ...rows.flatMap(([keys, what]) =>
        [el("dt", { text: keys }), el("dd", { text: what })]))))));
  dialog.showModal();
}
