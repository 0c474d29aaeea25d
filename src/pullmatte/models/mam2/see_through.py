"""Objects that one can see through: a decoder of their own, and who says which they are.

What tells frost from hair are not its pixels but what kind of thing it is. One decoder for both
learns of either at the cost of the other: leaves and hair became unknown inside. So each has its
own, and a judge looks at what the first decoder's tokens found.

This is pullmatte's own; SDMatte embeds opacity as a prompt (section 3.3), which a person gives.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.pdd import PromptableDualModeDecoder
from pullmatte.models.mam2.prompt_maps import PromptMaps

TOKENS = 9
"""Output tokens of a decoder: score, quality, four masks, three of the trimap."""
_JUDGED = 64


class SeeThrough(nn.Module):
    """A second decoder, for objects that one can see through, and the judge.

    Attributes:
        config: As the network's, but for the decoder's own number of blocks.
        decoder: It.
        prompt_maps: Its own; None where the network has none.
        judge: From a decoder's tokens to how likely one can see through its object.
    """

    def __init__(self, model: Any, config: MAM2Config) -> None:
        """Build it.

        Args:
            model: `transformers`' SAM 2, whose sizes it has.
            config: The network's.
        """
        super().__init__()
        self.config = replace(
            config, prompted_blocks=config.see_through_blocks, see_through_blocks=0
        )
        self.decoder = PromptableDualModeDecoder(model.config.mask_decoder_config, self.config)
        if config.sam2.trunk == "lite":
            self.decoder.conv_s0 = self.decoder.conv_s1 = nn.Identity()
        width = config.sam2.width
        self.prompt_maps = PromptMaps(width) if config.prompt_maps else None
        self.judge = nn.Sequential(
            nn.LayerNorm(width),
            nn.Flatten(1),
            nn.Linear(TOKENS * width, _JUDGED),
            nn.GELU(),
            nn.Linear(_JUDGED, 1),
        )

    def chance(self, tokens: Tensor) -> Tensor:
        """Return how likely one can see through each object, `K`, in [0, 1].

        Args:
            tokens: `K M C`, of the network's own decoder on the frame on which it was prompted.
        """
        found: Tensor = torch.sigmoid(self.judge(tokens.float()))[:, 0]
        return found


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
    foreground = torch.softmax(trimap_logits.float(), dim=1)[:, 2]
    if float(foreground.amax()) >= least:
        return trimap_logits
    background, unknown, solid = trimap_logits.unbind(1)
    won = solid > torch.maximum(background, unknown)
    unknown = torch.where(won, solid, unknown)
    # Anything below the others; infinity would spoil the resizing.
    return torch.stack([background, unknown, torch.minimum(background, unknown) - 1], dim=1)
