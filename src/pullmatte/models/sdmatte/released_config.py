"""Which network a released file is for: from the config folders beside it, or from its shapes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pullmatte.errors import PullmatteError, WeightsError
from pullmatte.models import ModelSpec
from pullmatte.models.sdmatte.config import (
    LITESDMATTE,
    SDMATTE,
    AutoencoderConfig,
    SDMatteConfig,
    UNetConfig,
)
from pullmatte.models.sdmatte.config_fields import Fields, naming

Shapes = Mapping[str, tuple[int, ...]]

PRESETS = {"sdmatte": SDMATTE, "sdmatte-plus": SDMATTE, "litesdmatte": LITESDMATTE}
_HEAD_WIDTH = 64
MOST_LAYERS = 16
_KL_SCALE = 0.18215
_CROSS = "CrossAttnDownBlock2D"
_CROSS_UP = "CrossAttnUpBlock2D"
# What our network doesn't leave open; a released config may say it, but not say otherwise.
_UNET_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "use_linear_projection": True,
    "dual_cross_attention": False,
    "only_cross_attention": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "down_block_types": [_CROSS, _CROSS, _CROSS, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", _CROSS_UP, _CROSS_UP, _CROSS_UP],
    "bbox_time_embed_dim": 320,
    "out_channels": 4,
    "center_input_sample": False,
    "downsample_padding": 1,
    "num_attention_heads": None,
    "resnet_time_scale_shift": "default",
    "transformer_layers_per_block": 1,
}
_KL_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "latent_channels": 4,
    "in_channels": 3,
    "shift_factor": None,
}
_TINY_FIXED: dict[str, Any] = {
    "act_fn": "relu",
    "latent_channels": 4,
    "in_channels": 3,
    "latent_magnitude": 3,
    "latent_shift": 0.5,
    "num_encoder_blocks": [1, 3, 3, 3],
    "num_decoder_blocks": [3, 3, 3, 1],
}


def choose_config(spec: ModelSpec, folder: Path, shapes: Shapes) -> tuple[SDMatteConfig, str]:
    """Find the config of a released file.

    Args:
        spec: The model that it is said to be.
        folder: Where it lies; ``unet/config.json`` and ``vae/config.json`` there decide.
        shapes: Of its tensors, by our names; they decide where there are no configs.

    Returns:
        The config, and where it comes from, for the report.

    Raises:
        WeightsError: If a config can't be read, or asks for what our network doesn't have.
    """
    preset = PRESETS[spec.name]
    files = [folder / part / "config.json" for part in ("unet", "vae")]
    if all(file.is_file() for file in files):
        config = _of_records(preset, _read(files[0]), _read(files[1]), folder)
        same = config == preset
        return config, "its config files" + (", as published" if same else ", not as published")
    channels = _widths(shapes, "unet.down_blocks.{}.resnets.0.conv1.weight")
    if channels == preset.unet.channels or not channels:
        return preset, "the published sizes"
    return _of_shapes(preset, shapes), "its shapes, heads of 64"


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("expected an object")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: can't be read: {error}; mend or remove it") from error
    return record


def _of_records(
    preset: SDMatteConfig, unet: dict[str, Any], vae: dict[str, Any], folder: Path
) -> SDMatteConfig:
    files = folder / "unet" / "config.json", folder / "vae" / "config.json"
    tiny = vae.get("_class_name") == "AutoencoderTiny"
    _refuse_others(unet, _UNET_FIXED, files[0])
    _refuse_others(vae, _TINY_FIXED if tiny else _KL_FIXED, files[1])
    config = replace(
        preset,
        unet=_unet(Fields(unet, files[0])),
        autoencoder=(_tiny if tiny else _kl)(Fields(vae, files[1])),
        box_width=Fields(unet, files[0]).whole("bbox_embeddings_input_dim", preset.box_width),
        points_width=Fields(unet, files[0]).whole(
            "point_embeddings_input_dim", preset.points_width
        ),
    )
    _refuse_silent(config, preset, files)
    return config


def _refuse_silent(config: SDMatteConfig, preset: SDMatteConfig, files: tuple[Path, Path]) -> None:
    """Refuse what no shape would betray: the published widths, cut or scaled in another way."""
    pairs: list[tuple[str, Any, Any, Path]] = []
    if config.unet.channels == preset.unet.channels:
        pairs += [
            ("attention_head_dim", config.unet.heads, preset.unet.heads, files[0]),
            ("norm_num_groups", config.unet.norm_groups, preset.unet.norm_groups, files[0]),
        ]
    theirs, ours = config.autoencoder, preset.autoencoder
    if (theirs.kind, theirs.channels) == (ours.kind, ours.channels):
        pairs += [
            ("norm_num_groups", theirs.norm_groups, ours.norm_groups, files[1]),
            ("scaling_factor", theirs.scale, ours.scale, files[1]),
        ]
    for name, found, published, path in pairs:
        if found != published:
            raise WeightsError(
                f"{path}: {name} is {_said(found)}, published is {_said(published)} with these "
                "widths, and no other would fit the weights; mend or remove the file"
            )


def _said(value: object) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


def _unet(given: Fields) -> UNetConfig:
    with naming(given.path):
        return UNetConfig(
            channels=given.levels("block_out_channels"),
            heads=given.levels("attention_head_dim", one_for_all=True),
            layers_per_block=given.whole("layers_per_block", most=MOST_LAYERS),
            context_width=given.whole("cross_attention_dim"),
            norm_groups=given.whole("norm_num_groups"),
        )


def _refuse_others(record: dict[str, Any], fixed: dict[str, Any], path: Path) -> None:
    for name, ours in fixed.items():
        theirs = record.get(name, ours)
        if theirs not in (None, ours):
            raise WeightsError(
                f"{path}: asks for {name} {repr(theirs)[:60]}, this network has {ours!r}; these "
                "weights can't be used here"
            )


def _kl(given: Fields) -> AutoencoderConfig:
    with naming(given.path):
        return AutoencoderConfig(
            kind="kl",
            channels=given.levels("block_out_channels"),
            layers_per_block=given.whole("layers_per_block", most=MOST_LAYERS),
            norm_groups=given.whole("norm_num_groups", 32),
            scale=given.number("scaling_factor", _KL_SCALE),
        )


def _tiny(given: Fields) -> AutoencoderConfig:
    with naming(given.path):
        channels = given.levels("encoder_block_out_channels")
        if given.levels("decoder_block_out_channels") != channels:
            raise PullmatteError("widths of encoder and decoder differ")
        return AutoencoderConfig(
            kind="tiny", channels=channels, scale=given.number("scaling_factor", 1.0)
        )


def _of_shapes(preset: SDMatteConfig, shapes: Shapes) -> SDMatteConfig:
    channels = _widths(shapes, "unet.down_blocks.{}.resnets.0.conv1.weight")
    tokens = shapes.get("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight")
    unet = replace(
        preset.unet,
        channels=channels,
        heads=tuple(max(1, width // _HEAD_WIDTH) for width in channels),
        layers_per_block=_count(shapes, "unet.down_blocks.0.resnets.{}.conv1.weight"),
        context_width=tokens[1] if tokens else preset.unet.context_width,
    )
    autoencoder = preset.autoencoder
    if autoencoder.kind == "kl":
        autoencoder = replace(
            autoencoder,
            channels=_widths(shapes, "codec.vae.encoder.down_blocks.{}.resnets.0.conv1.weight"),
            layers_per_block=_count(
                shapes, "codec.vae.encoder.down_blocks.0.resnets.{}.conv1.weight"
            ),
        )
    else:
        first = shapes.get("codec.vae.encoder.layers.0.weight")
        if first:
            autoencoder = replace(autoencoder, channels=(first[0],) * 4)
    try:
        return replace(preset, unet=unet, autoencoder=autoencoder)
    except PullmatteError as error:
        raise WeightsError(f"weights of an unknown network: {error}") from error


def _count(shapes: Shapes, pattern: str) -> int:
    return len(_widths(shapes, pattern))


def _widths(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    """Return the first side of each tensor that the pattern names with 0, 1, ..."""
    found: list[int] = []
    while (shape := shapes.get(pattern.format(len(found)))) is not None:
        found.append(shape[0])
    return tuple(found)
