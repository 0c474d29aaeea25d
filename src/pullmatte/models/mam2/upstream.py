"""Names: what SAM 2.1's released files call a tensor, what `transformers` calls it, and we.

Nothing else in the package knows SAM 2's released names. No tensor changes its values on the way:
four embeddings of points become the rows of one, and one table of frequencies is kept twice.

Ours are transformers' after ``sam2.``. A complete MAM2 checkpoint is one file that has them,
``sam2.mask_decoder.trimap_branch.`` among them, and the matter's released names after ``matter.``.

Source: state dicts of `SAM2Base` (sam2 1.1.0, the four 2.1 configs) and of `Sam2VideoModel`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

OURS = "sam2."
MATTER = "matter."
_POINT_COUNT = 4
_POINTS = "sam_prompt_encoder.point_embeddings"
_POINT_ROWS = "prompt_encoder.point_embed.weight"
_FREQUENCIES = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_SHARED = "shared_image_embedding.positional_embedding"
_SHARED_AGAIN = "prompt_encoder.shared_embedding.positional_embedding"

_TRUNK = ("image_encoder.trunk", "vision_encoder.backbone")
_PROMPTS = ("sam_prompt_encoder", "prompt_encoder")
_DECODER = ("sam_mask_decoder", "mask_decoder")
_TWO_WAY = (f"{_DECODER[0]}.transformer", f"{_DECODER[1]}.transformer")
_ATTENTION = ("memory_attention", "memory_attention")
_ENCODER = ("memory_encoder", "memory_encoder")
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", ("out_proj", "o_proj"))
_MLP_2 = (("layers.0", "proj_in"), ("layers.1", "proj_out"))
_MLP_3 = (("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out"))

Pair = tuple[str, str]
"""A name released and the same at transformers; ``#`` stands for any number."""


def _within(outer: Pair, *inner: Pair | str) -> list[Pair]:
    """Put names inside a module; a name alone is the same on both sides."""
    pairs = [(each, each) if isinstance(each, str) else each for each in inner]
    return [(f"{outer[0]}.{theirs}", f"{outer[1]}.{ours}") for theirs, ours in pairs]


def _norms(*numbers: int) -> list[Pair]:
    return [(f"norm{number}", f"layer_norm{number}") for number in numbers]


def _attention(name: str, named: str) -> list[Pair]:
    return _within((name, named), *_PROJECTIONS)


def _mask_downsampler() -> Iterator[Pair]:
    """Four times convolution, norm and activation in a row, then one convolution."""
    for at in range(4):
        yield f"encoder.{3 * at}", f"layers.{at}.conv"
        yield f"encoder.{3 * at + 1}", f"layers.{at}.layer_norm"
    yield "encoder.12", "final_conv"


