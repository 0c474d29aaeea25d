"""One clip through `transformers`' own Sam2VideoModel and through ours, with the same weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam2_video import modeling_sam2_video as modeling
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoInferenceSession,
    Sam2VideoModel,
)

from pullmatte.models.mam2.config import MINIATURE, MAM2Config
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.options import MAM2Options
from pullmatte.models.mam2.pdd import held
from pullmatte.models.mam2.sam2 import attend_memory
from pullmatte.models.mam2.transformers_config import transformers_config
from pullmatte.models.protocol import Memories
from pullmatte.prompts import Prompt

PLAIN = replace(MINIATURE, trimap="mask_band", second_pass="off")


def random_weights(module: torch.nn.Module, seed: int = 0) -> None:
    """Give weights for which masks have both signs and objects are there.

    Fresh weights of SAM 2 say next to nothing: embeddings of 0, layers that barely count.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name or name.endswith("scale"):
                value.copy_(noise * 0.1 + (name.endswith(("weight", "scale"))))
            elif name.endswith("bias"):
                value.copy_(noise * 0.1)
            elif value.ndim >= 2 and "embed" not in name and "token" not in name:
                value.copy_(noise * (1.4 / value[0].numel() ** 0.5))
            else:
                value.copy_(noise * 0.7)
        for name, value in module.named_buffers():
            if name.endswith("positional_embedding"):
                value.copy_(torch.randn(value.shape, generator=generator))


