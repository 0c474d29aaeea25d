"""What cameras and files do to a picture: blur, grain, colour, JPEG."""

import cv2
import numpy as np

from pullmatte.data.compositing import Floats


def degraded(image: Floats, rng: np.random.Generator, harm: float = 1.0) -> Floats:
    """Degrade a picture, `H W 3` in [0, 1], at random; the alpha isn't concerned.

    Args:
        image: not changed.
        rng: where chance comes from.
        harm: how much of blur, grain and compression, in [0, 1].
    """
    image = _coloured(image, rng)
    if rng.random() < 0.25 * harm:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3)), np.float32)
    if rng.random() < 0.2 * harm:
        image = _coarsened(image, rng)
    if rng.random() < 0.6:
        image = _grainy(image, rng, harm)
    if rng.random() < 0.15:
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        image = image + (image - blurred) * np.float32(rng.uniform(0.2, 1.0))
    whole = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(round(95 - 60 * harm), 96))
        done, packed = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done:
            whole = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return whole.astype(np.float32) / np.float32(255)


def _coloured(image: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.1:
        grey = image.mean(-1, keepdims=True)
        return np.repeat(grey, 3, axis=-1)
    gains = (rng.normal(1, 0.06, 3) * rng.uniform(0.8, 1.2)).astype(np.float32)
    found: Floats = np.clip(image * gains, 0, 1)
    if rng.random() < 0.4:
        found = found ** np.float32(np.exp(rng.normal(0, 0.25)))
    return found


def _coarsened(image: Floats, rng: np.random.Generator) -> Floats:
    """Lose detail as an enlarged picture has."""
    height, width = image.shape[:2]
    share = rng.uniform(0.4, 0.9)
    size = (max(8, round(width * share)), max(8, round(height * share)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _grainy(image: Floats, rng: np.random.Generator, harm: float) -> Floats:
    height, width = image.shape[:2]
    channels = 3 if rng.random() < 0.5 else 1
    grain = rng.standard_normal((height, width, channels), np.float32)
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(grain, (0, 0), 0.7).reshape(height, width, channels)
        grain = np.asarray(soft * 2, np.float32)
    return image + grain * np.float32(abs(rng.normal(0, 0.03 * harm)))
