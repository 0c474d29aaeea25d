"""Stable Diffusion's U-Net, conditioned on a vector instead of a time."""

from collections.abc import Sequence
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pullmatte.models.sdmatte.config import BlockSwitch, UNetConfig
from pullmatte.models.sdmatte.masked_self_attention import MaskedSelfAttention

LATENT_CHANNELS = 4


class ConditionedUNet(nn.Module):
    """The blocks of `diffusers`' U-Net, run once, without noise and without time.

    Its input holds two latents, of the image and of the prompt map.

    Source: SDMatte, section 3.1, figure 2.
    """

    def __init__(self, config: UNetConfig) -> None:
        """Build the blocks, with random weights or on the meta device."""
        super().__init__()
        blocks = UNet2DConditionModel(
            in_channels=2 * LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            block_out_channels=config.channels,
            layers_per_block=config.layers_per_block,
            # diffusers takes the number of heads by this name.
            attention_head_dim=config.heads,
            cross_attention_dim=config.context_width,
            norm_num_groups=config.norm_groups,
            use_linear_projection=True,
        )
        self.conv_in = blocks.conv_in
        self.down_blocks = blocks.down_blocks
        self.mid_block = blocks.mid_block
        self.up_blocks = blocks.up_blocks
        self.conv_norm_out, self.conv_act = blocks.conv_norm_out, blocks.conv_act
        self.conv_out = blocks.conv_out
        for layer in self.self_attention_layers():
            layer.set_processor(MaskedSelfAttention())

    def self_attention_layers(self) -> list[Any]:
        """Return the self-attention layers: 16 in Stable Diffusion 2."""
        return [m for name, m in self.named_modules() if name.endswith(".attn1")]

    def cross_attention_layers(self) -> list[Any]:
        """Return the cross-attention layers, as many, in the order in which they run."""
        groups = (self.down_blocks, self.mid_block, self.up_blocks)
        return [m for g in groups for name, m in g.named_modules() if name.endswith("attn2")]

    def forward(
        self,
        latents: Tensor,
        condition: Tensor,
        *,
        contexts: Sequence[Tensor],
        bias: Tensor | None = None,
        masked: BlockSwitch,
    ) -> Tensor:
        """Run once.

        Args:
            latents: `B 8 h w`: image, then prompt map.
            condition: `B condition_width`; stands where the time embedding stood.
            contexts: Tokens that cross-attention reads in the down, mid and up blocks; each
                `B n context_width`.
            bias: `B 1 (h w)` of `attention_bias`, or None to mask nothing.
            masked: Where the bias counts.

        Returns:
            `B 4 h w`.
        """
        down, mid, up = zip(contexts, (bias if on else None for on in masked), strict=True)
        hidden: Tensor = self.conv_in(latents)
        skips: list[Tensor] = [hidden]
        for block in self.down_blocks:
            hidden, made = block(hidden, condition, **_attention(block, *down))
            skips.extend(made)
        hidden = self.mid_block(hidden, condition, **_attention(self.mid_block, *mid))
        for block in self.up_blocks:
            taken = tuple(skips[-len(block.resnets) :])
            del skips[-len(block.resnets) :]
            hidden = block(hidden, taken, condition, **_attention(block, *up))
        return self.conv_out(self.conv_act(self.conv_norm_out(hidden)))  # type: ignore[no-any-return]


def _attention(block: nn.Module, context: Tensor, bias: Tensor | None) -> dict[str, Tensor | None]:
    if not getattr(block, "has_cross_attention", False):
        return {}
    return {"encoder_hidden_states": context, "attention_mask": bias}
