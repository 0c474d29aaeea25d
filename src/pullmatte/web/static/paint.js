// Painted layers (rough mask, trimap): one byte a pixel with hard edges, and a canvas to show it.

import { decodeGrey, encodeGrey } from "./png.js";

const rgba = (hex, alpha) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).concat(Math.round(alpha * 255));

export class PaintLayer {
  constructor(width, height, levels = null) {
    Object.assign(this, { width, height, levels: levels || new Uint8Array(width * height) });
    this.canvas = new OffscreenCanvas(width, height);
    this.context = this.canvas.getContext("2d");
    this.palette = new Map();
    // The prompt's PNG this layer equals; another one there means that it must be read anew.
    this.png = undefined;
  }

  static async from(png, width, height) {
    const read = await decodeGrey(png);
    const fits = read.width === width && read.height === height;
    return new PaintLayer(width, height, fits ? read.levels : null);
  }

  encode() { return encodeGrey(this.levels, this.width, this.height); }

  setPalette(levels) {
    const key = JSON.stringify(levels);
    if (this.paletteKey === key) return;
    this.paletteKey = key;
    this.palette = new Map(levels.map(([level, hex, alpha]) => [level, rgba(hex, alpha)]));
    this.show(0, 0, this.width, this.height);
  }

  // A disc drawn from (x0, y0) to (x1, y1).
  stroke(x0, y0, x1, y1, radius, level) {
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
    const right = Math.min(this.width, Math.ceil(Math.max(x0, x1) + radius) + 1);
    const bottom = Math.min(this.height, Math.ceil(Math.max(y0, y1) + radius) + 1);
    if (right <= left || bottom <= top) return;
    const dx = x1 - x0;
    const dy = y1 - y0;
    const length = dx * dx + dy * dy || 1;
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) {
        const px = x + 0.5 - x0;
        const py = y + 0.5 - y0;
        const along = Math.min(Math.max((px * dx + py * dy) / length, 0), 1);
        const ex = px - along * dx;
        const ey = py - along * dy;
        if (ex * ex + ey * ey <= radius * radius) this.levels[y * this.width + x] = level;
      }
    }
    this.show(left, top, right - left, bottom - top);
  }

  show(left, top, width, height) {
    const image = new ImageData(width, height);
    const { data } = image;
    const lookup = new Uint8Array(256 * 4);
    for (const [level, colour] of this.palette) lookup.set(colour, level * 4);
    for (let y = 0, to = 0; y < height; y += 1) {
      for (let x = 0, at = (top + y) * this.width + left; x < width; x += 1, at += 1, to += 4) {
        const from = this.levels[at] * 4;
        data[to] = lookup[from];
        data[to + 1] = lookup[from + 1];
        data[to + 2] = lookup[from + 2];
        data[to + 3] = lookup[from + 3];
      }
    }
    this.context.putImageData(image, left, top);
  }

  isEmpty() { return !this.levels.some((level) => level > 0); }
  hasUnknown() { return this.levels.includes(128); }
}

// Widens a set of pixels by `reach` along rows, then columns.
function widened(marks, width, height, reach) {
  const rows = new Uint8Array(marks.length);
  sweep(marks, rows, height, width, width, 1, reach);
  const out = new Uint8Array(marks.length);
  sweep(rows, out, width, height, 1, width, reach);
  return out;
}

function sweep(from, to, lines, length, lineStep, step, reach) {
  for (let line = 0; line < lines; line += 1) {
    const start = line * lineStep;
    let last = -Infinity;
    for (let i = 0; i < length; i += 1) {
      if (from[start + i * step]) last = i;
      if (i - last <= reach) to[start + i * step] = 1;
    }
    last = Infinity;
    for (let i = length - 1; i >= 0; i -= 1) {
      if (from[start + i * step]) last = i;
      if (last - i <= reach) to[start + i * step] = 1;
    }
  }
}

// The trimap that a matte suggests: sure parts, and a band around all that isn't.
export function trimapOf(alpha, width, height) {
  const unsure = new Uint8Array(alpha.length);
  for (let i = 0; i < alpha.length; i += 1) {
    const level = alpha[i] / 255;
    const sure = level > 0.95 ? 2 : level < 0.05 ? 1 : 0;
    // A hard edge has no pixel in between, so a step from sure to sure counts too.
    const right = (i + 1) % width ? alpha[i + 1] : alpha[i];
    const below = i + width < alpha.length ? alpha[i + width] : alpha[i];
    if (!sure || Math.abs(right - alpha[i]) > 128 || Math.abs(below - alpha[i]) > 128) unsure[i] = 1;
  }
  const band = widened(unsure, width, height, Math.max(2, Math.round(Math.max(width, height) / 300)));
  const levels = new Uint8Array(alpha.length);
  for (let i = 0; i < alpha.length; i += 1) levels[i] = band[i] ? 128 : alpha[i] > 127 ? 255 : 0;
  return levels;
}

// Without a matte all is unknown, or all within the box.
export function blankTrimap(width, height, box) {
  const levels = new Uint8Array(width * height);
  if (!box) return levels.fill(128);
  const [x0, y0, x1, y1] = box.map(Math.round);
  for (let y = Math.max(0, y0); y < Math.min(height, y1); y += 1) levels.fill(128, y * width + Math.max(0, x0), y * width + Math.min(width, x1));
  return levels;
}