def pair(seed: int = 5, config: MAM2Config = PLAIN) -> tuple[Sam2VideoModel, MAM2Network]:
    """Give both the same weights; a few frames of the clip lack the object."""
    theirs = Sam2VideoModel(transformers_config(config.sam2)).eval().requires_grad_(False)
    random_weights(theirs, seed)
    positions = theirs.shared_image_embedding.positional_embedding
    theirs.prompt_encoder.shared_embedding.positional_embedding.copy_(positions)
    theirs.mask_decoder.pred_obj_score_head.proj_out.bias += 0.5
    for mlp in theirs.mask_decoder.output_hypernetworks_mlps:
        mlp.proj_out.weight *= 0.1
    ours = MAM2Network(config).eval().requires_grad_(False)
    # The same sums in the same order: these weights enlarge rounding from frame to frame.
    ours.attend = attend_memory
    found = ours.sam2.load_state_dict(theirs.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all("trimap_branch" in name for name in found.missing_keys)
    return theirs, ours


def make_clip(frames: int, side: int = 256, seed: int = 1) -> np.ndarray:
    """Return a clip, `T H W 3` in [0, 1], in which large patches drift."""
    random = np.random.default_rng(seed)
    patches = random.random((frames // 4 + 2, 8, 8, 3), np.float32)
    clip = np.empty((frames, side, side, 3), np.float32)
    for at in range(frames):
        share = (at % 4) / 4
        mixed = (1 - share) * patches[at // 4] + share * patches[at // 4 + 1]
        clip[at] = mixed.repeat(side // 8, 0).repeat(side // 8, 1)
    return np.clip(clip + random.normal(0, 0.05, clip.shape).astype(np.float32), 0, 1)


@dataclass(frozen=True)
class Said:
    """What is said of the object on a frame: points with labels, 2 and 3 for a box; or a mask."""

    points: tuple[tuple[float, float, int], ...] = ()
    mask: np.ndarray | None = None

    def as_prompt(self) -> Prompt:
        """Say it in our words."""
        if self.mask is not None:
            return Prompt.of(mask=self.mask)
        corners = [point[:2] for point in self.points if point[2] >= 2]
        clicks = [point for point in self.points if point[2] < 2]
        return Prompt.of(
            box=(*corners[0], *corners[1]) if corners else None,
            points=[point[:2] for point in clicks] or None,
            labels=[point[2] for point in clicks] or None,
        )


class _ByChannel:
    """`torch.nn.functional`, but masks are enlarged one by one.

    The same to 5e-7, as torch has another kernel for three channels than for one. Memories are
    kept as bfloat16, and there such a difference now and then becomes one of 4e-3, which random
    weights go on to enlarge.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(F, name)

    @staticmethod
    def interpolate(values: Tensor, **options: Any) -> Tensor:
        parts = [F.interpolate(part, **options) for part in values.split(1, dim=1)]
        return torch.cat(parts, dim=1)


class Reference:
    """`transformers`' own session with one object."""

    def __init__(self, model: Sam2VideoModel, clip: np.ndarray) -> None:
        self.model = model
        mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
        video = torch.from_numpy(((clip - mean) / deviation).transpose(0, 3, 1, 2).copy())
        side = clip.shape[1]
        self.session = Sam2VideoInferenceSession(
            video=video, video_height=side, video_width=side, dtype=torch.float32
        )
        self.object = self.session.obj_id_to_idx(1)

    def say(self, frame: int, said: Said) -> None:
        """Prompt a frame; the next `run` on it decodes it."""
        if said.mask is not None:
            mask = torch.from_numpy(said.mask)[None, None]
            self.session.add_mask_inputs(self.object, frame, mask)
        else:
            points = torch.tensor(said.points)
            inputs = {
                "point_coords": points[None, None, :, :2],
                "point_labels": points[None, None, :, 2].int(),
            }
            self.session.add_point_inputs(self.object, frame, inputs)
        self.session.obj_with_new_inputs = [1]

    def run(self, frame: int, *, reverse: bool = False) -> dict[str, Tensor]:
        """Process a frame and return what is kept of it."""
        with patch.object(modeling, "F", _ByChannel()):
            self.model(self.session, frame_idx=frame, reverse=reverse)
        kinds = self.session.output_dict_per_obj[self.object]
        kept: dict[str, Any] = kinds["cond_frame_outputs"].get(frame) or kinds[
            "non_cond_frame_outputs"
        ].get(frame)
        return {
            "logits": kept["pred_masks"][0, 0],
            "pointer": kept["object_pointer"].reshape(-1),
            "features": kept["maskmem_features"][:, 0].float(),
            "score": kept["object_score_logits"].reshape(()),
        }


class NoMatter:
    """Leaves unknown pixels as they are."""

    def matte(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        return trimap


@dataclass
class Ours:
    """`MAM2Model` and its memories, of which none is dropped unless `bounded`.

    Frames are encoded once for all that share `encoded`.
    """

    network: MAM2Network
    clip: np.ndarray
    bounded: bool = False
    encoded: dict[int, Any] = field(default_factory=dict)
    options: MAM2Options = field(
        default_factory=lambda: MAM2Options(False, False, mask_pointer="best")
    )

    def __post_init__(self) -> None:
        self.model = MAM2Model(self.network, NoMatter(), self.options)
        self.prompted: dict[int, Any] = {}
        self.tracked: dict[int, Any] = {}
        self.said: dict[int, Said] = {}

    def say(self, frame: int, said: Said) -> None:
        """Prompt a frame; the next `run` on it decodes it."""
        self.said[frame] = said

    def run(self, frame: int, *, reverse: bool = False) -> dict[str, Tensor]:
        """Process a frame and return what is kept of it.

        As there, a corrected frame that was tracked before stays one of the tracked.
        """
        if frame not in self.encoded:
            self.encoded[frame] = self.model.encode(self.clip[frame])
        encoded = self.encoded[frame]
        said = self.said.pop(frame, None)
        prompt = None if said is None else said.as_prompt()
        if prompt is not None and frame not in self.tracked:
            prediction, kept = self.model.predict(encoded, prompt), self.prompted
        else:
            memories = Memories(self.prompted, self._near(frame), reverse)
            prediction = self.model.track(encoded, memories, frame, prompt=prompt)
            kept = self.tracked
        kept[frame] = entry = self.model.remember(encoded, prediction)
        if self.bounded:
            # What is kept on disk between two runs: arrays, without the model's own wrappers.
            kept[frame] = {name: np.array(value) for name, value in entry.items()}
        known = prediction.carried
        return {
            "logits": held(known["logits"], known["present"])[0, 0],
            "pointer": entry["pointer"].tensor,
            "features": entry["features"].tensor.float(),
        }

    def _near(self, frame: int) -> dict[int, Any]:
        if not self.bounded:
            return self.tracked
        spans = self.model.memory_spans
        near = {
            at: {name: value for name, value in entry.items() if spans[name] >= abs(at - frame)}
            for at, entry in self.tracked.items()
        }
        return {at: entry for at, entry in near.items() if entry}


def differences(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the largest difference of each tensor that both have."""
    return {name: float((a[name] - b[name]).abs().max()) for name in a.keys() & b.keys()}
