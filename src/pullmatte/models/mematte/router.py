"""The router: decides for each token whether it attends."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Keeps the double logarithm of a chance finite.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Route:
    """What a router decided.

    Attributes:
        scores: `B H W 2`, log-probabilities of keeping and of refining.
        kept: `B H W` bool, the tokens that attend.
    """

    scores: Tensor
    kept: Tensor


class Router(nn.Module):
    """Scores tokens by what they hold and by the picture's mean.

    Source: MEMatte, adaptive token routing.
    """

    def __init__(self, width: int) -> None:
        """Take a token's channels."""
        super().__init__()
        self.in_conv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.GELU(),
            nn.Linear(width // 2, width // 4),
            nn.GELU(),
            nn.Linear(width // 4, 2),
            nn.LogSoftmax(dim=-1),
        )

    def forward(self, tokens: Tensor, most: int) -> Route:
        """Choose tokens.

        Args:
            tokens: `B H W C`.
            most: As many at most are kept: those with the largest difference of scores.
        """
        scores = self.scores(tokens)
        lead = (scores[..., 0] - scores[..., 1]).flatten(1)
        kept = lead > 0
        if int(kept.sum(1).max()) > most:
            best = lead.topk(most, dim=1).indices
            kept = kept & torch.zeros_like(kept).scatter(1, best, True)
        return Route(scores, kept.reshape(scores.shape[:-1]))

    def sample(self, tokens: Tensor, generator: torch.Generator, warmth: float = 1.0) -> Tensor:
        """Choose tokens by chance, as in training.

        Args:
            tokens: `B H W C`.
            generator: Of the CPU, for the chance.
            warmth: The temperature; the lower, the nearer gradients are to the hard choice's.

        Returns:
            `B (H W) 1`, exactly 1 for kept tokens and 0 for others, as likely as their scores say;
            gradients pass as through the soft choice.

        Source: MEMatte's training; Jang et al. 2017, straight-through Gumbel-softmax.
        """
        scores = self.scores(tokens).flatten(1, 2)
        chance = torch.rand(scores.shape, generator=generator).clamp(_LEAST, 1 - _LEAST)
        noise = -(-chance.log()).log()
        soft = ((scores + noise.to(scores)) / warmth).softmax(-1)[..., :1]
        hard = (soft > 0.5).to(soft)
        return hard - soft.detach() + soft

    def scores(self, tokens: Tensor) -> Tensor:
        """Return `B H W 2` log-probabilities of keeping and of refining."""
        local, shared = self.in_conv(tokens).chunk(2, dim=-1)
        mean = shared.mean(dim=(1, 2), keepdim=True).expand_as(shared)
        scores: Tensor = self.out_conv(torch.cat([local, mean], dim=-1))
        return scores
