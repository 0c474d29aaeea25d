"""Matting Anything 2, second stage: MEMatte learns to matte by a trimap, with few tokens.

Only pictures with mattes are taken. Alphas are compared by value and by detail; where a teacher,
ViTMatte, is given, the last features are held to its own, and the routers to keep a quarter of
the tokens. Student and teacher see the same crop and the same trimap, which is made by chance.

Source: MAM2, equation 2, section 4.1, appendix A.1 and A.5; MEMatte's training code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pullmatte.data.samples import MattingSample, SampleSource
from pullmatte.data.trimap_truth import draw_trimap_truth
from pullmatte.errors import PullmatteError
from pullmatte.models.mematte.backbone import GlobalBlock
from pullmatte.models.mematte.network import MEMatteNetwork, fill_up, normalise
from pullmatte.models.mematte.router import Router
from pullmatte.train.draws import numpy_generator, seed_of, torch_generator
from pullmatte.train.export import export_folder
from pullmatte.train.logs import side_by_side
from pullmatte.train.matter_losses import KEPT_SHARE, alpha_losses, teacher_losses
from pullmatte.train.recipe import decayed_groups, mean_terms, moved
from pullmatte.train.settings import LoopSettings, ScheduleName

_SHOWN = 4
_TRIES = 8


@dataclass(frozen=True)
class MEMatteSettings(LoopSettings):
    """What the second stage is told.

    Attributes:
        batch: Open in the paper.
        steps: About 3500 (section 4.1).
        learning_rate: 5e-4 (section 4.1).
        schedule: Open in the paper.
        weight_decay: Open in the paper; ViTMatte's.
        crop_px: Side of the crops; a multiple of 32.
        least_scale: Pictures are resized by a factor from here to `greatest_scale` before a crop
            is taken; never so small that the crop wouldn't fit.
        greatest_scale: The largest such factor.
        least_kernel_px: Least ellipse of the trimap, on a square of 640 pixels.
        greatest_kernel_px: Greatest ellipse of the trimap.
        kept_share: Share of tokens that routers shall keep.
        norms_learn: Whether batch norms take statistics of each batch, as in training from
            scratch. Else they keep the teacher's, which two processes can share and small
            batches can't spoil.
        loss_px: Side to which the area of the unknown region is related; the released code's is
            512 at any crop, None takes the crop's.
    """

    batch: int = 8
    steps: int = 3500
    learning_rate: float = 5e-4
    schedule: ScheduleName = "drops"
    weight_decay: float = 0.1
    crop_px: int = 1024
    least_scale: float = 0.75
    greatest_scale: float = 1.5
    least_kernel_px: int = 1
    greatest_kernel_px: int = 29
    kept_share: float = KEPT_SHARE
    norms_learn: bool = False
    loss_px: int | None = None


@dataclass(frozen=True, eq=False)
class Crop:
    """An item.

    Attributes:
        image: `3 S S` in [0, 1].
        alpha: `1 S S` in [0, 1].
        trimap: `1 S S` in {0, 0.5, 1}.
        seed: Of the routers' choices.
    """

    image: Tensor
    alpha: Tensor
    trimap: Tensor
    seed: int


class MEMatteRecipe:
    """The second stage.

    Attributes:
        name: "mematte".
        settings: What it was told.
        network: MEMatte, or ViTMatte if its config isn't routed.
        helpers: The teacher, if there is one.
    """

    name = "mematte"

    def __init__(
        self,
        network: MEMatteNetwork,
        source: SampleSource,
        settings: MEMatteSettings,
        teacher: MEMatteNetwork | None = None,
    ) -> None:
        """Take a network, all of which learns.

        Args:
            network: With weights of `start_from_teacher`, or trained ones.
            source: Pictures with mattes.
            settings: What to do.
            teacher: ViTMatte with trained weights; without one only alphas are compared.

        Raises:
            PullmatteError: If the crop won't do, or a teacher is given to a network without
                routers.
        """
        if settings.crop_px % 32 or settings.crop_px < 64:
            raise PullmatteError(f"crop_px {settings.crop_px}: give a multiple of 32, 64 or more")
        if teacher is not None and not network.config.routed:
            raise PullmatteError("a teacher for a network without routers: it has nothing to save")
        self.network, self.settings, self._source = network, settings, source
        self.helpers: Sequence[nn.Module] = () if teacher is None else (teacher,)
        self._teacher = teacher
        network.requires_grad_(True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> Crop:
        """Take a crop round the object's edge, mirrored by chance."""
        settings = self.settings
        draw = numpy_generator(settings.seed, number)
        sample = self._source.sample(number)
        image, alpha = _crop(sample, settings, draw)
        if draw.random() < 0.5:
            image, alpha = image[:, ::-1], alpha[:, ::-1]
        kernels = settings.least_kernel_px, settings.greatest_kernel_px
        classes = draw_trimap_truth(np.ascontiguousarray(alpha), draw, sample.opacity, kernels)
        return Crop(
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)),
            torch.from_numpy(np.ascontiguousarray(alpha[None], np.float32)),
            torch.from_numpy(classes[None].astype(np.float32) / 2),
            seed_of(settings.seed, number, 1),
        )

    def losses(self, items: Sequence[Crop]) -> dict[str, Tensor]:
        """Return alpha's and the teacher's losses, the mean over items."""
        if not self.settings.norms_learn:
            for layer in self.network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        image, alpha, trimap = (
            torch.stack([getattr(item, name) for item in items])
            for name in ("image", "alpha", "trimap")
        )
        if not self.network.config.routed:
            return self._compare(self.network(image, trimap).alpha, alpha, trimap)
        generators = [torch_generator(item.seed) for item in items]
        found, features, policies = run_softly_each(self.network, image, trimap, generators)
        losses = self._compare(found, alpha, trimap)
        told = mean_terms([
            self._told(features[at : at + 1], [policy[at : at + 1] for policy in policies], theirs)
            for at, theirs in enumerate(self._asked(image, trimap))
        ])
        kept = torch.stack([policy.mean() for policy in policies]).mean()
        total = losses["total"] + told["total"]
        return {**losses, **told, "kept": kept.detach(), "total": total}

    def _asked(self, image: Tensor, trimap: Tensor) -> Sequence[Tensor | None]:
        """Return the teacher's features of each picture, `1 C h w`; None without a teacher."""
        if self._teacher is None:
            return [None] * len(image)
        with torch.no_grad():
            theirs, _ = self._teacher.backbone(fill_up(normalise(image, trimap)), 0)
        features: Sequence[Tensor] = theirs.split(1)
        return features

    def _told(
        self, features: Tensor, policies: Sequence[Tensor], theirs: Tensor | None
    ) -> dict[str, Tensor]:
        """Hold a picture's features to the teacher's, and its routers to their share."""
        share = self.settings.kept_share
        if theirs is not None:
            return teacher_losses(features, theirs, policies, share=share)
        kept = torch.stack([policy.mean() for policy in policies]).mean()
        return {"share": (kept - share) ** 2, "total": (kept - share) ** 2}

    def _compare(self, found: Tensor, alpha: Tensor, trimap: Tensor) -> dict[str, Tensor]:
        size = self.settings.loss_px or self.settings.crop_px
        terms = [
            alpha_losses(*(each[at : at + 1] for each in (found, alpha, trimap)), size_px=size)
            for at in range(len(found))
        ]
        return mean_terms(terms)

    def panels(self) -> dict[str, Tensor]:
        """Return the first crops, trimaps, true alphas and found ones, and how far off."""
        items = moved([self.item(number) for number in range(_SHOWN)], self.network.device)
        pictures, trimaps, truth = (
            torch.stack([getattr(item, name) for item in items])
            for name in ("image", "trimap", "alpha")
        )
        alpha = torch.cat([
            self.network(picture[None], trimap[None]).alpha
            for picture, trimap in zip(pictures, trimaps, strict=True)
        ])
        return {
            "matting": side_by_side(pictures, trimaps, truth, alpha),
            "matting/alpha_off": (alpha - truth).abs().mean(),
        }

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write a folder that `pullmatte.load` reads."""
        name = "mematte" if self.network.config.routed else "vitmatte"
        kept = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
        export_folder(folder, name, self.network.config.to_dict(), kept, self.settings)


def run_softly_each(
    network: MEMatteNetwork,
    image: Tensor,
    trimap: Tensor,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run a network as in training; each picture's routers draw from its own generator.

    So a picture's choices don't hang on what else is in the batch.

    Args:
        network: Routed.
        image: `B 3 H W` in [0, 1].
        trimap: `B 1 H W` in {0, 0.5, 1}.
        generators: `B`, of the CPU.

    Returns:
        As `pullmatte.models.mematte.network.run_softly`, which draws from one for all.
    """
    rows, columns = image.shape[-2:]
    picture, backbone = fill_up(normalise(image, trimap)), network.backbone
    tokens = backbone.patch_embed(picture)
    tokens = tokens + backbone.positions(tokens.shape[1], tokens.shape[2])
    routers, policies = iter(backbone.routers), []
    for block in backbone.blocks:
        if not isinstance(block, GlobalBlock):
            tokens = block(tokens)
            continue
        router = next(routers)
        assert isinstance(router, Router)
        each = [router.sample(row[None], g) for row, g in zip(tokens, generators, strict=True)]
        policies.append(torch.cat(each))
        tokens = block.softly(tokens, policies[-1])
    features = tokens.permute(0, 3, 1, 2)
    return network.decoder(features, picture)[..., :rows, :columns], features, policies


