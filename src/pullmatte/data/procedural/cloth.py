"""Veils and cloth: folded sheets that let more or less through."""

import cv2
import numpy as np

from pullmatte.data.procedural.flutter import Flutter
from pullmatte.data.procedural.layer import (
    Appearance,
    Painter,
    appearance_of,
    empty_layer,
    layer_of,
    over,
)
from pullmatte.data.procedural.noise import Noise
from pullmatte.data.procedural.outlines import blob, ellipse, rounded_polygon
from pullmatte.data.procedural.palette import any_colour, near
from pullmatte.data.procedural.pose import Points, Pose, draw_pose
from pullmatte.data.procedural.raster import Light, coverage, draw_light, fixed
from pullmatte.data.procedural.texture import TILE_PX, draw_texture
from pullmatte.data.samples import Image, Plane


class _Sheet:
    """One folded sheet: its outline, folds, weave and colours, drawn once."""

    def __init__(self, generator: np.random.Generator, density: float, tile: Image) -> None:
        self.density, self.tile = density, tile
        self.outline = _outline(generator)
        self.flutter = Flutter(generator, float(generator.uniform(0.02, 0.12)))
        cells = generator.uniform(3, 9)
        self.folds = Noise(generator, cells, 2, 0.4)
        stretch = float(generator.uniform(0.08, 0.5))
        self.aspect = (1.0, stretch) if generator.random() < 0.6 else (stretch, 1.0)
        if generator.random() < 0.2:
            self.aspect = (1.0, 1.0)
        self.steepness = float(generator.uniform(0.6, 6)) / cells * 0.6
        self.lace = float(generator.uniform(0, 1.5)) if generator.random() < 0.4 else 0.0
        self.hem = float(generator.uniform(0.004, 0.03)) if generator.random() < 0.6 else 0.0
        self.speed = generator.normal(0, 0.15, 2)
        self.repeat = float(generator.uniform(0.5, 2))

    def paint(self, size_px: int, pose: Pose, light: Light, time: float) -> Plane:
        drift = (float(self.speed[0] * time), float(self.speed[1] * time))
        height = self.folds.at(size_px, time * 0.8, drift, self.aspect) * self.steepness
        scale = size_px / 4
        right = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=scale / 8)
        down = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=scale / 8)
        path = np.sqrt(1 + right * right + down * down)
        x, y, z = light.direction
        facing = np.abs(z - right * x - down * y) / path
        bright = light.strength * (light.ambient + (1 - light.ambient) * facing)
        tile = self._tile(height, pose.matrix(size_px, time), size_px)
        thread = 1 + self.lace * (0.5 - tile.mean(-1)) if self.lace else np.float32(1)
        alpha = 1 - np.exp(-self.density * path * np.maximum(thread, 0.05))
        contour = pose.place(self.flutter.bend(self.outline, time), size_px, time)
        if self.hem:
            alpha = _hemmed(alpha, contour, self.hem * pose.scale * size_px)
        alpha *= coverage([contour], size_px, size_px)
        colour = np.clip(tile * bright[..., None], 0, 1)
        return layer_of(colour, alpha.astype(np.float32))

    def _tile(self, height: Plane, matrix: Points, size_px: int) -> Image:
        """Read the pattern, pushed aside by the folds."""
        step = self.repeat * TILE_PX * np.linalg.inv(matrix[:, :2]).astype(np.float32)
        line = np.arange(size_px, dtype=np.float32)
        x, y = line - np.float32(matrix[0, 2]), (line - np.float32(matrix[1, 2]))[:, None]
        push = height * np.float32(TILE_PX * 0.3)
        u = step[0, 0] * x + step[0, 1] * y + push
        v = step[1, 0] * x + step[1, 1] * y + push
        read = cv2.remap(self.tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(read, np.float32)


def veil(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw one to three translucent sheets, denser where they fold.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows them.
    """
    base = any_colour(generator)
    if generator.random() < 0.5:
        base = near(np.full(3, generator.uniform(0.7, 1), np.float32), 0.03, generator)
    sheets = []
    for _ in range(int(generator.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))):
        plain = np.broadcast_to(near(base, 0.05, generator), (TILE_PX, TILE_PX, 3))
        tile = draw_texture(generator, base) if generator.random() < 0.3 else plain
        density = float(np.exp(generator.uniform(np.log(0.15), np.log(1.2))))
        sheets.append(_Sheet(generator, density, np.ascontiguousarray(tile, np.float32)))
    return _sheets(size_px, generator, sheets)


def cloth(size_px: int, generator: np.random.Generator) -> Painter:
    """Draw a sheet of dense cloth: a flag, a towel, a drape.

    Args:
        size_px: side of the square.
        generator: drawn from.

    Returns:
        What shows it.
    """
    density = float(generator.uniform(5, 12))
    return _sheets(size_px, generator, [_Sheet(generator, density, draw_texture(generator))])


def _sheets(size_px: int, generator: np.random.Generator, sheets: list[_Sheet]) -> Painter:
    pose, light = draw_pose(generator, tilt=0.4), draw_light(generator)

    def paint(time: float) -> Appearance:
        layer = empty_layer(size_px)
        for sheet in sheets:
            over(sheet.paint(size_px, pose, light, time), layer)
        return appearance_of(layer)

    return paint


def _outline(generator: np.random.Generator) -> Points:
    style = generator.random()
    if style < 0.5:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * generator.uniform(
            0.55, 0.95, (4, 2)
        )
        return _dense(rounded_polygon(corners, 0.1))
    if style < 0.75:
        return blob(generator, 0.85, 0.12)
    corners = np.array([[0, -1], [0.9, 0.9], [-0.9, 0.9]]) + generator.normal(0, 0.15, (3, 2))
    if style < 0.9:
        return _dense(rounded_polygon(corners, 0.3))
    return ellipse((0, 0), (0.9, float(generator.uniform(0.6, 0.9))), 0, 3)


def _dense(outline: Points) -> Points:
    """Add points along edges, so that they can bend."""
    share = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
    after = np.roll(outline, -1, 0)
    return np.asarray((outline[:, None] * (1 - share) + after[:, None] * share).reshape(-1, 2))


def _hemmed(alpha: Plane, contour: Points, width_px: float) -> Plane:
    """Double the sheet along its outline."""
    size_px = alpha.shape[0]
    canvas = np.zeros((2 * size_px, 2 * size_px), np.uint8)
    thick = max(round(4 * width_px), 1)
    cv2.polylines(canvas, [fixed(contour, 2)], True, 255, thick, cv2.LINE_AA, 4)
    band = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA) / np.float32(255)
    return np.asarray(1 - (1 - alpha) * (1 - alpha * band))
