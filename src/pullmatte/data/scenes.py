"""Scenes composed of cut-outs and backgrounds, with the exact alpha of one object in them.

What a matting network has to cope with is brought about on purpose: objects that fill the picture
or are cut by its edge, others of the same kind beside them, others before them, cluttered and
plain grounds, shadows, and pictures in which what was pointed at isn't there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pullmatte.data.compositing import (
    Floats,
    Layer,
    decoded,
    encoded,
    joined,
    over,
    placed,
    shadowed,
)
from pullmatte.data.cutouts import Bytes, StoredCutout, stored
from pullmatte.data.degradation import degraded
from pullmatte.data.procedural import KINDS, make
from pullmatte.data.samples import MattingSample
from pullmatte.errors import DatasetError

Maker = Callable[[np.random.Generator], StoredCutout]
"""Makes a new cut-out from random numbers."""


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are made; every chance is in [0, 1].

    Attributes:
        size_px: Side of the square picture.
        seed: All random numbers follow from it and a sample's number.
        scale: Least and greatest size of the object's longer side, as a share of the picture's.
        least_seen: At least so much of the object lies in the picture.
        most_distractors: Other objects behind or beside it.
        like_chance: Of a distractor to be the same cut-out again.
        made_chance: Of an object to be made anew instead of taken from the folders.
        occluder_chance: Of something before the object.
        double_chance: Of an object to be two cut-outs in one.
        swarm_chance: Of an object to be up to seven more of its kind as well, as leaves and drops.
        shadow_chance: Of a shadow under an object.
        absent_chance: Of an object that isn't there: all of the alpha is 0.
        harmonised_chance: Of an object to take on some of the background's colour.
        defocus_chance: Of a background to be out of focus.
        harm: How much of blur, grain and compression the whole picture gets, in [0, 1].
    """

    size_px: int = 320
    seed: int = 0
    scale: tuple[float, float] = (0.18, 1.7)
    least_seen: float = 0.3
    most_distractors: int = 4
    like_chance: float = 0.25
    made_chance: float = 0.4
    occluder_chance: float = 0.15
    double_chance: float = 0.08
    swarm_chance: float = 0.04
    shadow_chance: float = 0.35
    absent_chance: float = 0.03
    harmonised_chance: float = 0.4
    defocus_chance: float = 0.35
    harm: float = 1.0