# Modules with weight or bias, and tensors that stand alone.
_PAIRS: list[Pair] = [
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("no_mem_embed", "no_memory_embedding"),
    ("no_mem_pos_enc", "no_memory_positional_encoding"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    ("mask_downsample", "mask_downsample"),
    ("obj_ptr_tpos_proj", "temporal_positional_encoding_projection_layer"),
    (_FREQUENCIES, _SHARED),
    *_within(("obj_ptr_proj", "object_pointer_proj"), *_MLP_3),
    *_within(
        _TRUNK, "pos_embed", "pos_embed_window", ("patch_embed.proj", "patch_embed.projection")
    ),
    *_within(
        (f"{_TRUNK[0]}.blocks.#", f"{_TRUNK[1]}.blocks.#"),
        *_norms(1, 2),
        *("attn.qkv", "attn.proj", "proj"),
        *_within(("mlp", "mlp"), *_MLP_2),
    ),
    ("image_encoder.neck.convs.#.conv", "vision_encoder.neck.convs.#"),
    *_within(
        _PROMPTS,
        ("mask_downscaling.0", "mask_embed.conv1"),
        ("mask_downscaling.1", "mask_embed.layer_norm1"),
        ("mask_downscaling.3", "mask_embed.conv2"),
        ("mask_downscaling.4", "mask_embed.layer_norm2"),
        ("mask_downscaling.6", "mask_embed.conv3"),
        *("no_mask_embed", "not_a_point_embed"),
    ),
    *_within(
        _DECODER,
        *("iou_token", "mask_tokens", "obj_score_token", "conv_s0", "conv_s1"),
        ("output_upscaling.0", "upscale_conv1"),
        ("output_upscaling.1", "upscale_layer_norm"),
        ("output_upscaling.3", "upscale_conv2"),
        *_within(("output_hypernetworks_mlps.#",) * 2, *_MLP_3),
        *_within(("iou_prediction_head",) * 2, *_MLP_3),
        *_within(("pred_obj_score_head",) * 2, *_MLP_3),
    ),
    *_within(
        (f"{_TWO_WAY[0]}.layers.#", f"{_TWO_WAY[1]}.layers.#"),
        *_norms(1, 2, 3, 4),
        *_attention("self_attn", "self_attn"),
        *_attention("cross_attn_token_to_image", "cross_attn_token_to_image"),
        *_attention("cross_attn_image_to_token", "cross_attn_image_to_token"),
        *_within(("mlp", "mlp"), *_MLP_2),
    ),
    *_within(
        _TWO_WAY,
        *_attention("final_attn_token_to_image", "final_attn_token_to_image"),
        ("norm_final_attn", "layer_norm_final_attn"),
    ),
    *_within(_ATTENTION, ("norm", "layer_norm")),
    *_within(
        (f"{_ATTENTION[0]}.layers.#", f"{_ATTENTION[1]}.layers.#"),
        *_norms(1, 2, 3),
        *_attention("self_attn", "self_attn"),
        *_attention("cross_attn_image", "cross_attn_image"),
        *("linear1", "linear2"),
    ),
    *_within(
        _ENCODER,
        ("pix_feat_proj", "feature_projection"),
        ("out_proj", "projection"),
        *_within(("mask_downsampler", "mask_downsampler"), *_mask_downsampler()),
    ),
    *_within(
        (f"{_ENCODER[0]}.fuser.layers.#", f"{_ENCODER[1]}.memory_fuser.layers.#"),
        ("dwconv", "depthwise_conv"),
        ("norm", "layer_norm"),
        ("pwconv1", "pointwise_conv1"),
        ("pwconv2", "pointwise_conv2"),
        ("gamma", "scale"),
    ),
]


_TO_TRANSFORMERS = dict(_PAIRS)
_TO_RELEASED = {ours: theirs for theirs, ours in _PAIRS}
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def to_released(name: str) -> tuple[str, ...]:
    """Turn a name of transformers' `Sam2VideoModel` into those of the released file.

    Args:
        name: Of a tensor in the state dict.

    Returns:
        The released tensors that it is made of, one above the other; empty if there is none.
    """
    if name == _POINT_ROWS:
        return tuple(f"{_POINTS}.{row}.weight" for row in range(_POINT_COUNT))
    if name == _SHARED_AGAIN:
        return (_FREQUENCIES,)
    found = _rename(name, _TO_RELEASED)
    return () if found is None else (found,)


def to_transformers(released: str) -> tuple[str, ...]:
    """Turn a name of the released file into those of transformers' `Sam2VideoModel`.

    Returns:
        The tensors that it is in, or is a row of; empty if there is none.
    """
    if any(released == f"{_POINTS}.{row}.weight" for row in range(_POINT_COUNT)):
        return (_POINT_ROWS,)
    if released == _FREQUENCIES:
        return (_SHARED, _SHARED_AGAIN)
    found = _rename(released, _TO_TRANSFORMERS)
    return () if found is None else (found,)


def released_name(name: str) -> str | None:
    """Turn a tensor's name in any form into SAM 2's released one.

    Returns:
        None for what SAM 2 doesn't have: the trimap branch, the matter, strangers.
    """
    bare = name.removeprefix(OURS)
    if to_transformers(bare):
        return bare
    return next(iter(to_released(bare)), None)


def find_origins(
    expected: Iterable[str], names: Collection[str]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Find the network's tensors in a file, whatever form its names have.

    Args:
        expected: Our names of the network's tensors.
        names: Those in the file.

    Returns:
        Our name of each tensor that is there → the file's tensors that it is made of, one above
        the other; and the file's names that belong to neither network nor matter.
    """
    there = set(names)
    origins: dict[str, tuple[str, ...]] = {}
    for name in expected:
        for origin in _forms(name):
            if origin and there.issuperset(origin):
                origins[name] = origin
                break
    used = {name for origin in origins.values() for name in origin}
    return origins, [n for n in names if n not in used and not n.startswith(MATTER)]


def _forms(name: str) -> Iterator[tuple[str, ...]]:
    """Yield what a tensor of ours can be called in a file."""
    bare = name.removeprefix(OURS)
    yield (name,)
    yield (bare,)
    yield to_released(bare)
    if bare == _SHARED_AGAIN:
        # transformers has left this copy out of files at times.
        yield (OURS + _SHARED,)
        yield (_SHARED,)


def _rename(name: str, table: Mapping[str, str]) -> str | None:
    module, kind = name, ""
    if name.endswith((".weight", ".bias")):
        module, _, kind = name.rpartition(".")
        kind = f".{kind}"
    # Some numbers are a name's own, as in "proj.layers.0"; one at most counts.
    for hit in (None, *_NUMBER.finditer(module)):
        template = module[: hit.start()] + "#" + module[hit.end() :] if hit else module
        if template in table:
            return table[template].replace("#", hit[0] if hit else "") + kind
    return None
