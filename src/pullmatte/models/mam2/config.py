"""Everything that can differ between two MAM2 networks, as one frozen config.

The defaults are the paper's; where it ablates a part, its variant is a value of a field here, so
the rows of its table 5 are four configs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from pullmatte.errors import PullmatteError

MEMORY_WIDTH = 64
"""Channels of a memory token; `transformers` has it fixed."""
TrimapFrom = Literal["pdd", "parallel", "mask_band"]
SecondPass = Literal["mss", "mcs", "off"]
Trunk = Literal["hiera", "lite"]


def _require(fine: bool, config: object, name: str, expected: str) -> None:
    if not fine:
        raise PullmatteError(
            f"{type(config).__name__}.{name} is {getattr(config, name)!r}: give {expected}"
        )


def _require_counts(config: object, *names: str, least: int = 1) -> None:
    for name in names:
        value = getattr(config, name)
        fine = type(value) is int and value >= least
        _require(fine, config, name, f"a whole number, {least} or more")


def _require_stages(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        fine = isinstance(value, tuple) and len(value) == 4
        fine = fine and all(type(each) is int and each > 0 for each in value)
        _require(fine, config, name, "four whole numbers over 0")


def _require_numbers(config: object, *names: str, over: float = 0.0, most: float = 1e6) -> None:
    for name in names:
        value = getattr(config, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fine = number and over < value <= most
        _require(fine, config, name, f"a number over {over:g}, {most:g} at most")


MOST_SPAN = 6


@dataclass(frozen=True)
class SAM2Config:
    """One size of SAM 2.1. The defaults are those of Hiera-T.

    Attributes:
        image_px: Side of the square that it looks at.
        channels: Of the trunk's four stages.
        heads: Attention heads of each stage.
        blocks: Transformer blocks of each stage.
        windows: Side of a window in each stage, in tokens.
        global_blocks: Blocks, counted through, that attend over the whole picture.
        places: Side of the grid of learned positions, in tokens.
        width: Channels of a feature map, of a prompt's token and of an object's pointer.
        decoder_mlp: Inner channels of the mask decoder's MLPs.
        memory_layers: Layers of the memory attention.
        memory_mlp: Inner channels of their MLPs.
        most_pointers: Divisor of the pointers' ages plus 1; so many frames at most, the frame
            itself included, lend theirs, and prompted ones without limit.
        most_prompted: Only so many prompted frames, the nearest, lend their memory; 0 for all.
        spatial_span: On so many frames after its own a tracked frame's spatial memory is looked
            at; 6 in SAM 2, and no more.
        memory_fuser: Inner channels of the memory encoder's fuser, as a multiple of `width`.
        memory_pool: Spatial memories are kept as means of so many by so many places.
        looking_pool: So many by so many of a frame's places look at memories as one.
        trunk: "hiera", or "lite": EfficientNet-Lite0 under a pyramid of plain convolutions. What
            is said above of the trunk's stages then has no effect.
    """

    image_px: int = 1024
    channels: tuple[int, ...] = (96, 192, 384, 768)
    heads: tuple[int, ...] = (1, 2, 4, 8)
    blocks: tuple[int, ...] = (1, 2, 7, 2)
    windows: tuple[int, ...] = (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    places: int = 7
    width: int = 256
    decoder_mlp: int = 2048
    memory_layers: int = 4
    memory_mlp: int = 2048
    most_pointers: int = 16
    most_prompted: int = 0
    spatial_span: int = 6
    memory_fuser: int = 4
    memory_pool: int = 1
    looking_pool: int = 1
    trunk: Trunk = "hiera"

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        _require_counts(self, "image_px", "places", "width", "decoder_mlp", "memory_layers")
        _require_counts(self, "memory_mlp")
        _require_counts(self, "most_pointers", least=2)
        _require_counts(self, "memory_fuser", "memory_pool", "looking_pool")
        for name in ("memory_pool", "looking_pool"):
            _require(self.top_px % getattr(self, name) == 0, self, name, "a divisor of the map")
        _require_counts(self, "most_prompted", least=0)
        _require_counts(self, "spatial_span")
        _require(self.spatial_span <= MOST_SPAN, self, "spatial_span", f"{MOST_SPAN} at most")
        _require(self.trunk in get_args(Trunk), self, "trunk", " or ".join(get_args(Trunk)))
        _require(self.image_px % 32 == 0, self, "image_px", "a multiple of 32 pixels")
        _require_stages(self, "channels", "heads", "blocks", "windows")
        whole = zip(self.channels, self.heads, strict=True)
        _require(all(c % h == 0 for c, h in whole), self, "channels", "multiples of the heads")
        _require(
            self.width % MEMORY_WIDTH == 0 and self.width > MEMORY_WIDTH,
            self,
            "width",
            f"a multiple of {MEMORY_WIDTH}, {2 * MEMORY_WIDTH} or more",
        )
        fine = isinstance(self.global_blocks, tuple) and all(
            type(at) is int and 0 <= at < sum(self.blocks) for at in self.global_blocks
        )
        _require(fine, self, "global_blocks", f"numbers of blocks, under {sum(self.blocks)}")

    @property
    def top_px(self) -> int:
        """Side of the top feature map, in tokens of 16 pixels."""
        return self.image_px // 16

    @property
    def memory_tokens(self) -> int:
        """How many tokens a spatial memory is."""
        return (self.top_px // self.memory_pool) ** 2

    @property
    def mask_px(self) -> int:
        """Side of mask logits and trimap logits."""
        return self.image_px // 4


@dataclass(frozen=True)
class MAM2Config:
    """One network, without its matter.

    Attributes:
        sam2: SAM 2's size.
        trimap: Where trimaps come from. "pdd" is the paper's decoder (section 3.4); "parallel"
            leaves out what the mask tells it (table 5); "mask_band" puts a band round the mask's
            contour, which needs no trained branch, so that SAM 2.1's own weights are of use.
        second_pass: On tracked frames the trimap is decoded a second time, by the first pass's
            mask: from memory-free features, "mss" (section 3.5), from memory-conditioned ones,
            "mcs" (table 5), or not at all, "off".
        fusion_layers: Convolutions of the module that fuses mask, segmentation and trimap
            features.
        fusion_width: Channels between them.
        fusion_residual: Whether it adds to the trimap feature; it then starts as "parallel".
        detach_mask: Keep the trimap's loss from training the mask.
        lora_rank: Rank of what is added to the trunk's `qkv` and `proj` in training; 0 for
            nothing.
        lora_alpha: Its scale, as a multiple of 1 / rank.
        lora_dropout: Its dropout in training.
        clamp: Mask logits that are shown as a prompt are held to plus and minus so much.
        band_share: Half width of "mask_band" as a share of the square root of the object's area.
        band_doubt: Beyond the band, too, mask logits nearer to 0 than this are unknown.
        prompt_maps: Draw prompts as pictures at three scales, with colours compared, instead of
            embedding a mask alone.
        prompted_blocks: Blocks of convolution and of attention on the top map once it is
            prompted.
        prompted_pool: That attention looks at means of so many by so many places.
        refined_width: Inner channels of a convolutional block after each step of upscaling, half
            as many after the last; 0 for none.
        see_through_blocks: A second decoder, for objects of which nothing is surely foreground,
            with so many blocks of `prompted_blocks`' kind; 0 for none.
        judge_width: Channels of a network that says whether an object is one of those; 0 for
            none, only with a second decoder and a lite trunk.
        alpha_memory: Channels of a network that weighs a tracked frame's alpha against the one
            before; 0 for none.

    Source: MAM2, sections 3.4, 3.5, 4.1 and table 5.
    """

    sam2: SAM2Config = SAM2Config()
    trimap: TrimapFrom = "pdd"
    second_pass: SecondPass = "mss"
    fusion_layers: int = 2
    fusion_width: int = 32
    fusion_residual: bool = True
    detach_mask: bool = False
    lora_rank: int = 16
    lora_alpha: float = 16.0
    lora_dropout: float = 0.1
    clamp: float = 32.0
    band_share: float = 0.04
    band_doubt: float = 1.0
    prompt_maps: bool = False
    prompted_blocks: int = 0
    prompted_pool: int = 1
    refined_width: int = 0
    see_through_blocks: int = 0
    judge_width: int = 0
    alpha_memory: int = 0

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        _require(isinstance(self.sam2, SAM2Config), self, "sam2", "a SAM2Config")
        for name, kind in (("trimap", TrimapFrom), ("second_pass", SecondPass)):
            fine = getattr(self, name) in get_args(kind)
            _require(fine, self, name, " or ".join(get_args(kind)))
        for name in ("fusion_residual", "detach_mask", "prompt_maps"):
            _require(isinstance(getattr(self, name), bool), self, name, "true or false")
        _require_counts(self, "fusion_layers", "fusion_width", "prompted_pool")
        _require_counts(self, "lora_rank", "prompted_blocks", "refined_width", least=0)
        _require_counts(self, "see_through_blocks", "judge_width", "alpha_memory", least=0)
        _require_numbers(self, "lora_alpha", "clamp", "band_share")
        _require_numbers(self, "band_doubt", over=-1e-9)
        _require_numbers(self, "lora_dropout", over=-1e-9, most=0.999)
        # A band needs the first pass's mask alone; a second pass would be thrown away.
        if self.trimap == "mask_band" and self.second_pass != "off":
            raise PullmatteError(
                f"trimap 'mask_band' with second_pass {self.second_pass!r}: give second_pass 'off'"
            )

        if self.judge_width and not (self.see_through_blocks and self.sam2.trunk == "lite"):
            raise PullmatteError(
                f"judge_width {self.judge_width}: give see_through_blocks and trunk 'lite' too, "
                "or 0"
            )

    @property
    def has_trimap_branch(self) -> bool:
        """Whether trimaps are decoded by trained layers."""
        return self.trimap != "mask_band"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return _as_json(asdict(self))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, or what JSON made of it.

        Raises:
            PullmatteError: If it holds a field that isn't known, or a value that can't be.
        """
        values = dict(record) if isinstance(record, Mapping) else record
        if isinstance(values, dict) and "sam2" in values:
            values["sam2"] = _build(SAM2Config, "sam2", values["sam2"])
        made: Self = _build(cls, "config", values)
        return made


