"""Visual-prompt cross-attention: the prompt's latent stands where Stable Diffusion had a text."""

from torch import Tensor, nn


class VisualPrompt(nn.Module):
    """Turns the latent of a prompt map into tokens that cross-attention reads instead of a text.

    One token for each place of the latent, at its full size: 16384 for a square of 1024 pixels.

    Source: SDMatte, section 3.2, figure 2a.
    """

    def __init__(self, latent_channels: int, context_width: int) -> None:
        """Take the latent's channels and the width of a text token."""
        super().__init__()
        self.projection = nn.Conv2d(latent_channels, context_width, kernel_size=3, padding=1)

    def forward(self, prompt_latent: Tensor) -> Tensor:
        """Project a scaled latent, `B 4 h w`, to tokens, `B (h w) context_width`, row by row."""
        tokens: Tensor = self.projection(prompt_latent).flatten(2).transpose(1, 2)
        return tokens
