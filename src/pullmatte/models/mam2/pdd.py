"""Promptable Dual-mode Decoder: SAM 2's mask decoder that gives a trimap beside the mask."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.features import EmbeddedPrompt, Features
from pullmatte.models.mam2.refinement import PromptedBlocks, Residual
from pullmatte.models.mam2.sam2 import (
    ABSENT_LOGIT,
    StepwiseDecoder,
    channel_norm,
    dot,
    hyper_mlp,
)

CLASSES = 3
"""Background, unknown and foreground, in this order."""
Choice = Literal["best", "stable", "single"]
"""Which of SAM 2's four masks: the "best" of the three for ambiguous prompts, the "single" one for
clear prompts, or that one unless it isn't "stable"."""
Branch = Literal["on", "tokens", "off"]
"""Whether a trimap is decoded, only its tokens take part, as they do in training, or not even they,
which is plain SAM 2."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder says of `K` objects.

    Attributes:
        mask_logits: `K 1 4h 4w`, of the chosen mask, whether the object is there or not.
        token: `K C`, from which its pointer is made.
        score: `K 1`; the object is there if it's over 0.
        candidates: `K 1 4h 4w`, or `K 3 4h 4w` for the choice "best".
        quality: `K 1` or `K 3`: intersection over union that the decoder expects of each.
        trimap_logits: `K 3 4h 4w`, background, unknown and foreground; None if not decoded.
    """

    mask_logits: Tensor
    token: Tensor
    score: Tensor
    candidates: Tensor
    quality: Tensor
    trimap_logits: Tensor | None

    @property
    def present(self) -> Tensor:
        """Whether the decoder takes each object for being there, `K 1` bool."""
        return self.score > 0


def held(mask_logits: Tensor, present: Tensor) -> Tensor:
    """Return mask logits, `K 1 4h 4w`, those of objects that aren't there far below 0."""
    return torch.where(present[:, :, None, None], mask_logits, ABSENT_LOGIT)


