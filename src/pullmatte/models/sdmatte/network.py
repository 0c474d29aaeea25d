"""SDMatte's network: image and prompt in, alpha out, in one deterministic step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pullmatte.models.sdmatte.autoencoder import LatentCodec, to_alpha
from pullmatte.models.sdmatte.config import SDMatteConfig
from pullmatte.models.sdmatte.coordinate_embedding import CoordinateEmbedding
from pullmatte.models.sdmatte.masked_self_attention import attention_bias
from pullmatte.models.sdmatte.opacity_embedding import OpacityEmbedding
from pullmatte.models.sdmatte.prompt_maps import PromptKind
from pullmatte.models.sdmatte.unet import LATENT_CHANNELS, ConditionedUNet
from pullmatte.models.sdmatte.visual_prompt_cross_attention import VisualPrompt

TEXT_TOKENS = 77
_MASKING = ("box", "mask", "points")


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """What the network is told of `B` objects.

    Attributes:
        maps: `B 1 S S` float32 in [0, 1].
        kinds: What each map shows.
        coordinates: Each prompt's numbers in [0, 1].
        opacity: `B`: 1 for opaque, 0 for transparent.
    """

    maps: Tensor
    kinds: tuple[PromptKind, ...]
    coordinates: tuple[Tensor, ...]
    opacity: Tensor


@dataclass(frozen=True, eq=False)
class Output:
    """What one step gives, with what it went through.

    Attributes:
        alpha: `B 1 S S` float32 in [0, 1].
        condition: `B condition_width`: equation 2.
        bias: `B 1 (h w)` float32, or None if nothing was masked: equation 4.
        visual_tokens: `B (h w) context_width`, or None where no block reads them: section 3.2.
        unet_input: `B 8 h w`.
        unet_output: `B 4 h w`.
        decoded: `B 3 S S`, before mean and clip.
    """

    alpha: Tensor
    condition: Tensor
    bias: Tensor | None
    visual_tokens: Tensor | None
    unet_input: Tensor
    unet_output: Tensor
    decoded: Tensor


class SDMatteNetwork(nn.Module):
    """SDMatte or LiteSDMatte, by its config.

    Source: SDMatte, section 3, figure 2.
    """

    text_embedding: Tensor

    def __init__(self, config: SDMatteConfig) -> None:
        """Build it, with random weights or on the meta device."""
        super().__init__()
        self.config = config
        width, deep = config.unet.condition_width, config.embedding_layers == "mlp"
        self.codec = LatentCodec(config.autoencoder)
        self.unet = ConditionedUNet(config.unet)
        self.visual_prompt = (
            VisualPrompt(LATENT_CHANNELS, config.unet.context_width)
            if any(config.visual_prompt_cross_attention)
            else None
        )
        self.opacity_embedding = (
            OpacityEmbedding(config.unet.channels[0], width, deep=deep)
            if config.opacity_embedding
            else None
        )
        self.coordinate_embedding = (
            CoordinateEmbedding(config.box_width, config.points_width, width, deep=deep)
            if config.coordinate_embedding
            else None
        )
        # The text encoder's answer to "": all that a network without captions needs of it.
        self.register_buffer(
            "text_embedding", torch.zeros(1, TEXT_TOKENS, config.unet.context_width)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        dtype: torch.dtype = self.unet.conv_in.weight.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.unet.conv_in.weight.device
        return device

    def encode_image(self, image: Tensor) -> Tensor:
        """Encode images, `B 3 S S` in [0, 1], once for any number of prompts: `B 4 h w`."""
        return self.codec.encode(image)

    def encode_prompts(self, maps: Tensor) -> Tensor:
        """Encode prompt maps, `B 1 S S` in [0, 1], as the images they are: `B 4 h w`."""
        return self.codec.encode_map(maps)

    def condition(self, prompts: PromptBatch) -> Tensor:
        """Sum up opacity and coordinates, `B condition_width`: equation 2.

        What the config leaves out adds nothing; without both it is zero.
        """
        width = self.config.unet.condition_width
        total = torch.zeros(len(prompts.kinds), width, dtype=self.dtype, device=self.device)
        if self.opacity_embedding is not None:
            total = total + self.opacity_embedding(prompts.opacity)
        if self.coordinate_embedding is not None:
            are_points = [kind == "points" for kind in prompts.kinds]
            total = total + self.coordinate_embedding(prompts.coordinates, are_points)
        return total

    def bias(self, prompts: PromptBatch) -> Tensor | None:
        """Return what masks self-attention, `B 1 (h w)`; trimaps and "auto" mask nothing."""
        masking = [kind in _MASKING for kind in prompts.kinds]
        if not any(masking) or not any(self.config.masked_self_attention):
            return None
        bias = attention_bias(prompts.maps, self.config.mask_penalty)
        if not all(masking):
            keep = torch.tensor(masking, device=bias.device)[:, None, None]
            bias = torch.where(keep, bias, 0.0)
        return bias

    def forward(
        self,
        image_latent: Tensor,
        prompts: PromptBatch,
        *,
        prompt_latent: Tensor | None = None,
        text: Tensor | None = None,
    ) -> Output:
        """Matte `B` objects: section 3.1.

        Args:
            image_latent: `B 4 h w` of `encode_image`; or `1 4 h w`, one image for all prompts.
            prompts: The prompts.
            prompt_latent: `B 4 h w` of `encode_prompts`, if it is known already.
            text: `B n context_width` or `1 n context_width`, the embedding of a caption; the empty
                caption's unless given.

        Returns:
            The alphas, with all that stands between.
        """
        count = len(prompts.kinds)
        if prompt_latent is None:
            prompt_latent = self.encode_prompts(prompts.maps)
        unet_input = torch.cat([image_latent.expand(count, -1, -1, -1), prompt_latent], dim=1)
        visual_tokens = None if self.visual_prompt is None else self.visual_prompt(prompt_latent)
        condition, bias = self.condition(prompts), self.bias(prompts)
        unet_output = self.unet(
            unet_input,
            condition,
            contexts=self._contexts(visual_tokens, text, count),
            bias=bias,
            masked=self.config.masked_self_attention,
        )
        decoded = self.codec.decode(unet_output)
        return Output(
            to_alpha(decoded), condition, bias, visual_tokens, unet_input, unet_output, decoded
        )

    def _contexts(
        self, visual_tokens: Tensor | None, text: Tensor | None, count: int
    ) -> Sequence[Tensor]:
        """Choose what the down, mid and up blocks read: section 3.2, table 3."""
        words = self.text_embedding if text is None else text.to(self.text_embedding)
        words = words.expand(count, -1, -1)
        where = self.config.visual_prompt_cross_attention
        return [visual_tokens if seen and visual_tokens is not None else words for seen in where]
