"""Everything that can differ between two SDMatte networks, as one frozen config.

The defaults are those of the released code, so that released weights work; where the paper says
otherwise, or ablates a part, its variant is a value of a field here.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self

from pullmatte.errors import PullmatteError

_LARGEST_PX = 8192


def _require(fine: bool, config: object, name: str, expected: str) -> None:
    if not fine:
        raise PullmatteError(
            f"{type(config).__name__}.{name} is {getattr(config, name)!r}: give {expected}"
        )


def _require_flags(config: object, *names: str) -> None:
    for name in names:
        _require(isinstance(getattr(config, name), bool), config, name, "true or false")


def _require_choice(config: object, name: str, *choices: str) -> None:
    _require(getattr(config, name) in choices, config, name, " or ".join(choices))


def _require_counts(config: object, *names: str, least: int = 1) -> None:
    for name in names:
        value = getattr(config, name)
        fine = type(value) is int and value >= least
        _require(fine, config, name, f"a whole number, {least} or more")


def _require_levels(config: object, name: str, *, divisible_by: int = 1) -> None:
    value = getattr(config, name)
    fine = (
        isinstance(value, tuple)
        and len(value) == 4
        and all(type(each) is int and each > 0 and each % divisible_by == 0 for each in value)
    )
    of = f" that {divisible_by} divides" if divisible_by > 1 else ""
    _require(fine, config, name, f"four whole numbers over 0{of}")


def _require_number(config: object, name: str) -> None:
    value = getattr(config, name)
    fine = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    _require(fine, config, name, "a number over 0")


@dataclass(frozen=True)
class BlockSwitch:
    """On or off for each group of the U-Net's blocks.

    Attributes:
        down: In the blocks that shrink.
        mid: In the block between.
        up: In the blocks that grow.
    """

    down: bool
    mid: bool
    up: bool

    def __post_init__(self) -> None:
        """Refuse anything but yes and no."""
        _require_flags(self, "down", "mid", "up")

    def __iter__(self) -> Iterator[bool]:
        return iter((self.down, self.mid, self.up))


@dataclass(frozen=True)
class UNetConfig:
    """The U-Net of Stable Diffusion 2.

    Attributes:
        channels: Width at each of the four levels.
        heads: Attention heads at each level; released configs call it ``attention_head_dim``.
        layers_per_block: Resnets in a down block; an up block has one more.
        context_width: Width of a token that cross-attention reads.
        norm_groups: Groups of each group norm.
    """

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    heads: tuple[int, ...] = (5, 10, 20, 20)
    layers_per_block: int = 2
    context_width: int = 1024
    norm_groups: int = 32

    def __post_init__(self) -> None:
        """Refuse sizes that no U-Net can have."""
        _require_counts(self, "layers_per_block", "context_width", "norm_groups")
        _require_levels(self, "channels", divisible_by=self.norm_groups)
        _require_levels(self, "heads")
        fits = all(c % h == 0 for c, h in zip(self.channels, self.heads, strict=True))
        _require(fits, self, "heads", "divisors of the channels")

    @property
    def condition_width(self) -> int:
        """Width of the condition vector, in Stable Diffusion that of the time embedding."""
        return 4 * self.channels[0]


@dataclass(frozen=True)
class AutoencoderConfig:
    """The autoencoder between pixels and latents.

    Attributes:
        kind: "kl" is Stable Diffusion's, "tiny" is TAESD.
        channels: Width at each of the four levels.
        layers_per_block: Resnets in a block of "kl".
        norm_groups: Groups of each group norm of "kl".
        scale: Factor on latents.
    """

    kind: Literal["kl", "tiny"] = "kl"
    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_groups: int = 32
    scale: float = 0.18215

    def __post_init__(self) -> None:
        """Refuse sizes that no autoencoder can have."""
        _require_choice(self, "kind", "kl", "tiny")
        _require_counts(self, "layers_per_block", "norm_groups")
        _require_levels(self, "channels", divisible_by=self.norm_groups if self.kind == "kl" else 1)
        _require_number(self, "scale")


@dataclass(frozen=True)
class SDMatteConfig:
    """One network.

    Attributes:
        unet: The U-Net.
        autoencoder: The autoencoder.
        size_px: Side of the square that it looks at; 1024 in the paper's tests, 512 in training.
        visual_prompt_cross_attention: Where cross-attention reads the visual prompt instead of
            the text (section 3.2, table 3).
        masked_self_attention: Where self-attention is masked by the prompt (section 3.4, table 5).
        coordinate_embedding: Whether coordinates condition the U-Net (section 3.3, table 4).
        opacity_embedding: Whether opacity does (section 3.3, table 4).
        embedding_layers: The functions f1 and f2 of equation 2: "mlp" is two layers with SiLU
            between, as released; "linear" is one, as the paper has it.
        mask_penalty: What stands for infinity in equation 4: 10000 as released; `math.inf` as in
            the paper.
        visual_prompt_start: How the visual prompt's convolution starts in training: "copied" from
            Stable Diffusion's first convolution, as released, or "zero", as in the paper.
        box_width: C of equation 1 for boxes and masks.
        points_width: C of equation 1 for points.
        minimum_points: Fewer points are filled up with zeros to so many: released weights know
            ten alone; 0 fills nothing up.
        point_sigma_px: Standard deviation of a point's spot on a square of 1024 pixels.

    Source: SDMatte, section 3, and its released configs.
    """

    unet: UNetConfig = UNetConfig()
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    size_px: int = 1024
    visual_prompt_cross_attention: BlockSwitch = BlockSwitch(down=False, mid=True, up=False)
    masked_self_attention: BlockSwitch = BlockSwitch(down=True, mid=True, up=True)
    coordinate_embedding: bool = True
    opacity_embedding: bool = True
    embedding_layers: Literal["mlp", "linear"] = "mlp"
    mask_penalty: float = 10000.0
    visual_prompt_start: Literal["copied", "zero"] = "copied"
    box_width: int = 1280
    points_width: int = 1680
    minimum_points: int = 10
    point_sigma_px: float = 35.0

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        whole = type(self.size_px) is int and 64 <= self.size_px <= _LARGEST_PX
        if not whole or self.size_px % 64:
            raise PullmatteError(
                f"size {self.size_px}: give a multiple of 64 pixels, at most {_LARGEST_PX}"
            )
        _require_flags(self, "coordinate_embedding", "opacity_embedding")
        _require_choice(self, "embedding_layers", "mlp", "linear")
        _require_choice(self, "visual_prompt_start", "copied", "zero")
        _require_counts(self, "box_width", "points_width")
        _require_counts(self, "minimum_points", least=0)
        _require_number(self, "point_sigma_px")
        _require_number(self, "mask_penalty")

    @property
    def latent_px(self) -> int:
        """Side of the latent square."""
        return self.size_px // 8

    def with_size(self, size_px: int) -> Self:
        """Return the same network for another size of the square."""
        return replace(self, size_px=size_px)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        record = asdict(self)
        if math.isinf(self.mask_penalty):
            record["mask_penalty"] = "inf"
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, or what JSON made of it.

        Raises:
            PullmatteError: If it holds a field that isn't known, or a value that can't be.
        """
        parts = {
            "unet": UNetConfig,
            "autoencoder": AutoencoderConfig,
            "visual_prompt_cross_attention": BlockSwitch,
            "masked_self_attention": BlockSwitch,
        }
        values = dict(record)
        for name, kind in parts.items():
            if name in values:
                values[name] = _build(kind, name, values[name])
        if values.get("mask_penalty") == "inf":
            values["mask_penalty"] = math.inf
        made: Self = _build(cls, "config", values)
        return made


def _build(kind: type[Any], name: str, record: Mapping[str, Any]) -> Any:
    if not isinstance(record, Mapping):
        raise PullmatteError(f"{name} is {record!r}: give an object with its fields")
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(record) - set(known))
    if unknown:
        raise PullmatteError(f"{name}: unknown field {unknown[0]!r}; known are {', '.join(known)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise PullmatteError(f"{name}: {error}; it has {', '.join(known)}") from error


SDMATTE = SDMatteConfig()
LITESDMATTE = SDMatteConfig(
    unet=UNetConfig(layers_per_block=1),
    autoencoder=AutoencoderConfig(kind="tiny", channels=(64, 64, 64, 64), scale=1.0),
)