def start_from_teacher(network: MEMatteNetwork, teacher: MEMatteNetwork) -> None:
    """Give a routed network the weights of a trained one without routers.

    Routed blocks have no relative positions, so the teacher's are left out there; routers and
    token refinement stay as they are.

    Args:
        network: It is changed.
        teacher: ViTMatte of the same sizes.

    Raises:
        PullmatteError: If the sizes differ.

    Source: MAM2, appendix A.1.
    """
    given, own = teacher.state_dict(), network.state_dict()
    shared = {name: value for name, value in given.items() if name in own}
    misshaped = [name for name, value in shared.items() if value.shape != own[name].shape]
    lacking = [
        name
        for name in own
        if name not in shared and "routers" not in name and "efficient_block" not in name
    ]
    if misshaped or lacking:
        raise PullmatteError(
            f"the teacher's {(misshaped or lacking)[0]} doesn't fit: give one of the same sizes"
        )
    network.load_state_dict(shared, strict=False)


def _crop(
    sample: MattingSample, settings: MEMatteSettings, draw: np.random.Generator
) -> tuple[Any, Any]:
    """Resize by a random factor, then take a square in which something is unsure."""
    size = settings.crop_px
    height, width = sample.alpha.shape
    scale = draw.uniform(settings.least_scale, settings.greatest_scale)
    scale = max(scale, size / height, size / width)
    shape = max(size, round(width * scale)), max(size, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image, alpha = (
        cv2.resize(each, shape, interpolation=how) for each in (sample.image, sample.alpha)
    )
    y = x = 0
    for _ in range(_TRIES):
        y, x = (int(draw.integers(side - size + 1)) for side in alpha.shape)
        part = alpha[y : y + size, x : x + size]
        if ((part > 0.01) & (part < 0.99)).any():
            break
    here = slice(y, y + size), slice(x, x + size)
    return np.clip(image[here], 0, 1), np.clip(alpha[here], 0, 1)
