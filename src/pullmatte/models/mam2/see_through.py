"""Objects of which nothing is surely foreground: one can see through them.

This is pullmatte's own; no paper has it.
"""

import torch
from torch import Tensor


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
