"""The models: one folder each, one explicit table of them all."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pullmatte.errors import UnknownModel
from pullmatte.models.protocol import Model


@dataclass(frozen=True)
class HubSource:
    """Where a model's released weights lie on the Hugging Face hub.

    Attributes:
        repo: ``owner/name``.
        filename: The checkpoint in it.
        revision: Branch, tag or commit.
        sha256: Of the checkpoint; empty where we haven't seen the file, so that a download is
            checked against the hash that the hub itself states.
        size_bytes: About what is fetched; 0 where that isn't known.
        configs: Small files that describe the checkpoint, fetched where they exist.
        tokenizer: Small files that captions need.
    """

    repo: str
    filename: str
    revision: str = "main"
    sha256: str = ""
    size_bytes: int = 0
    configs: tuple[str, ...] = ()
    tokenizer: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """Address of the repository."""
        return f"https://huggingface.co/{self.repo}"


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model before it is loaded.

    Attributes:
        name: As given to `load` and ``--model``.
        summary: One line on what it does.
        builder: ``module:function``; called with the options, returns the model. Models with
            weights also get ``weights=``, what `pullmatte.models.weights.resolve` found.
        licence: SPDX name of the weights' licence, or of the algorithm's code without weights.
        commercial_use: Whether that licence allows use in paid work.
        restrictions: What the licence forbids or passes on beyond that, in one sentence.
        links: Where licence and restrictions can be read.
        prompts: Kinds of prompt that it takes.
        video: Whether it tracks through a clip.
        opacity: Whether it makes a difference between opaque and transparent objects.
        captions: Whether words about the object help it.
        size_px: Side of the square that it looks at; None if it takes images as they are.
        devices: Where it can run, the preferred first.
        dtypes: Precisions it can run in, its own first.
        files: Weight files inside the package with their sha256.
        size_bytes: What the weights weigh once they are converted.
        hub: Where the weights can be fetched; None if there are none, or if they are elsewhere.
        elsewhere: Where the released file is if no hub has it, for the messages.
        matters: Models that work out alpha from its trimaps, the preferred first, one of which
            its builder takes as ``matter=``; empty for a model that needs none.
        also: What further files ``models convert`` takes with ``--also``; empty for none.
        converter: ``module:function`` that turns the released checkpoint into a folder of ours;
            called with source, destination, spec, `ConvertOptions` and a progress callback,
            returns a `ConversionReport`. Empty for a model without weights.
        fingerprint: Tensors that tell this model's checkpoint from another's, by the ends of
            their released names.
        renamer: ``module:function`` that turns a tensor's name, ours or in any form that was
            released, into the form of `fingerprint`, or into None if it tells nothing; importing
            it loads no torch. Empty where names need no turning.
        defaults: Options the builder gets unless others are given.
    """

    name: str
    summary: str
    builder: str
    licence: str
    commercial_use: bool
    restrictions: str = ""
    links: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("point", "box", "mask", "trimap")
    video: bool = True
    opacity: bool = False
    captions: bool = False
    size_px: int | None = None
    devices: tuple[str, ...] = ("cpu",)
    dtypes: tuple[str, ...] = ("float32",)
    files: dict[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    hub: HubSource | None = None
    elsewhere: str = ""
    matters: tuple[str, ...] = ()
    also: str = ""
    converter: str = ""
    fingerprint: tuple[str, ...] = ()
    renamer: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether the model needs weights that are fetched or converted: not in the package."""
        return bool(self.converter)

    @property
    def is_matter(self) -> bool:
        """Whether it works out alpha from trimaps by itself."""
        return "trimap" in self.prompts and (bool(self.files) or not self.matters)

    @property
    def way_to_get(self) -> str:
        """What to do to get its weights."""
        if self.hub is not None:
            return f"'pullmatte models pull {self.name}'"
        return (
            f"get the released file from {self.elsewhere}, as no hub has it, and convert it: "
            f"'pullmatte models convert {self.name} FILE'"
        )

    def released_names(self, names: Iterable[str]) -> set[str]:
        """Bring names of tensors into the form of `fingerprint`."""
        if not self.renamer:
            return set(names)
        renamed = map(_resolve(self.renamer), names)
        return {name for name in renamed if name is not None}

    @property
    def terms(self) -> str:
        """Licence, paid use and restrictions in one line."""
        use = "commercial use allowed" if self.commercial_use else "NO commercial use"
        return f"{self.licence}, {use}" + (f"; {self.restrictions}" if self.restrictions else "")

    def build(self, **options: Any) -> Model:
        """Make the model; heavy imports happen here."""
        model: Model = _resolve(self.builder)(**{**self.defaults, **options})
        return model


def _resolve(place: str) -> Any:
    """Import what ``module:function`` names."""
    module, _, function = place.partition(":")
    return getattr(import_module(module), function)


_SDMATTE: dict[str, Any] = {
    "builder": "pullmatte.models.sdmatte.model:build",
    "converter": "pullmatte.models.sdmatte.checkpoint:convert",
    "renamer": "pullmatte.models.sdmatte.upstream:to_released",
    "licence": "MIT",
    "commercial_use": True,
    "video": False,
    "opacity": True,
    "captions": True,
    "size_px": 1024,
    "devices": ("cuda", "mps", "cpu"),
    "dtypes": ("float32", "bfloat16", "float16"),
}
_RESTRICTIONS = (
    "MIT is the hub's tag; the weights derive from {origin}, whose CreativeML Open RAIL licence "
    "passes its use restrictions on"
)
_SD2_LICENCE = "https://github.com/Stability-AI/stablediffusion/blob/main/LICENSE-MODEL"
_CONFIGS = ("unet/config.json", "vae/config.json")
_TOKENIZER = tuple(
    f"tokenizer/{name}"
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json")
)

_MEMATTE: dict[str, Any] = {
    "builder": "pullmatte.models.mematte.checkpoint:build",
    "converter": "pullmatte.models.mematte.conversion:convert",
    "renamer": "pullmatte.models.mematte.upstream:to_ours",
    "commercial_use": False,
    "prompts": ("trimap",),
    "video": False,
    "devices": ("cuda", "mps", "cpu"),
    "dtypes": ("float32", "bfloat16", "float16"),
}
_HEAD = "decoder.matting_head.matting_convs.0.weight"

_MAM2: dict[str, Any] = {
    "builder": "pullmatte.models.mam2.checkpoint:build",
    "converter": "pullmatte.models.mam2.checkpoint:convert",
    "renamer": "pullmatte.models.mam2.upstream:released_name",
    "licence": "Apache-2.0",
    "commercial_use": True,
    "restrictions": (
        "SAM 2.1 weights, whose video data is SA-V (CC BY 4.0); the trimap branch isn't trained "
        "yet: the trimap is a band round the mask"
    ),
    "opacity": True,
    "matters": ("mematte", "vitmatte", "classical"),
    "also": "the matter's weights: MEMatte's or ViTMatte's released file",
    "devices": ("cuda", "mps", "cpu"),
    "dtypes": ("float32", "bfloat16", "float16"),
}
_SAM2_LICENCE = "https://github.com/facebookresearch/sam2/blob/main/LICENSE"
# Every size has these and its first block numbers; what the larger have is no part of it.
_SAM2_MARKS = (
    "maskmem_tpos_enc",
    "no_obj_embed_spatial",
    "obj_ptr_tpos_proj.weight",
    "image_encoder.trunk.blocks.11.attn.qkv.weight",
)
_SMALL_MARKS = (*_SAM2_MARKS, "image_encoder.trunk.blocks.15.attn.qkv.weight")
_BASE_PLUS_MARKS = (*_SMALL_MARKS, "image_encoder.trunk.blocks.23.attn.qkv.weight")
_LARGE_MARKS = (*_BASE_PLUS_MARKS, "image_encoder.trunk.blocks.47.attn.qkv.weight")

MODELS: dict[str, ModelSpec] = {
    "nano": ModelSpec(
        name="nano",
        summary="Matting Anything 2 at pocket size, inside the package; photos and clips",
        builder="pullmatte.models.nano.checkpoint:build",
        licence="Apache-2.0",
        commercial_use=True,
        opacity=True,
        matters=("mematte", "vitmatte", "classical"),
        devices=("cuda", "mps", "cpu"),
        files={
            "model.safetensors": "63972d8ee2a7ea8e51f0438b03418fa6dd532fb1534dde2362840a923299ea00",
        },
        size_bytes=19_950_000,
        fingerprint=("prompter.prompt_maps.first.weight", "matter.affine.weight"),
    ),
    "classical": ModelSpec(
        name="classical",
        summary="GrabCut, adaptive trimap, closed-form matting; optical flow for video",
        builder="pullmatte.models.classical.model:build",
        licence="Apache-2.0",
        commercial_use=True,
    ),
    "sdmatte": ModelSpec(
        **_SDMATTE,
        name="sdmatte",
        summary="SDMatte: Stable Diffusion 2 as a one-step matting network; points, boxes, masks",
        restrictions=_RESTRICTIONS.format(origin="Stable Diffusion 2"),
        links=("https://huggingface.co/LongfeiHuang/SDMatte", _SD2_LICENCE),
        size_bytes=3_827_000_000,
        hub=HubSource(
            "LongfeiHuang/SDMatte",
            "SDMatte.pth",
            size_bytes=12_100_000_000,
            configs=_CONFIGS,
            tokenizer=_TOKENIZER,
        ),
        fingerprint=("unet.aux_conv_in.weight", "vae.quant_conv.weight"),
    ),
    "sdmatte-plus": ModelSpec(
        **_SDMATTE,
        name="sdmatte-plus",
        summary="SDMatte*: the same network, trained on more pictures, for boxes alone",
        restrictions=_RESTRICTIONS.format(origin="Stable Diffusion 2"),
        links=("https://huggingface.co/LongfeiHuang/SDMatte", _SD2_LICENCE),
        prompts=("box",),
        size_bytes=3_827_000_000,
        hub=HubSource(
            "LongfeiHuang/SDMatte",
            "SDMatte_plus.pth",
            size_bytes=12_100_000_000,
            configs=_CONFIGS,
            tokenizer=_TOKENIZER,
        ),
        fingerprint=("unet.aux_conv_in.weight", "vae.quant_conv.weight"),
    ),
    "litesdmatte": ModelSpec(
        **_SDMATTE,
        name="litesdmatte",
        summary="LiteSDMatte: SDMatte distilled into a smaller U-Net and autoencoder",
        restrictions=_RESTRICTIONS.format(origin="BK-SDM-v2 (Stable Diffusion 2)"),
        links=("https://huggingface.co/LongfeiHuang/LiteSDMatte", _SD2_LICENCE),
        size_bytes=2_373_000_000,
        hub=HubSource(
            "LongfeiHuang/LiteSDMatte",
            "LiteSDMatte.pth",
            configs=_CONFIGS,
            tokenizer=_TOKENIZER,
        ),
        fingerprint=("unet.aux_conv_in.weight", "vae.encoder.layers.0.weight"),
    ),
    "vitmatte": ModelSpec(
        **_MEMATTE,
        name="vitmatte",
        summary="ViTMatte-S: works out the unknown part of a trimap; a matter for other models",
        licence="Apache-2.0",
        restrictions=(
            "Apache-2.0 is the hub's tag, the code is MIT, but the weights were trained on "
            "Composition-1k, whose licence (Adobe's) is reported to keep models to non-commercial "
            "use, and is taken to hold"
        ),
        links=(
            "https://huggingface.co/hustvl/vitmatte-small-composition-1k",
            "https://github.com/hustvl/ViTMatte",
        ),
        size_bytes=103_300_000,
        hub=HubSource(
            "hustvl/vitmatte-small-composition-1k", "model.safetensors", size_bytes=103_300_000
        ),
        fingerprint=(_HEAD, "backbone.blocks.2.attn.rel_pos_h"),
    ),
    "mematte": ModelSpec(
        **_MEMATTE,
        name="mematte",
        summary="MEMatte-S: ViTMatte that attends only where it has to, for large photos",
        licence="MIT",
        restrictions=(
            "MIT is what the authors' README says, there is no licence file; the weights were "
            "trained on sets for research only, Adobe's Composition-1k among them, whose terms "
            "are taken to hold"
        ),
        links=("https://github.com/linyiheng123/MEMatte",),
        size_bytes=116_800_000,
        elsewhere="Google Drive (linked from https://github.com/linyiheng123/MEMatte)",
        fingerprint=(_HEAD, "backbone.routers.0.in_conv.1.weight"),
    ),
    "mam2-tiny": ModelSpec(
        **_MAM2,
        name="mam2-tiny",
        summary="Matting Anything 2 on SAM 2.1 Hiera-T: clicks, boxes, masks; photos and clips",
        links=("https://huggingface.co/facebook/sam2.1-hiera-tiny", _SAM2_LICENCE),
        size_bytes=155_900_000,
        hub=HubSource("facebook/sam2.1-hiera-tiny", "model.safetensors", size_bytes=155_900_000),
        fingerprint=_SAM2_MARKS,
    ),
    "mam2-small": ModelSpec(
        **_MAM2,
        name="mam2-small",
        summary="Matting Anything 2 on SAM 2.1 Hiera-S: clicks, boxes, masks; photos and clips",
        links=("https://huggingface.co/facebook/sam2.1-hiera-small", _SAM2_LICENCE),
        size_bytes=184_300_000,
        hub=HubSource("facebook/sam2.1-hiera-small", "model.safetensors", size_bytes=184_300_000),
        fingerprint=_SMALL_MARKS,
    ),
    "mam2-base-plus": ModelSpec(
        **_MAM2,
        name="mam2-base-plus",
        summary="Matting Anything 2 on SAM 2.1 Hiera-B+: clicks, boxes, masks; photos and clips",
        links=("https://huggingface.co/facebook/sam2.1-hiera-base-plus", _SAM2_LICENCE),
        size_bytes=323_500_000,
        hub=HubSource(
            "facebook/sam2.1-hiera-base-plus", "model.safetensors", size_bytes=323_500_000
        ),
        fingerprint=_BASE_PLUS_MARKS,
    ),
    "mam2-large": ModelSpec(
        **_MAM2,
        name="mam2-large",
        summary="Matting Anything 2 on SAM 2.1 Hiera-L, the paper's size; photos and clips",
        links=("https://huggingface.co/facebook/sam2.1-hiera-large", _SAM2_LICENCE),
        size_bytes=897_900_000,
        hub=HubSource("facebook/sam2.1-hiera-large", "model.safetensors", size_bytes=897_900_000),
        fingerprint=_LARGE_MARKS,
    ),
}
DEFAULT_MODEL = "nano"


def find_spec(name: str) -> ModelSpec:
    """Look a model up by name.

    Raises:
        UnknownModel: If there is none of that name; the message lists those there are.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise UnknownModel(f"unknown model {name!r}: known are {', '.join(MODELS)}") from None
