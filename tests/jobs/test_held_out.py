"""A clip's own alpha holds, also where a look grows the edge."""

from dataclasses import replace

import numpy as np

from pullmatte.io.image import write_image
from pullmatte.io.video import open_video
from pullmatte.jobs.look import Look
from pullmatte.jobs.video import matte_video
from pullmatte.jobs.video_options import VideoOptions
from pullmatte.prompts import Box, FramePrompt, Prompt, PromptFile

SAID = PromptFile((FramePrompt(Prompt(box=Box(0, 0, 40, 30))),))
PLAIN = VideoOptions(foreground=False, look=Look(shift_px=4))


def alphas(path):
    with open_video(path) as clip:
        return [frame.alpha for frame in clip.frames()]


def test_a_grown_edge_ends_at_the_clips_own_alpha(fake, tmp_path):
    own = np.zeros((30, 40), np.float32)
    own[8:22, 10:30] = 1
    for number in range(3):
        image = np.where(own[..., None] > 0, 0.9, 0.1).repeat(3, 2).astype(np.float32)
        write_image(tmp_path / f"in.{number:04d}.png", image=image, alpha=own)
    (tmp_path / "out").mkdir()
    for name, options in (("a", PLAIN), ("b", replace(PLAIN, only_alpha=True))):
        out = tmp_path / "out" / f"{name}.%04d.png"
        matte_video(fake, tmp_path / "in.%04d.png", out, SAID, options)
    grown = alphas(tmp_path / "out" / "a.%04d.png")
    assert len(grown) == 3
    assert all((alpha[own == 0] == 0).all() for alpha in grown)
    assert all(alpha[own > 0].max() > 0.8 for alpha in grown)
    with open_video(tmp_path / "out" / "b.%04d.png") as clip:
        assert all((frame.image[own == 0] == 0).all() for frame in clip.frames())
