"""The rule between the opaque and the transparent answer."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pullmatte.models.sdmatte.opacity_choice import choose_opacity, deep_softness


def disc(side=512, softness=2.0):
    y, x = np.mgrid[:side, :side] - side / 2
    return np.clip((side / 3 - np.hypot(y, x)) / softness, 0, 1).astype(np.float32)


def hairy():
    """A disc under a coat of hair, one pixel wide."""
    rng = np.random.default_rng(0)
    alpha = disc()
    for angle in rng.uniform(0, 2 * np.pi, 500):
        end = 256 + 230 * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(alpha, (256, 256), tuple(int(v) for v in end), 0.6, 1, cv2.LINE_AA)
    return np.maximum(alpha, disc())


def smoke():
    noise = np.random.default_rng(1).random((512, 512)).astype(np.float32)
    cloud = cv2.GaussianBlur(noise, (0, 0), 25)
    cloud = (cloud - cloud.min()) / (cloud.max() - cloud.min())
    return cloud * disc(softness=80)


OPAQUE = {
    "hard disc": disc(),
    "blurred disc": disc(softness=20),
    "hair": hairy(),
    "nothing": np.zeros((64, 64), np.float32),
    "everything": np.ones((64, 64), np.float32),
    "speck": np.pad(np.full((2, 2), 0.5, np.float32), 200),
    "faint haze": np.full((128, 128), 0.05, np.float32),
    "one row": np.full((1, 300), 0.5, np.float32)[:, :40],
}
TRANSPARENT = {
    "glass": disc() * 0.5,
    "smoke": smoke(),
    "veil over all": np.full((100, 200), 0.4, np.float32),
    "glass with a solid rim": np.maximum(disc() * 0.4, disc() - np.roll(disc(), 12, axis=0)),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_hard_soft_edged_and_hairy_objects_are_opaque(name):
    assert choose_opacity(OPAQUE[name], OPAQUE[name]) == "opaque"


@pytest.mark.parametrize("name", TRANSPARENT)
def test_what_is_soft_throughout_is_transparent(name):
    assert choose_opacity(TRANSPARENT[name], TRANSPARENT[name]) == "transparent"


def test_both_answers_count_alike():
    soft, hard = disc() * 0.5, disc()
    assert choose_opacity(hard, soft) == choose_opacity(soft, hard) == "transparent"
    half = np.where(np.arange(512) < 190, soft, hard).astype(np.float32)
    assert 0 < deep_softness(half) < 0.4
    assert choose_opacity(hard, half) == "opaque"


def test_size_and_proportions_make_no_difference():
    for alpha, expected in ((smoke(), "transparent"), (hairy(), "opaque")):
        for size in ((256, 256), (1024, 1024), (300, 700)):
            other = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
            assert choose_opacity(other, other) == expected


def test_true_alphas_fall_on_their_own_side(shared):
    for folder, transparent in (("effects", True), ("tuxpaint", False)):
        right = []
        for path in sorted((shared / "data/train_fg" / folder).glob("*.webp"))[:25]:
            if "explosion" in path.name or "fire." in path.name:
                continue
            alpha = np.asarray(Image.open(path).convert("RGBA"))[..., 3].astype(np.float32) / 255
            alpha = cv2.resize(np.pad(alpha, 8), (512, 512), interpolation=cv2.INTER_LINEAR)
            right.append((choose_opacity(alpha, alpha) == "transparent") == transparent)
        assert np.mean(right) >= 0.92, folder
