"""Sizes of MEMatte; without routing the same network is ViTMatte."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from pullmatte.errors import PullmatteError

PATCH_PX = 16


@dataclass(frozen=True)
class MEMatteConfig:
    """One network. The defaults are those of the released ViT-S.

    Attributes:
        width: Channels of a token.
        heads: Attention heads.
        blocks: Transformer blocks.
        patch_px: Side of the square of pixels that makes a token.
        window: Side of a window in tokens.
        global_blocks: Blocks that attend over the whole picture; the others stay in windows.
        pretrained_px: Side of the square for which positions were learned.
        trained_px: Side of the square for which ViTMatte's global blocks learned relative
            positions; routed ones have none.
        stream: Channels of the detail stream at 1/2, 1/4 and 1/8 of the picture.
        fusion: Channels after each fusion with it, from 1/8 up to the picture's own size.
        routed: Whether only chosen tokens attend in the global blocks.
        most_tokens: As many tokens at most attend in a global block.
    """

    width: int = 384
    heads: int = 6
    blocks: int = 12
    patch_px: int = PATCH_PX
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    pretrained_px: int = 224
    trained_px: int = 512
    stream: tuple[int, int, int] = (48, 96, 192)
    fusion: tuple[int, int, int, int] = (256, 128, 64, 32)
    routed: bool = True
    most_tokens: int = 12_000

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        sizes = (self.width, self.heads, self.blocks, self.window, *self.stream, *self.fusion)
        if min(sizes) < 1:
            raise PullmatteError(f"sizes of {min(sizes)}: give 1 or more")
        if self.patch_px != PATCH_PX:
            raise PullmatteError(f"patch_px {self.patch_px}: the decoder is made for {PATCH_PX}")
        if self.width % self.heads:
            raise PullmatteError(f"width {self.width}: give a multiple of the {self.heads} heads")
        if not all(0 <= at < self.blocks for at in self.global_blocks):
            raise PullmatteError(f"global_blocks {self.global_blocks}: there are {self.blocks}")
        if self.most_tokens < 1:
            raise PullmatteError(f"most_tokens {self.most_tokens}: give 1 or more")

    @property
    def places(self) -> int:
        """Side of the grid of learned positions."""
        return self.pretrained_px // self.patch_px

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, or what JSON made of it.

        Raises:
            PullmatteError: If it holds a field that isn't known, or a value that can't be.
        """
        known = [each.name for each in fields(cls)]
        unknown = sorted(set(record) - set(known))
        if unknown:
            raise PullmatteError(f"unknown field {unknown[0]!r}; known are {', '.join(known)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return cls(**values)


MEMATTE_S = MEMatteConfig()
VITMATTE_S = MEMatteConfig(routed=False)
