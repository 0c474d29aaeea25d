"""What passes between the image encoder, the prompt encoder and the mask decoder."""

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Features:
    """What the image encoder makes of `B` frames; no memory is in it.

    Attributes:
        top: `B C h w`, a token for 16 x 16 pixels.
        middle: `B C/4 2h 2w`, as the mask decoder adds it.
        fine: `B C/8 4h 4w`, as the mask decoder adds it.
        image: `B 3 4h 4w`, the frame itself in [0, 1]; only networks with `prompt_maps` have it.
        trunk: `B T h w`, the lite trunk's own map of that size; else None.
    """

    top: Tensor
    middle: Tensor
    fine: Tensor
    image: Tensor | None = None
    trunk: Tensor | None = None


@dataclass(frozen=True, eq=False)
class EmbeddedPrompt:
    """What the mask decoder is told of `K` objects.

    Attributes:
        sparse: `K N C`, a token for each point and one more; `1 1 C` if there is none.
        dense: `K C h w`, the mask; `1 C h w` if there is none.
        middle: `K C/4 2h 2w`, what `prompt_maps` add to a frame's map of that size; else None.
        fine: `K C/8 4h 4w`, the same.
    """

    sparse: Tensor
    dense: Tensor
    middle: Tensor | None = None
    fine: Tensor | None = None

    def added_to(self, frame: Features) -> Features:
        """Return a frame whose finer maps know of the prompt too."""
        if self.middle is None or self.fine is None:
            return frame
        return replace(frame, middle=frame.middle + self.middle, fine=frame.fine + self.fine)
