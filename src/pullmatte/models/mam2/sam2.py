"""SAM 2.1, composed of the parts of `transformers`' `Sam2VideoModel`.

This is the only file that touches what isn't public there; `PRIVATE_NAMES` lists it, and a test
holds it against the installed version. What that model's own session does (which memories to use,
what to keep) is done by `memory` and by our sessions instead. Nothing here switches gradients off.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoFeedForward,
    Sam2VideoLayerNorm,
    Sam2VideoMaskDecoder,
    get_1d_sine_pe,
)

from pullmatte.models.mam2.config import SAM2Config
from pullmatte.models.mam2.features import EmbeddedPrompt, Features
from pullmatte.models.mam2.lite_encoder import LiteEncoder
from pullmatte.models.mam2.plane_norm import PlaneNorm
from pullmatte.models.mam2.quick_layers import FEW_KEYS, quicken
from pullmatte.models.mam2.quick_planes import maps_of, tokens_of
from pullmatte.models.mam2.transformers_config import transformers_config

ABSENT_LOGIT = -1024.0
"""Mask logit of an object that isn't there."""
PRIVATE_NAMES = """
vision_encoder.backbone vision_encoder.neck.convs vision_encoder.neck.fpn_top_down_levels
vision_encoder.neck.position_encoding
prompt_encoder.mask_embed prompt_encoder.no_mask_embed prompt_encoder._embed_points
prompt_encoder.image_embedding_size get_image_wide_positional_embeddings
memory_attention.precompute_positions memory_attention.position_ids
memory_attention.rotary_emb.compute_axial_rope_parameters memory_attention.rotary_emb.inv_freq
memory_attention.rotary_emb.original_inv_freq memory_encoder.position_encoding
memory_temporal_positional_encoding temporal_positional_encoding_projection_layer
occlusion_spatial_embedding_parameter no_memory_embedding no_object_pointer object_pointer_proj
mask_downsample hidden_dim mem_dim
mask_decoder.obj_score_token mask_decoder.iou_token mask_decoder.mask_tokens
mask_decoder.transformer mask_decoder.upscale_conv1 mask_decoder.upscale_conv2
mask_decoder.upscale_layer_norm mask_decoder.activation mask_decoder.output_hypernetworks_mlps
mask_decoder.iou_prediction_head mask_decoder.pred_obj_score_head mask_decoder.conv_s0
mask_decoder.conv_s1 mask_decoder.num_mask_tokens mask_decoder.hidden_size
mask_decoder._dynamic_multimask_via_stability
"""
"""Dotted names within `Sam2VideoModel` that are used here."""