class SceneSource:
    """Numbered scenes; see `SampleSource`.

    Attributes:
        settings: How they are made.
    """

    def __init__(
        self,
        cutouts: Sequence[StoredCutout],
        backgrounds: Sequence[Bytes],
        settings: SceneSettings,
        *,
        makers: Sequence[Maker] = (),
        favoured: Mapping[str, float] | None = None,
    ) -> None:
        """Take what scenes are made of.

        Args:
            cutouts: Kinds are drawn first, by the square root of how many each has.
            backgrounds: `H W 3`.
            settings: How they are made.
            makers: Of procedural cut-outs; without any `made_chance` has no effect.
            favoured: Kinds that count as if there were so many times more of them.

        Raises:
            DatasetError: If there is no background, or nothing to put on it.
        """
        if not backgrounds or not (cutouts or makers):
            raise DatasetError(
                f"scenes of {len(cutouts)} cut-outs, {len(makers)} makers and {len(backgrounds)} "
                "backgrounds: give a background and a cut-out or a maker"
            )
        self.settings = settings
        self._backgrounds = backgrounds
        self._makers = makers
        self._by_kind: dict[str, list[StoredCutout]] = {}
        for each in cutouts:
            self._by_kind.setdefault(each.kind, []).append(each)
        self._kinds = sorted(self._by_kind)
        more = favoured or {}
        weights = np.sqrt([len(self._by_kind[k]) * more.get(k, 1.0) for k in self._kinds])
        self._weights = weights / max(float(weights.sum()), 1e-9)

    def sample(self, number: int) -> MattingSample:
        """Return the scene of a number: the same each time."""
        rng = np.random.default_rng([self.settings.seed, number])
        settings, linear = self.settings, bool(rng.random() < 0.6)
        canvas = self._ground(rng, linear)
        target = self.draw_cutout(rng)
        for _ in range(rng.integers(settings.most_distractors + 1)):
            again = rng.random() < settings.like_chance
            layer = self._layer(target if again else self.draw_cutout(rng), rng, linear, (0.1, 0.8))
            canvas = self._with_shadow(canvas, layer, rng)
            canvas = over(layer, canvas)
        layer = self._target(target, rng, linear)
        alpha = layer.alpha
        if rng.random() < settings.absent_chance:
            alpha = np.zeros_like(alpha)
        else:
            layer = self._harmonised(layer, canvas, rng)
            canvas = over(layer, self._with_shadow(canvas, layer, rng))
        if rng.random() < settings.occluder_chance:
            front = self._layer(self.draw_cutout(rng), rng, linear, (0.1, 0.6))
            canvas, alpha = over(front, canvas), alpha * (1 - front.alpha)
        image = degraded(encoded(canvas, linear=linear), rng, settings.harm)
        if rng.random() < 0.5:
            image, alpha = image[:, ::-1], alpha[:, ::-1]
        return MattingSample(
            np.ascontiguousarray(image),
            np.ascontiguousarray(alpha),
            opacity=target.opacity,
            name=f"{target.kind} {number}",
        )

    def draw_cutout(self, rng: np.random.Generator) -> StoredCutout:
        """Draw a cut-out, or make one, in colours of its own."""
        if self._makers and (not self._kinds or rng.random() < self.settings.made_chance):
            found = self._makers[int(rng.integers(len(self._makers)))](rng)
        else:
            kind = self._kinds[rng.choice(len(self._kinds), p=self._weights)]
            found = self._by_kind[kind][rng.integers(len(self._by_kind[kind]))]
        return recoloured(found, rng)

    def _target(self, target: StoredCutout, rng: np.random.Generator, linear: bool) -> Layer:
        """Place the object so that enough of it is seen, maybe with another as one."""
        layer = None
        for _ in range(6):
            layer = self._layer(target, rng, linear, self.settings.scale, tell_seen=True)
            if layer.alpha.sum() > 0.002 * layer.alpha.size:
                break
        assert layer is not None
        choice = rng.random()
        if choice < self.settings.double_chance:
            layer = joined(layer, self._layer(self.draw_cutout(rng), rng, linear, (0.2, 0.9)))
        elif choice < self.settings.double_chance + self.settings.swarm_chance:
            for _ in range(int(rng.integers(1, 8))):
                layer = joined(layer, self._layer(target, rng, linear, (0.1, 0.7)))
        return layer

    def _layer(
        self,
        cutout: StoredCutout,
        rng: np.random.Generator,
        linear: bool,
        scale: tuple[float, float],
        *,
        tell_seen: bool = False,
    ) -> Layer:
        size = self.settings.size_px
        seen = self.settings.least_seen if tell_seen else 0.1
        matrix = placement(cutout.rgba.shape[:2], size, rng, scale, seen)
        return placed(cutout.rgba, matrix, (size, size), linear=linear)

    def _ground(self, rng: np.random.Generator, linear: bool) -> Floats:
        """Cut a background to the picture, or make a plain or a mixed one."""
        size, choice = self.settings.size_px, rng.random()
        if choice < 0.12:
            return decoded(made_ground(size, rng), linear=linear)
        ground = decoded(self._crop(rng), linear=linear)
        if choice > 0.8:
            # Rooms and streets are made of pieces: walls, floors, furniture.
            other = decoded(self._crop(rng), linear=linear)
            part = shape_mask(size, rng)[..., None]
            ground = ground * (1 - part) + other * part
        if rng.random() < self.settings.defocus_chance:
            blur = size * float(rng.uniform(0.004, 0.03))
            ground = np.asarray(cv2.GaussianBlur(ground, (0, 0), blur), np.float32)
        return np.asarray(ground * np.float32(rng.uniform(0.5, 1.15)), np.float32)

    def _crop(self, rng: np.random.Generator) -> Bytes:
        picture = self._backgrounds[int(rng.integers(len(self._backgrounds)))]
        height, width = picture.shape[:2]
        side = int(min(height, width) * rng.uniform(0.35, 1))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        size = self.settings.size_px
        how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        cut = cv2.resize(
            picture[top : top + side, left : left + side], (size, size), None, 0, 0, how
        )
        return np.asarray(cut[:, ::-1] if rng.random() < 0.5 else cut, np.uint8)

    def _with_shadow(self, canvas: Floats, layer: Layer, rng: np.random.Generator) -> Floats:
        if rng.random() >= self.settings.shadow_chance:
            return canvas
        size = self.settings.size_px
        shift = (rng.normal(0, 0.03 * size), rng.uniform(-0.01, 0.07) * size)
        blur = size * rng.uniform(0.005, 0.06)
        return shadowed(canvas, layer.alpha, shift, blur, rng.uniform(0.15, 0.7))

    def _harmonised(self, layer: Layer, canvas: Floats, rng: np.random.Generator) -> Layer:
        """Draw the object's mean colour towards the ground's, as one light would."""
        if rng.random() >= self.settings.harmonised_chance:
            return layer
        weight = max(float(layer.alpha.sum()), 1.0)
        own, ground = layer.colour.sum((0, 1)) / weight, canvas.mean((0, 1))
        gain = ((ground + 0.02) / (own + 0.02)) ** np.float32(rng.uniform(0.1, 0.7))
        colour = layer.colour * np.clip(gain, 0.4, 2.5).astype(np.float32)
        return Layer(np.minimum(colour, layer.alpha[..., None]), layer.alpha)


