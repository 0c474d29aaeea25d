"""Opacity embedding: tells the U-Net whether the object is opaque or transparent."""

from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn


class Projection(nn.Module):
    """f1 or f2 of equation 2: from a sinusoidal code to the condition vector's width.

    As released it has two layers with SiLU between them; with `deep` false it is the paper's one.
    """

    def __init__(self, width_in: int, width_out: int, *, deep: bool) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width_in, width_out)
        self.linear_2 = nn.Linear(width_out, width_out) if deep else None

    def forward(self, code: Tensor) -> Tensor:
        """Map codes, `B C`, to `B condition_width`."""
        projected: Tensor = self.linear_1(code.to(self.linear_1.weight.dtype))
        if self.linear_2 is None:
            return projected
        return self.linear_2(nn.functional.silu(projected))  # type: ignore[no-any-return]


def sinusoid(numbers: Tensor, width: int) -> Tensor:
    """Code each number by cosines, then sines, of falling frequency.

    Numbers aren't scaled: a coordinate in [0, 1] moves the highest frequency by one radian.

    Args:
        numbers: `...` float.
        width: Length of a code; an odd one ends with a zero.

    Returns:
        `... width` float32.
    """
    flat = numbers.reshape(-1).float()
    code: Tensor = get_timestep_embedding(flat, width, flip_sin_to_cos=True, downscale_freq_shift=0)
    return code.reshape(*numbers.shape, width)


class OpacityEmbedding(nn.Module):
    """f1(E_opacity): 1 for opaque, 0 for transparent, through what was the time embedding's MLP.

    Source: SDMatte, section 3.3, equation 2.
    """

    def __init__(self, width: int, condition_width: int, *, deep: bool = True) -> None:
        """Take the sinusoid's `width` and that of the condition vector."""
        super().__init__()
        self.width = width
        self.mlp = Projection(width, condition_width, deep=deep)

    def forward(self, opacity: Tensor) -> Tensor:
        """Embed opacities.

        Args:
            opacity: `B`, 1 for opaque and 0 for transparent.

        Returns:
            `B condition_width`.
        """
        embedded: Tensor = self.mlp(sinusoid(opacity, self.width))
        return embedded