MemoryAttention = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""`attend_memory`, or a faster one that gives the same."""


def build_sam2(config: SAM2Config, decoder: type["StepwiseDecoder"] | Any = None) -> Sam2VideoModel:
    """Build SAM 2 with random weights, or on the meta device.

    Args:
        config: Its size.
        decoder: Makes the mask decoder from `transformers`' config of it.
    """
    model = Sam2VideoModel(transformers_config(config))
    if config.trunk == "lite":
        # What transformers give is matched to the last digit otherwise.
        model.config.mask_decoder_config._attn_implementation = FEW_KEYS
    model.mask_decoder = (decoder or StepwiseDecoder)(model.config.mask_decoder_config)
    if config.trunk == "lite":
        positions = model.vision_encoder.neck.position_encoding
        model.vision_encoder = LiteEncoder(config.width, positions)
        # The pyramid's finer maps have the decoder's widths already.
        model.mask_decoder.conv_s0 = model.mask_decoder.conv_s1 = nn.Identity()
        for layer in model.memory_encoder.mask_downsampler.layers:
            layer.layer_norm = PlaneNorm(layer.layer_norm.normalized_shape)
        quicken(model)
    return model


def restore_constants(model: Sam2VideoModel, device: str | torch.device = "cpu") -> None:
    """Work the constants out anew that no file holds: a model built on meta lacks them."""
    attention, config = model.memory_attention, model.config
    attention.position_ids = attention.precompute_positions(config).to(device)
    frequencies = attention.rotary_emb.compute_axial_rope_parameters(config)[0].to(device)
    attention.rotary_emb.inv_freq = frequencies
    attention.rotary_emb.original_inv_freq = frequencies.clone()


def encode_image(model: Sam2VideoModel, pixels: Tensor) -> Features:
    """Encode frames.

    Positions of the feature maps aren't made: only the top map's are ever used, by `condition`.

    Args:
        model: SAM 2.
        pixels: `B 3 S S`, by ImageNet's statistics; in [0, 1] for the lite trunk.

    Source: SAM 2, image encoder; the feature pyramid of `Sam2VisionNeck`.
    """
    encoder, decoder = model.vision_encoder, model.mask_decoder
    if isinstance(encoder, LiteEncoder):
        top, middle, fine, trunk = encoder(pixels)
        return Features(top, middle, fine, trunk=trunk)
    stages = encoder.backbone(pixels).intermediate_hidden_states
    maps: list[Tensor] = []
    for level in range(len(stages) - 1, -1, -1):
        conv = encoder.neck.convs[len(stages) - 1 - level]
        lateral = conv(stages[level].permute(0, 3, 1, 2).to(conv.weight.dtype))
        if maps and level in encoder.neck.fpn_top_down_levels:
            lateral = lateral + F.interpolate(maps[-1], scale_factor=2.0, mode="nearest")
        maps.append(lateral)
    _, top, middle, fine = maps
    exact = decoder.conv_s0.weight.dtype
    return Features(top, decoder.conv_s1(middle.to(exact)), decoder.conv_s0(fine.to(exact)))


def without_memory(model: Sam2VideoModel, top: Tensor) -> Tensor:
    """Return a top map as a frame has it that is decoded without memory.

    Args:
        model: SAM 2.
        top: `B C h w`.
    """
    added: Tensor = model.no_memory_embedding.to(top.dtype).reshape(1, -1, 1, 1)
    return top + added


def embed_prompt(
    model: Sam2VideoModel,
    points: Tensor | None = None,
    labels: Tensor | None = None,
    mask_logits: Tensor | None = None,
) -> EmbeddedPrompt:
    """Embed what was said of `K` objects.

    Args:
        model: SAM 2.
        points: `K N 2`, (x, y) in pixels of the square. A box is two of them.
        labels: `K N`: 1 and 0 for points in and outside the object, 2 and 3 for the box's upper
            left and lower right corner. Without points there is one token that says so.
        mask_logits: `K 1 4h 4w`.

    Source: SAM 2, prompt encoder.
    """
    encoder = model.prompt_encoder
    weight = encoder.no_mask_embed.weight
    count = 1 if mask_logits is None else len(mask_logits)
    if points is None or labels is None:
        points = torch.zeros(count, 1, 2, dtype=weight.dtype, device=weight.device)
        labels = torch.full((count, 1), -1, dtype=torch.int32, device=weight.device)
    # Its points have one more axis; the padding is the point that isn't one.
    sparse = encoder._embed_points(points[:, None], labels[:, None], pad=True)[:, 0]
    if mask_logits is not None:
        return EmbeddedPrompt(sparse, encoder.mask_embed(mask_logits.to(weight.dtype)))
    side = encoder.image_embedding_size
    return EmbeddedPrompt(sparse, weight.reshape(1, -1, 1, 1).expand(-1, -1, *side))


def attend_memory(
    attention: nn.Module,
    current: Tensor,
    current_position: Tensor,
    memory: Tensor,
    memory_position: Tensor,
    pointer_tokens: int,
) -> Tensor:
    """Let a frame look at memories, by `transformers`' own code.

    Args:
        attention: `Sam2VideoMemoryAttention`.
        current: `K n C`, the frame's tokens.
        current_position: `K n C`, or `1 n C` for all.
        memory: `K m 64`: spatial memories of `n` tokens each, then the parts of pointers.
        memory_position: `K m 64`, which is added to keys alone.
        pointer_tokens: How many of the last memory tokens are parts of pointers and get no
            rotary code.

    Returns:
        `K n C`.
    """
    found: Tensor = attention(
        current_vision_features=current.transpose(0, 1),
        current_vision_position_embeddings=current_position.transpose(0, 1),
        memory=memory.transpose(0, 1),
        memory_posision_embeddings=memory_position.transpose(0, 1),
        num_object_pointer_tokens=pointer_tokens,
    )
    # It answers with one more axis where `K` would be: 1 K n C.
    return found.reshape(current.shape)


def condition(
    model: Sam2VideoModel,
    top: Tensor,
    memory: Tensor,
    memory_position: Tensor,
    pointer_tokens: int,
    attend: MemoryAttention = attend_memory,
) -> Tensor:
    """Return a top map into which memories were mixed.

    Args:
        model: SAM 2.
        top: `K C h w`, memory-free.
        memory: As for `attend_memory`, like the next two.
        memory_position: See there.
        pointer_tokens: See there.
        attend: What to do it with.

    Source: SAM 2, memory attention.
    """
    positions = model.vision_encoder.neck.position_encoding(top[:1].shape, top.device, top.dtype)
    found = attend(
        model.memory_attention,
        tokens_of(top),
        tokens_of(positions),
        memory.to(top.dtype),
        memory_position.to(top.dtype),
        pointer_tokens,
    )
    return maps_of(found, top.shape[-2])


def encode_memory(
    model: Sam2VideoModel,
    top: Tensor,
    mask_logits: Tensor,
    present: Tensor,
    *,
    hard: bool,
    pool: int = 1,
) -> Tensor:
    """Make a frame's spatial memory.

    Args:
        model: SAM 2.
        top: `K C h w`, memory-free, or `1 C h w` for all.
        mask_logits: `K 1 S S`.
        present: `K 1` bool: whether the object is there.
        hard: Whether the mask counts as 0 and 1, as it does on frames on which something was
            said; else as probabilities.
        pool: It is kept as means of so many by so many places.

    Returns:
        `K (h w) 64` bfloat16, as SAM 2 keeps it.

    Source: SAM 2, memory encoder; `_encode_new_memory`.
    """
    mask = (mask_logits > 0).to(mask_logits.dtype) if hard else torch.sigmoid(mask_logits)
    config, kind = model.config, top.dtype
    scaled = mask * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
    top = top.contiguous().expand(len(mask_logits), -1, -1, -1)
    features, _ = model.memory_encoder(top, scaled.to(kind))
    absent = (~present).to(kind)[..., None, None]
    features = features + absent * model.occlusion_spatial_embedding_parameter[..., None, None]
    features = F.avg_pool2d(features, pool) if pool > 1 else features
    found: Tensor = features.to(torch.bfloat16).flatten(2).transpose(1, 2)
    return found


def memory_positions(
    model: Sam2VideoModel, ages: list[int], device: torch.device, pool: int = 1
) -> Tensor:
    """Return positions of spatial memories, float32.

    Args:
        model: SAM 2.
        ages: For each how many frames ago it was; 0 for prompted frames.
        device: Where they are needed.
        pool: Memories are means of so many by so many places.

    Returns:
        `len(ages) (h w) 64`.
    """
    side = model.prompt_encoder.image_embedding_size
    shape = torch.Size((1, model.mem_dim, *side))
    spatial = model.memory_encoder.position_encoding(shape, device, torch.float32)
    spatial = F.avg_pool2d(spatial, pool) if pool > 1 else spatial
    # An age of 0 takes the last row, which stands for "prompted".
    rows = model.memory_temporal_positional_encoding[[age - 1 for age in ages], 0].float()
    found: Tensor = spatial.flatten(2).transpose(1, 2) + rows
    return found


def pointer_positions(model: Sam2VideoModel, ages: Tensor, most_pointers: int) -> Tensor:
    """Return positions of pointers, `P 64`.

    Args:
        model: SAM 2.
        ages: `P`, how many frames ago each was.
        most_pointers: An age is divided by one less.
    """
    layer = model.temporal_positional_encoding_projection_layer
    sine = get_1d_sine_pe(ages.float() / (most_pointers - 1), dim=model.hidden_dim)
    found: Tensor = layer(sine.to(layer.weight.dtype))
    return found


def point_at(model: Sam2VideoModel, token: Tensor, present: Tensor) -> Tensor:
    """Make the pointers of `K` objects.

    Args:
        model: SAM 2.
        token: `K C`, the mask's token.
        present: `K 1` bool.

    Returns:
        `K C`.
    """
    found: Tensor = torch.where(present, model.object_pointer_proj(token), model.no_object_pointer)
    return found


class StepwiseDecoder(Sam2VideoMaskDecoder):  # type: ignore[misc]
    """SAM 2's mask decoder, in steps that another decoder can go between.

    Attributes:
        prompted: What happens to a prompted top map first; nothing in SAM 2.
        refine_middle: What happens to the upscaled map after the first step; nothing in SAM 2.
        refine_fine: The same after the second.

    Source: SAM 2, mask decoder; `Sam2VideoMaskDecoder.forward`.
    """

    def __init__(self, sizes: Any) -> None:
        """Build it from `transformers`' config of it."""
        super().__init__(sizes)
        self.prompted: nn.Module = nn.Identity()
        self.refine_middle: nn.Module = nn.Identity()
        self.refine_fine: nn.Module = nn.Identity()

    def output_tokens(self) -> Tensor:
        """Return the tokens before the prompt's, `6 C`: score, quality, four masks."""
        return torch.cat([
            self.obj_score_token.weight,
            self.iou_token.weight,
            self.mask_tokens.weight,
        ])

    def attend(
        self, top: Tensor, positions: Tensor, tokens: Tensor, prompt: EmbeddedPrompt
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and map look at each other.

        Args:
            top: `K C h w`, or `1 C h w` for all.
            positions: `1 C h w`.
            tokens: `M C`, those before the prompt's.
            prompt: Of `K` objects.

        Returns:
            Tokens, `K M C` without the prompt's, and the map `K C h w`.
        """
        count = max(len(top), len(prompt.sparse), len(prompt.dense))
        sparse = prompt.sparse.expand(count, -1, -1)
        queries = torch.cat([tokens.expand(count, -1, -1), sparse], dim=1)
        keys = top.to(prompt.dense.dtype) + prompt.dense
        keys = self.prompted(keys).expand(count, -1, -1, -1)
        found, image = self.transformer(
            point_embeddings=queries[:, None],
            image_embeddings=keys,
            image_positional_embeddings=positions.expand(count, -1, -1, -1),
            attention_similarity=None,
        )
        return found[:, 0, : len(tokens)], maps_of(image[:, 0], keys.shape[-2])

    def upscale(self, image: Tensor, frame: Features) -> Tensor:
        """Return the segmentation feature, `K C/8 4h 4w`, of a map `K C h w`."""
        grown = self.upscale_conv1(image) + frame.middle
        grown = self.refine_middle(self.activation(self.upscale_layer_norm(grown)))
        found: Tensor = self.activation(self.upscale_conv2(grown) + frame.fine)
        refined: Tensor = self.refine_fine(found)
        return refined

    def all_masks(self, tokens: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Return the four masks' logits, `K 4 4h 4w`, and their tokens, `K 4 C`."""
        mask_tokens = tokens[:, 2 : 2 + self.num_mask_tokens]
        return dot(self.output_hypernetworks_mlps, mask_tokens, feature), mask_tokens

    def most_stable(self, masks: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first mask, or the best of the others if it isn't stable, `K 1 4h 4w`."""
        found, chosen = self._dynamic_multimask_via_stability(masks[:, None], quality[:, None])
        return found[:, 0], chosen[:, 0]


def dot(mlps: nn.ModuleList, tokens: Tensor, feature: Tensor) -> Tensor:
    """Turn tokens `K M C` into weights and weigh a feature `K D h w` by them: `K M h w`."""
    weights = torch.stack([mlp(tokens[:, at]) for at, mlp in enumerate(mlps)], dim=1)
    return (weights @ feature.flatten(2)).reshape(len(feature), -1, *feature.shape[-2:])


def hyper_mlp(width: int) -> nn.Module:
    """Return an MLP that turns an output token into weights of a feature's channels."""
    mlp: nn.Module = Sam2VideoFeedForward(width, width, width // 8, 3)
    return mlp


def channel_norm(width: int) -> nn.Module:
    """Return a layer norm over the channels of `K C h w`."""
    norm: nn.Module = Sam2VideoLayerNorm(width, data_format="channels_first")
    return norm
