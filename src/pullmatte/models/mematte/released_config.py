"""Which network a released file is for: its tensors' shapes tell every size."""

import math
from collections.abc import Mapping

from pullmatte.errors import PullmatteError
from pullmatte.models.mematte.config import MEMATTE_S, VITMATTE_S, MEMatteConfig

Shapes = Mapping[str, tuple[int, ...]]

PRESETS = {"mematte": MEMATTE_S, "vitmatte": VITMATTE_S}
_BLOCK = "backbone.blocks.{}."
_MOST_BLOCKS = 256


def choose_config(name: str, shapes: Shapes) -> tuple[MEMatteConfig, str]:
    """Find the config of a released file.

    Args:
        name: The model's.
        shapes: Of its tensors, by our names.

    Returns:
        The config, and where it comes from, for the report; the published one where tensors that
        would tell are missing, so that the message says which.
    """
    preset = PRESETS[name]
    try:
        config = config_of_shapes(shapes, most_tokens=preset.most_tokens)
    except (LookupError, ValueError, TypeError, ArithmeticError, PullmatteError):
        config = preset
    return config, "the published sizes" if config == preset else "its shapes"


def config_of_shapes(shapes: Shapes, *, most_tokens: int = MEMATTE_S.most_tokens) -> MEMatteConfig:
    """Read sizes off the tensors.

    Args:
        shapes: By our names.
        most_tokens: What no shape tells.

    Raises:
        KeyError: If a tensor is missing.
        ValueError: If a shape has too few or too many sides.
        PullmatteError: If sizes don't go together.
    """
    width, _, _, patch_px = shapes["backbone.patch_embed.proj.weight"]
    count = _count(shapes, _BLOCK + "norm1.weight")
    whole = tuple(n for n in range(count) if _BLOCK.format(n) + "residual.conv1.weight" in shapes)
    routed = "backbone.routers.0.in_conv.1.weight" in shapes
    windowed = next(n for n in range(count) if n not in whole)
    steps, head_width = shapes[_BLOCK.format(windowed) + "attn.rel_pos_h"]
    trained_px = MEMATTE_S.trained_px
    if not routed:
        trained_px = (shapes[_BLOCK.format(whole[0]) + "attn.rel_pos_h"][0] + 1) // 2 * patch_px
    stream = [shapes[f"decoder.convstream.convs.{n}.conv.weight"][0] for n in range(3)]
    fusion = [shapes[f"decoder.fusion_blks.{n}.conv.conv.weight"][0] for n in range(4)]
    return MEMatteConfig(
        width=width,
        heads=width // head_width,
        blocks=count,
        patch_px=patch_px,
        window=(steps + 1) // 2,
        global_blocks=whole,
        pretrained_px=math.isqrt(shapes["backbone.pos_embed"][1] - 1) * patch_px,
        trained_px=trained_px,
        stream=(stream[0], stream[1], stream[2]),
        fusion=(fusion[0], fusion[1], fusion[2], fusion[3]),
        routed=routed,
        most_tokens=most_tokens,
    )


def _count(shapes: Shapes, pattern: str) -> int:
    count = 0
    while count < _MOST_BLOCKS and pattern.format(count) in shapes:
        count += 1
    return count