def placement(
    shape: tuple[int, ...],
    size_px: int,
    rng: np.random.Generator,
    scale: tuple[float, float],
    least_seen: float,
) -> NDArray[np.float64]:
    """Draw where a cut-out comes to lie: the matrix, 2 × 3, from its pixels to the picture's.

    Args:
        shape: its height and width.
        size_px: the picture's side.
        rng: where chance comes from.
        scale: see `SceneSettings`.
        least_seen: share of its extent, along each axis, that lies in the picture.
    """
    height, width = shape[:2]
    grown = size_px * float(np.exp(rng.uniform(*np.log(scale)))) / max(height, width)
    angle = rng.normal(0, 12) if rng.random() < 0.8 else rng.uniform(-180, 180)
    turn = np.deg2rad(angle)
    stretch = np.exp(rng.normal(0, 0.1))
    mirror = -1 if rng.random() < 0.5 else 1
    cos, sin = np.cos(turn), np.sin(turn)
    linear = grown * np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch * mirror, 1 / stretch])
    half = np.abs(linear) @ np.array([width / 2, height / 2])
    # From where just `least_seen` of it is in, on the one side, to the same on the other.
    reach = half * (1 - 2 * least_seen)
    centre = rng.uniform(np.minimum(-reach, half), np.maximum(size_px + reach, size_px - half))
    if rng.random() < 0.6:
        # Photographers put what they mean into the picture.
        inside = np.sort([half, size_px - half], axis=0)
        centre = np.clip(centre, *inside)
    offset = centre - linear @ np.array([(width - 1) / 2, (height - 1) / 2])
    return np.hstack([linear, offset[:, None]])


def recoloured(cutout: StoredCutout, rng: np.random.Generator) -> StoredCutout:
    """Change a cut-out's colours: brightness, contrast, saturation, hue, now and then channels."""
    colour = cutout.rgba[..., :3].astype(np.float32)
    if rng.random() < 0.15:
        colour = colour[..., rng.permutation(3)]
    grey = colour.mean(-1, keepdims=True)
    colour = grey + (colour - grey) * np.float32(rng.uniform(0.5, 1.4))
    gains = rng.normal(1, 0.08, 3) * rng.uniform(0.7, 1.25)
    colour = (colour - 128) * np.float32(rng.uniform(0.75, 1.2)) + 128
    colour = colour * gains.astype(np.float32) + np.float32(rng.normal(0, 10))
    whole = np.dstack([np.clip(colour, 0, 255).astype(np.uint8), cutout.rgba[..., 3]])
    return StoredCutout(whole, cutout.kind, cutout.opacity)


def made_ground(size_px: int, rng: np.random.Generator) -> Bytes:
    """Make a plain ground: a soft gradient with a little texture, `H W 3`."""
    corners = rng.uniform(0, 255, (2, 2, 3)) * rng.uniform(0, 0.5) + rng.uniform(0, 255, 3) * 0.7
    ground = cv2.resize(
        corners.astype(np.float32), (size_px, size_px), None, 0, 0, cv2.INTER_LINEAR
    )
    for side in (4, 16, 64):
        grains = rng.normal(0, rng.uniform(0, 10), (side, side, 1)).astype(np.float32)
        spread = cv2.resize(grains, (size_px, size_px), None, 0, 0, cv2.INTER_CUBIC)
        ground = ground + spread[..., None]
    return np.clip(ground, 0, 255).astype(np.uint8)


def shape_mask(size_px: int, rng: np.random.Generator) -> Floats:
    """Draw a random polygon or half plane, with hard edges: `H W` in {0, 1} but for its rim."""
    mask = np.zeros((size_px, size_px), np.uint8)
    count = int(rng.integers(3, 6))
    points = rng.uniform(-0.4, 1.4, (count, 2)) * size_px
    cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), 255, cv2.LINE_AA)
    return mask.astype(np.float32) / np.float32(255)


def procedural_makers(
    kinds: Sequence[str], least_px: int, greatest_px: int
) -> list[Callable[[np.random.Generator], StoredCutout]]:
    """Return a maker for each of the named kinds of `procedural`, of sizes between two.

    Args:
        kinds: Their names; one that is named twice is made twice as often.
        least_px: Least side of what is made.
        greatest_px: Its greatest side.

    Raises:
        PullmatteError: If there is no such kind.
    """

    def maker(kind: str) -> Callable[[np.random.Generator], StoredCutout]:
        return lambda rng: stored(make(kind, int(rng.integers(least_px, greatest_px + 1)), rng))

    for unknown in sorted(set(kinds) - set(KINDS)):
        make(unknown, least_px, np.random.default_rng(0))
    return [maker(kind) for kind in kinds]