def _as_json(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _as_json(value)
        if isinstance(value, dict)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in record.items()
    }


def _build(kind: type[Any], name: str, record: Any) -> Any:
    if not isinstance(record, Mapping):
        raise PullmatteError(f"{name} is {record!r}: give an object with its fields")
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(record) - set(known), key=str)
    if unknown:
        raise PullmatteError(f"{name}: unknown field {unknown[0]!r}; known are {', '.join(known)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.items()})


TINY = SAM2Config()
SMALL = SAM2Config(blocks=(1, 2, 11, 2), global_blocks=(7, 10, 13))
BASE_PLUS = SAM2Config(
    channels=(112, 224, 448, 896),
    heads=(2, 4, 8, 16),
    blocks=(2, 3, 16, 3),
    global_blocks=(12, 16, 20),
    places=14,
)
LARGE = SAM2Config(
    channels=(144, 288, 576, 1152),
    heads=(2, 4, 8, 16),
    blocks=(2, 6, 36, 4),
    windows=(8, 4, 16, 8),
    global_blocks=(23, 33, 43),
)
SIZES = {"tiny": TINY, "small": SMALL, "base_plus": BASE_PLUS, "large": LARGE}
"""The four sizes of SAM 2.1, by name."""

MAM2 = MAM2Config(sam2=LARGE)
MINIATURE = MAM2Config(
    sam2=SAM2Config(
        image_px=256,
        channels=(16, 32, 64, 128),
        heads=(1, 1, 2, 4),
        blocks=(1, 1, 2, 1),
        windows=(8, 4, 7, 4),
        global_blocks=(3,),
        width=128,
        decoder_mlp=128,
        memory_layers=2,
        memory_mlp=128,
    ),
    fusion_width=16,
)
"""The same at a size for tests: a frame takes milliseconds."""