def refiners(width: int, inner: int) -> tuple[nn.Module, nn.Module]:
    """Return what comes after the two steps of upscaling a map of `width` channels."""
    if not inner:
        return nn.Identity(), nn.Identity()
    return Residual(width // 4, inner), Residual(width // 8, inner // 2)


class Upscaler(nn.Module):
    """A second copy of SAM 2's upscaling: it makes the trimap feature."""

    def __init__(self, width: int, refined: int = 0) -> None:
        """Build it for maps of `width` channels; `refined` as in the config."""
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(width, width // 4, 2, 2)
        self.layer_norm = channel_norm(width // 4)
        self.conv2 = nn.ConvTranspose2d(width // 4, width // 8, 2, 2)
        self.refine_middle, self.refine_fine = refiners(width, refined)

    def forward(self, image: Tensor, frame: Features) -> Tensor:
        """Return `K C/8 4h 4w` of a map `K C h w`."""
        grown = nn.functional.gelu(self.layer_norm(self.conv1(image) + frame.middle))
        grown = self.conv2(self.refine_middle(grown)) + frame.fine
        found: Tensor = self.refine_fine(nn.functional.gelu(grown))
        return found


class Fusion(nn.Module):
    """Mends the trimap feature by the mask: a few convolutions.

    Source: MAM2, section 3.4, "lightweight fusion module".
    """

    def __init__(self, width: int, inner: int, layers: int, *, residual: bool) -> None:
        """Build it for features of `width` channels, with `inner` between its convolutions."""
        super().__init__()
        self.residual = residual
        sizes = [3 * width, *[inner] * (layers - 1), width]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))

    def forward(self, augment: Tensor, segmentation: Tensor, trimap: Tensor) -> Tensor:
        """Fuse three features of `K C/8 4h 4w` into one."""
        fused = torch.cat([augment, segmentation, trimap], dim=1)
        for at, conv in enumerate(self.convs):
            fused = conv(nn.functional.gelu(fused) if at else fused)
        return trimap + fused if self.residual else fused


class TrimapBranch(nn.Module):
    """Everything that the decoder has for trimaps alone.

    Source: MAM2, section 3.4, figure 2 (b); without `mask_augment` and `fusion` it is *Parallel*
    of table 5.
    """

    def __init__(self, width: int, config: MAM2Config) -> None:
        """Build it for maps of `width` channels."""
        super().__init__()
        self.detach_mask = config.detach_mask
        self.tokens = nn.Embedding(CLASSES, width)
        self.mlps = nn.ModuleList(hyper_mlp(width) for _ in range(CLASSES))
        self.upscaler = Upscaler(width, config.refined_width)
        guided = config.trimap == "pdd"
        self.mask_augment = nn.Conv2d(1, width // 8, 3, padding=1) if guided else None
        self.fusion = (
            Fusion(
                width // 8,
                config.fusion_width,
                config.fusion_layers,
                residual=config.fusion_residual,
            )
            if guided
            else None
        )

    def forward(
        self, tokens: Tensor, image: Tensor, frame: Features, segmentation: Tensor, mask: Tensor
    ) -> Tensor:
        """Decode trimaps.

        Args:
            tokens: `K 3 C`, the trimap's output tokens.
            image: `K C h w`.
            frame: Its finer maps.
            segmentation: `K C/8 4h 4w`, SAM 2's upscaled feature.
            mask: `K 1 4h 4w`, logits.

        Returns:
            `K 3 4h 4w`, logits.
        """
        feature = self.upscaler(image, frame)
        if self.mask_augment is not None and self.fusion is not None:
            mask = mask.detach() if self.detach_mask else mask
            augment = self.mask_augment(torch.sigmoid(mask))
            feature = self.fusion(augment, segmentation, feature)
        return dot(self.mlps, tokens, feature)

    @torch.no_grad()
    def start_from(self, decoder: StepwiseDecoder) -> None:
        """Take SAM 2's mask branch as the start of training.

        Tokens begin as the mean of its mask tokens, the MLPs as that of the first mask, the
        upscaler as its own; a residual fusion begins by changing nothing.

        Args:
            decoder: With SAM 2's weights.
        """
        self.tokens.weight.copy_(decoder.mask_tokens.weight.mean(0).expand(CLASSES, -1))
        for mlp in self.mlps:
            mlp.load_state_dict(decoder.output_hypernetworks_mlps[0].state_dict())
        self.upscaler.conv1.load_state_dict(decoder.upscale_conv1.state_dict())
        self.upscaler.conv2.load_state_dict(decoder.upscale_conv2.state_dict())
        self.upscaler.layer_norm.load_state_dict(decoder.upscale_layer_norm.state_dict())
        self.upscaler.refine_middle.load_state_dict(decoder.refine_middle.state_dict())
        self.upscaler.refine_fine.load_state_dict(decoder.refine_fine.state_dict())
        if self.fusion is not None and self.fusion.residual:
            for parameter in self.fusion.convs[-1].parameters():
                parameter.zero_()


class PromptableDualModeDecoder(StepwiseDecoder):
    """SAM 2's mask decoder with a trimap branch, where the config has one.

    Attributes:
        without_trimap: Leave the branch and its tokens out everywhere: plain SAM 2.

    Source: MAM2, section 3.4.
    """

    def __init__(self, sizes: Any, config: MAM2Config) -> None:
        """Build it.

        Args:
            sizes: `transformers`' config of the mask decoder.
            config: What the trimap comes from.
        """
        super().__init__(sizes)
        self.without_trimap = False
        width = self.hidden_size
        if config.prompted_blocks:
            self.prompted = PromptedBlocks(width, config.prompted_blocks, config.prompted_pool)
        self.refine_middle, self.refine_fine = refiners(width, config.refined_width)
        self.trimap_branch = (
            TrimapBranch(self.hidden_size, config) if config.has_trimap_branch else None
        )

    def decode(
        self,
        frame: Features,
        top: Tensor,
        positions: Tensor,
        prompt: EmbeddedPrompt,
        *,
        choose: Choice = "best",
        branch: Branch = "on",
        all_masks: bool = False,
    ) -> Decoded:
        """Decode `K` objects of one frame, or of `K` frames.

        Args:
            frame: Its finer maps are used.
            top: `K C h w` or `1 C h w`, with memory or `without_memory`.
            positions: `1 C h w`.
            prompt: What was said.
            choose: Which mask is taken.
            branch: Whether trimaps are decoded; without a branch they never are.
            all_masks: Return all four masks as candidates, with their quality.
        """
        frame = prompt.added_to(frame)
        extra = None if branch == "off" or self.without_trimap else self.trimap_branch
        tokens = self.output_tokens()
        if extra is not None:
            tokens = torch.cat([tokens, extra.tokens.weight])
        found, image = self.attend(top, positions, tokens, prompt)
        feature = self.upscale(image, frame)
        masks, mask_tokens = self.all_masks(found, feature)
        quality = self.iou_prediction_head(found[:, 1])
        score = self.pred_obj_score_head(found[:, 0])
        everything = masks, quality
        mask, token, masks, quality = self._chosen(masks, mask_tokens, quality, choose)
        if all_masks:
            masks, quality = everything
        trimap = None
        if extra is not None and branch == "on":
            trimap = extra(found[:, -CLASSES:], image, frame, feature, mask)
        return Decoded(mask, token, score, masks, quality, trimap)

    def _chosen(
        self, masks: Tensor, tokens: Tensor, quality: Tensor, choose: Choice
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if choose == "best":
            masks, quality = masks[:, 1:], quality[:, 1:]
            rows, best = torch.arange(len(masks), device=masks.device), quality.argmax(dim=1)
            return masks[rows, best, None], tokens[rows, best + 1], masks, quality
        if choose == "stable" and not self.training:
            masks, quality = self.most_stable(masks, quality)
        else:
            masks, quality = masks[:, :1], quality[:, :1]
        # The pointer's token stays the first mask's, also where another was more stable.
        return masks, tokens[:, 0], masks, quality
