"""Render ``fuzzball.mp4``: a ball of fur that drifts through the Hubble deep field, with sound.

The sky is NASA's Hubble deep field (public domain), taken from the scikit-image package; the ball
is drawn here, strand by strand. Run: ``python examples/make_clip.py hubble_deep_field.jpg``.
"""

import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES, FPS = 480, 270, 48, 24
RADIUS_PX, STRANDS, OVERSAMPLING = 46, 5200, 4
SAMPLE_RATE = 48000


def draw_ball(generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw the ball as straight `H W 4` RGBA in [0, 1], strands anti-aliased by oversampling."""
    size = 2 * int(RADIUS_PX * 1.8) * OVERSAMPLING
    colour = np.full((size, size, 3), (0.15, 0.45, 0.85), np.float32)
    alpha = np.zeros((size, size), np.float32)
    centre, radius = np.array([size / 2, size / 2]), RADIUS_PX * OVERSAMPLING
    cv2.circle(alpha, (size // 2, size // 2), int(radius * 0.9), 1.0, -1)
    for _ in range(STRANDS):
        angle, start = generator.uniform(0, 2 * np.pi), radius * np.sqrt(generator.uniform(0, 0.95))
        out = np.array([np.cos(angle), np.sin(angle)])
        swirl = np.array([-out[1], out[0]]) * generator.normal(0.15, 0.35)
        reach = radius * generator.uniform(0.15, 0.5)
        steps = np.linspace(0, 1, 7)[:, None]
        path = centre + out * start + (out * steps + swirl * steps**2) * reach
        shade = np.clip(generator.normal(1.0, 0.22) * (0.55 + 0.5 * start / radius), 0.25, 1.3)
        paint = tuple(float(v) for v in np.clip(np.array([0.12, 0.5, 0.95]) * shade, 0, 1))
        points = [path.round().astype(np.int32)]
        cv2.polylines(colour, points, False, paint, OVERSAMPLING + 2)
        cv2.polylines(alpha, points, False, 1.0, OVERSAMPLING - 1)
    for side in (-1, 1):
        eye = (int(centre[0] + side * radius * 0.32), int(centre[1] - radius * 0.15))
        cv2.circle(colour, eye, int(radius * 0.2), (1.0, 1.0, 1.0), -1)
        cv2.circle(
            colour, (eye[0] + radius // 16, eye[1]), int(radius * 0.1), (0.1, 0.05, 0.05), -1
        )
    premultiplied = cv2.resize(
        np.dstack([colour * alpha[..., None], alpha]),
        None,
        fx=1 / OVERSAMPLING,
        fy=1 / OVERSAMPLING,
        interpolation=cv2.INTER_AREA,
    )
    return premultiplied.astype(np.float32)


def render(sky: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Render all frames, `H W 3` RGB."""
    generator = np.random.default_rng(7)
    ball = draw_ball(generator)
    half = ball.shape[0] / 2
    frames = []
    for index in range(FRAMES):
        t = index / (FRAMES - 1)
        pan = np.float32([[1, 0, -40 - 80 * t], [0, 1, -200 - 30 * t]])
        plate = cv2.warpAffine(sky, pan, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        x, y = 95 + 290 * t, 150 - 45 * np.sin(np.pi * t * 1.3)
        turn = cv2.getRotationMatrix2D((half, half), 25 * np.sin(2 * np.pi * t), 1 + 0.15 * t)
        turn[:, 2] += (x - half, y - half)
        over = cv2.warpAffine(ball, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
        over = np.clip(over, 0, 1)
        image = plate * (1 - over[..., 3:]) + over[..., :3]
        image += generator.normal(0, 0.008, image.shape)
        frames.append((np.clip(image, 0, 1)[..., ::-1] * 255).round().astype(np.uint8))
    return frames


def write(frames: list[NDArray[np.uint8]], destination: Path) -> None:
    """Write H.264 with an AAC tone that rises as the ball flies."""
    with av.open(str(destination), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "18", "g": "24"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for image in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image))))
        container.mux(video.encode(None))
        seconds = np.arange(SAMPLE_RATE * FRAMES // FPS) / SAMPLE_RATE
        tone = 0.1 * np.sin(2 * np.pi * (220 + 60 * seconds) * seconds)
        for start in range(0, len(tone), 1024):
            block = tone[None, start : start + 1024].astype(np.float32)
            sound = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = SAMPLE_RATE, start
            sound.time_base = Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


if __name__ == "__main__":
    picture = cv2.imread(sys.argv[1])
    if picture is None:
        sys.exit(f"can't read {sys.argv[1]}: give scikit-image's hubble_deep_field.jpg")
    sky_image = picture.astype(np.float32) / 255
    write(render(sky_image), Path(__file__).with_name("fuzzball.mp4"))
