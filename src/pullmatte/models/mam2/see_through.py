"""Objects of which nothing is surely foreground: one can see through them, or they are all edge.

One decoder that learns of frost and bubbles forgets hair and leaves: they become unknown inside. So
such objects can have a decoder of their own; whose turn it is says the first one's answer.

This is pullmatte's own; no paper has it. SDMatte is told opacity by a person (section 3.3).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.lite_encoder import TRUNK_WIDTH
from pullmatte.models.mam2.opacity_judge import OpacityJudge
from pullmatte.models.mam2.pdd import PromptableDualModeDecoder
from pullmatte.models.mam2.prompt_maps import PromptMaps


class SeeThrough(nn.Module):
    """A second decoder, for objects of which nothing is surely foreground.

    Attributes:
        config: As the network's, but for the decoder's own number of blocks.
        decoder: It.
        prompt_maps: Its own; None where the network has none.
        judge: Says whose turn it is, where the first decoder alone can't; None for none.
    """

    def __init__(self, model: Any, config: MAM2Config) -> None:
        """Build it.

        Args:
            model: `transformers`' SAM 2, whose sizes it has.
            config: The network's.
        """
        super().__init__()
        self.config = replace(
            config,
            prompted_blocks=config.see_through_blocks,
            see_through_blocks=0,
            judge_width=0,
        )
        self.decoder = PromptableDualModeDecoder(model.config.mask_decoder_config, self.config)
        if config.sam2.trunk == "lite":
            self.decoder.conv_s0 = self.decoder.conv_s1 = nn.Identity()
        self.prompt_maps = PromptMaps(config.sam2.width) if config.prompt_maps else None
        width = config.judge_width
        self.judge = OpacityJudge(TRUNK_WIDTH, width) if width else None


def surest_foreground(trimap_logits: Tensor) -> float:
    """Return the greatest chance of foreground that there is anywhere, in [0, 1].

    Args:
        trimap_logits: `1 3 h w`.
    """
    return float(torch.softmax(trimap_logits.float(), dim=1)[:, 2].amax())


def without_doubted_foreground(trimap_logits: Tensor, least: float) -> Tensor:
    """Make foreground unknown if the chance of it is nowhere as much as `least`.

    On what one can see through, glints and the like just win as foreground here and there; a
    matter takes them for the object's own colours, and makes all of it opaque.

    Args:
        trimap_logits: `1 3 h w`.
        least: In [0, 1]; 0 believes everything.

    Returns:
        `1 3 h w`, logits: where foreground won, they are now highest for unknown.
    """
    if surest_foreground(trimap_logits) >= least:
        return trimap_logits
    background, unknown, solid = trimap_logits.unbind(1)
    won = solid > torch.maximum(background, unknown)
    unknown = torch.where(won, solid, unknown)
    # Anything below the others; infinity would spoil the resizing.
    return torch.stack([background, unknown, torch.minimum(background, unknown) - 1], dim=1)
