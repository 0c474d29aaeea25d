"""Short clips composed of moving cut-outs over moving backgrounds, with exact alpha.

Objects and camera move smoothly, at first hardly, sometimes far; objects bend as they go, pass
before each other, leave the picture and come back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.compositing import Floats, Layer, decoded, encoded, over, placed
from pullmatte.data.cutouts import Bytes, StoredCutout
from pullmatte.data.degradation import degraded
from pullmatte.data.samples import MattingClip
from pullmatte.data.scenes import Maker, SceneSettings, SceneSource, made_ground, placement

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ClipSettings:
    """How clips are made; what concerns single pictures is in `scenes`.

    Attributes:
        frames: How many.
        scenes: As for single pictures.
        reach: How far an object goes from one frame to the next, as a share of the picture, at
            most; most go less.
        bend: By how much it bends, as a share of its size.
        like_chance: Of another object of the same cut-out in the clip.
        most_others: Other objects.
    """

    frames: int = 4
    scenes: SceneSettings = field(default_factory=SceneSettings)
    reach: float = 0.12
    bend: float = 0.04
    like_chance: float = 0.35
    most_others: int = 3


@dataclass(frozen=True, eq=False)
class _Actor:
    """An object and how it moves.

    Attributes:
        rgba: What is drawn.
        start: Where it is in the first frame, 2 × 3.
        path: Offsets in pixels, `T 2`.
        turn: Angles in radians, `T`.
        grow: Factors of size, `T`.
        waves: Bending fields, `T` times displacement `h w 2` at a coarse grid, in pixels.
    """

    rgba: Bytes
    start: Matrix
    path: NDArray[np.float64]
    turn: NDArray[np.float64]
    grow: NDArray[np.float64]
    waves: NDArray[np.float32]


class ClipScenes:
    """Numbered clips; see `ClipSource`.

    Attributes:
        settings: How they are made.
    """

    def __init__(
        self,
        cutouts: Sequence[StoredCutout],
        backgrounds: Sequence[Bytes],
        settings: ClipSettings,
        *,
        makers: Sequence[Maker] = (),
        favoured: Mapping[str, float] | None = None,
    ) -> None:
        """Take what clips are made of; arguments as for `SceneSource`."""
        self.settings = settings
        self._backgrounds = backgrounds
        self._stills = SceneSource(
            cutouts, backgrounds, settings.scenes, makers=makers, favoured=favoured
        )

    def clip(self, number: int) -> MattingClip:
        """Return the clip of a number: the same each time."""
        settings, scenes = self.settings, self.settings.scenes
        rng = np.random.default_rng([scenes.seed, number, 3])
        linear = bool(rng.random() < 0.6)
        target = self._stills.draw_cutout(rng)
        hero = self._actor(target, rng, scenes.scale, scenes.least_seen)
        behind: list[_Actor] = []
        before: list[_Actor] = []
        for _ in range(int(rng.integers(settings.most_others + 1))):
            again = rng.random() < settings.like_chance
            cutout = target if again else self._stills.draw_cutout(rng)
            actor = self._actor(cutout, rng, (0.15, 0.9), 0.1)
            (before if rng.random() < scenes.occluder_chance else behind).append(actor)
        grounds = self._grounds(rng, linear)
        images, alphas = [], []
        seed = int(rng.integers(2**31))
        for at, ground in enumerate(grounds):
            canvas = ground
            for actor in behind:
                canvas = over(self._drawn(actor, at, linear), canvas)
            layer = self._drawn(hero, at, linear)
            canvas, alpha = over(layer, canvas), layer.alpha
            for actor in before:
                front = self._drawn(actor, at, linear)
                canvas, alpha = over(front, canvas), alpha * (1 - front.alpha)
            # The same camera for all frames: the same numbers, but for the grain's.
            images.append(degraded(encoded(canvas, linear=linear), np.random.default_rng(seed)))
            alphas.append(alpha)
        return MattingClip(
            np.stack(images),
            np.stack(alphas),
            opacity=target.opacity,
            name=f"{target.kind} {number}",
        )

    def _actor(
        self,
        cutout: StoredCutout,
        rng: np.random.Generator,
        scale: tuple[float, float],
        least_seen: float,
    ) -> _Actor:
        frames, size = self.settings.frames, self.settings.scenes.size_px
        start = placement(cutout.rgba.shape[:2], size, rng, scale, least_seen)
        speed = self.settings.reach * size * rng.random() ** 2
        path = smooth_walk(frames, 2, rng) * speed
        turn = smooth_walk(frames, 1, rng)[:, 0] * rng.random() ** 2 * 0.25
        grow = np.exp(smooth_walk(frames, 1, rng)[:, 0] * rng.random() ** 2 * 0.12)
        bend = self.settings.bend * max(cutout.rgba.shape[:2]) * rng.random()
        first, second = rng.standard_normal((2, 4, 4, 2)) * bend
        phase = smooth_walk(frames, 1, rng)[:, 0, None, None, None]
        waves = first * np.sin(phase) + second * (1 - np.cos(phase))
        return _Actor(cutout.rgba, start, path, turn, grow, waves.astype(np.float32))

    def _drawn(self, actor: _Actor, at: int, linear: bool) -> Layer:
        size = self.settings.scenes.size_px
        rgba = actor.rgba
        if at and float(np.abs(actor.waves[at]).max()) > 0.5:
            rgba = bent(rgba, actor.waves[at])
        height, width = rgba.shape[:2]
        middle = actor.start @ np.array([(width - 1) / 2, (height - 1) / 2, 1])
        cos, sin = np.cos(actor.turn[at]), np.sin(actor.turn[at])
        moved = actor.grow[at] * np.array([[cos, -sin], [sin, cos]])
        linear_part = moved @ actor.start[:, :2]
        offset = (
            middle + actor.path[at] - linear_part @ np.array([(width - 1) / 2, (height - 1) / 2])
        )
        matrix = np.hstack([linear_part, offset[:, None]])
        return placed(rgba, matrix, (size, size), linear=linear)

    def _grounds(self, rng: np.random.Generator, linear: bool) -> list[Floats]:
        """Move a camera over a background."""
        frames, size = self.settings.frames, self.settings.scenes.size_px
        if rng.random() < 0.15:
            picture: Bytes = made_ground(2 * size, rng)
        else:
            picture = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        height, width = picture.shape[:2]
        zoom = size / min(height, width) * rng.uniform(1.1, 2.5)
        speed = 0.05 * size * rng.random() ** 2
        path, gain = smooth_walk(frames, 2, rng) * speed, np.float32(rng.uniform(0.5, 1.15))
        centre = rng.uniform(0.3, 0.7, 2) * (width, height)
        grounds = []
        for at in range(frames):
            offset = np.array([size / 2, size / 2]) + path[at] - zoom * centre
            matrix = np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]])
            cut = cv2.warpAffine(
                picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            )
            grounds.append(decoded(np.asarray(cut, np.uint8), linear=linear) * gain)
        return grounds


def smooth_walk(frames: int, axes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Walk from 0 with a speed near 1 a frame that changes slowly, `T axes`."""
    speed = rng.standard_normal(axes)
    steps = [np.zeros(axes)]
    for _ in range(frames - 1):
        speed = 0.8 * speed + 0.6 * rng.standard_normal(axes)
        steps.append(steps[-1] + speed)
    return np.stack(steps)


def bent(rgba: Bytes, waves: Floats) -> Bytes:
    """Bend a cut-out by displacements on a coarse grid, `h w 2`, in its pixels."""
    height, width = rgba.shape[:2]
    field = cv2.resize(waves, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    found = cv2.remap(
        rgba,
        columns + field[..., 0],
        rows + field[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return np.asarray(found, np.uint8)
