// Decoded pictures, alphas and foregrounds, kept within bounds.

import { api } from "./api.js";
import { decodeImage, pixelsOf } from "./png.js";
import { entryOf } from "./prompts.js";
import { isVideo, state } from "./state.js";

const MOST_BITMAPS = 120;
const MOST_PIXELS = 160e6;

// Least recently used first; what is thrown out is closed, as bitmaps hold memory outside the heap.
class Cache {
  constructor() { this.items = new Map(); this.pixels = 0; }

  get(key) {
    const item = this.items.get(key);
    if (item) { this.items.delete(key); this.items.set(key, item); }
    return item;
  }

  peek(key) { return this.items.get(key); }

  put(key, item) {
    this.drop(key);
    this.items.set(key, item);
    this.pixels += item.pixels;
    for (const oldest of this.items.keys()) {
      if (this.items.size <= MOST_BITMAPS && this.pixels <= MOST_PIXELS) break;
      if (oldest !== key && !isShown(oldest)) this.drop(oldest);
    }
  }

  drop(key) {
    const item = this.items.get(key);
    if (!item) return;
    this.items.delete(key);
    this.pixels -= item.pixels;
    item.close();
  }

  clear() { for (const key of [...this.items.keys()]) this.drop(key); }
}

const cache = new Cache();
const missing = new Set();
const waiting = new Map();
let serial = 0;

const isShown = (key) => Number(key.split("/")[1]) === state.frame;
const pictureKey = (n) => `p/${n}`;
const alphaKey = (object, n) => `a/${n}/${object}`;

export function clear() {
  cache.clear();
  previous?.item.close();
  previous = null;
  missing.clear();
  waiting.clear();
}

// Two askers of one thing share the request.
function once(key, load) {
  if (!waiting.has(key)) {
    const promise = load().finally(() => { if (waiting.get(key) === promise) waiting.delete(key); });
    waiting.set(key, promise);
  }
  return waiting.get(key);
}

export const picture = (n) => cache.get(pictureKey(n));
export const alpha = (object, n) => cache.get(alphaKey(object, n));
export const isMissing = (object, n) => missing.has(alphaKey(object, n));

export function loadPicture(n, height = 0) {
  const kept = cache.peek(pictureKey(n));
  if (kept && (kept.full || (height && kept.bitmap.height >= height))) return Promise.resolve(kept);
  const { id } = state.project;
  const small = height && height < state.project.height ? height : 0;
  return once(`${pictureKey(n)}@${small}`, async () => {
    const bitmap = await createImageBitmap(await api.blob(api.frameUrl(id, n, small)));
    if (state.project?.id !== id) { bitmap.close(); return null; }
    const item = {
      bitmap, full: !small, serial: (serial += 1), pixels: bitmap.width * bitmap.height, close: () => bitmap.close(),
    };
    cache.put(pictureKey(n), item);
    return item;
  });
}

// Grey becomes white with alpha, which every view can lay, mask and tint with.
async function toMask(blob) {
  const grey = await decodeImage(blob);
  const image = pixelsOf(grey);
  grey.close();
  // Whole pixels at a time, which is several times as quick; every browser's memory is little-endian.
  const pixels = new Uint32Array(image.data.buffer);
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 1) {
    const level = pixels[i] & 255;
    sum += level;
    pixels[i] = (level << 24) | 0xffffff;
  }
  return { mask: await createImageBitmap(image), mean: sum / pixels.length / 255 };
}

export async function putAlpha(object, n, blob, { keepOld = false } = {}) {
  const { id } = state.project;
  const { mask, mean } = await toMask(blob);
  if (state.project?.id !== id) { mask.close(); return null; }
  const item = {
    mask, mean, foreground: null, serial: (serial += 1), pixels: mask.width * mask.height,
    close() { mask.close(); this.foreground?.close(); },
  };
  if (keepOld) keepPrevious(object, n);
  cache.put(alphaKey(object, n), item);
  missing.delete(alphaKey(object, n));
  return item;
}

// One matte from before the last change, to compare with.
let previous = null;

function keepPrevious(object, n) {
  const old = cache.peek(alphaKey(object, n));
  if (!old) return;
  cache.items.delete(alphaKey(object, n));
  cache.pixels -= old.pixels;
  previous?.item.close();
  previous = { object, n, item: old };
}

export const previousAlpha = (object, n) => (previous?.object === object && previous.n === n ? previous.item : null);

// Saves asking for frames of a clip that nothing was computed for.
function mayExist(object, n) {
  return !isVideo() || Boolean(entryOf(object, n)) || n in (state.coverage[object] || {}) ||
    (state.done[object] || []).some(([first, last]) => n >= first && n <= last);
}

export function loadAlpha(object, n) {
  const key = alphaKey(object, n);
  if (cache.peek(key) || missing.has(key)) return Promise.resolve(cache.peek(key) || null);
  if (!mayExist(object, n)) { missing.add(key); return Promise.resolve(null); }
  const { id } = state.project;
  return once(key, async () => {
    const blob = await api.alpha(id, n, object);
    if (state.project?.id !== id) return null;
    // A fresh matte may have come while this one was on its way.
    if (cache.peek(key)) return cache.peek(key);
    if (!blob) { missing.add(key); return null; }
    return putAlpha(object, n, blob);
  });
}

export function dropAlpha(object, n, { gone = false } = {}) {
  const key = alphaKey(object, n);
  cache.drop(key);
  waiting.delete(key);
  if (gone) missing.add(key);
  else missing.delete(key);
}

// An object without prompts has no matte, on any frame.
export function dropObject(object, n) {
  for (const key of [...cache.items.keys()]) {
    if (key.startsWith("a/") && key.split("/").slice(2).join("/") === object) cache.drop(key);
  }
  dropAlpha(object, n, { gone: true });
}

// After a job of the server any frame may have a new result.
export function dropAlphas() {
  for (const key of [...cache.items.keys()]) if (key.startsWith("a/")) cache.drop(key);
  missing.clear();
}

export function forgetMissing() { missing.clear(); }

export async function loadForeground(object, n) {
  const item = cache.peek(alphaKey(object, n));
  if (!item || item.foreground) return false;
  const blob = await once(`f/${n}/${object}/${item.serial}`, () => api.foreground(state.project.id, n, object));
  if (!blob || cache.peek(alphaKey(object, n)) !== item || item.foreground) return false;
  const bitmap = await createImageBitmap(blob);
  if (cache.peek(alphaKey(object, n)) !== item) { bitmap.close(); return false; }
  item.foreground = bitmap;
  cache.pixels += bitmap.width * bitmap.height;
  item.pixels += bitmap.width * bitmap.height;
  return true;
}

// Alpha as bytes, one a pixel, for the trimap brush.
export function alphaBytes(object, n) {
  const item = cache.peek(alphaKey(object, n));
  if (!item) return null;
  const { data } = pixelsOf(item.mask);
  const bytes = new Uint8Array(data.length / 4);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = data[i * 4 + 3];
  return bytes;
}
