"""nano's sizes."""

from dataclasses import replace

from pullmatte.models.mam2.config import MAM2Config, SAM2Config

NANO = MAM2Config(
    sam2=SAM2Config(
        image_px=512,
        width=128,
        decoder_mlp=256,
        memory_layers=2,
        memory_mlp=256,
        most_pointers=8,
        most_prompted=4,
        memory_fuser=1,
        trunk="lite",
    ),
    fusion_width=16,
    lora_rank=0,
    prompt_maps=True,
    prompted_blocks=2,
    refined_width=64,
)
"""MAM2 at pocket size: 512 pixels of side and an EfficientNet-Lite0 under it."""


def sized(image_px: int, config: MAM2Config = NANO) -> MAM2Config:
    """Return a config for another side, a multiple of 32; weights fit all of them."""
    return replace(config, sam2=replace(config.sam2, image_px=image_px))
