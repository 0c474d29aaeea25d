"""Plain convolutions and attention by which a small decoder makes up for a small trunk."""

from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2.quick_layers import Tokenwise, convolved, halved_precision, linear
from pullmatte.models.mam2.quick_planes import maps_of, tokens_of


class Residual(nn.Module):
    """Two 3 × 3 convolutions, added to their input; they start by changing nothing."""

    def __init__(self, width: int, inner: int | None = None) -> None:
        """Build it for maps of `width` channels, with `inner` between the convolutions."""
        super().__init__()
        inner = inner or width
        self.norm = nn.GroupNorm(min(8, width // 4), width)
        self.first = nn.Conv2d(width, inner, 3, padding=1)
        self.second = nn.Conv2d(inner, width, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, image: Tensor) -> Tensor:
        """Return `B C h w` of `B C h w`."""
        # What is added may be rounded, what it is added to isn't.
        normed = halved_precision(self.norm(image))
        inner = F.gelu(convolved(self.first, normed))
        return image + convolved(self.second, inner).to(image.dtype)


class SelfAttention(nn.Module):
    """Every place looks at every other, then each thinks by itself: a transformer's block.

    It has no positions of its own: convolutions before it, padded, tell where a place is.
    """

    def __init__(self, width: int, heads: int = 4, *, mlp: int = 2, pool: int = 1) -> None:
        """Build it for maps of `width` channels; looked at are means of `pool` by `pool` places."""
        super().__init__()
        self.heads, self.pool = heads, pool
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = Tokenwise(width, width)
        self.expand = Tokenwise(width, mlp * width)
        self.project = Tokenwise(mlp * width, width)

    def forward(self, image: Tensor) -> Tensor:
        """Return `B C h w` of `B C h w`."""
        batch, width, height, _ = image.shape
        tokens = tokens_of(image)
        normed = self.norm1(tokens)
        seen = normed
        if self.pool > 1:
            seen = tokens_of(F.avg_pool2d(maps_of(normed, height), self.pool))
        weights, biases = self.qkv.weight, self.qkv.bias
        query = linear(normed, weights[:width], biases[:width])
        key, value = linear(seen, weights[width:], biases[width:]).chunk(2, dim=-1)
        query, key, value = (
            each.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)
            for each in (query, key, value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.proj(mixed.transpose(1, 2).reshape(batch, -1, width))
        tokens = tokens + self.project(F.gelu(self.expand(self.norm2(tokens))))
        return maps_of(tokens, height)


class PromptedBlocks(nn.Sequential):
    """What happens to a top map once the prompt was added to it, before tokens look at it."""

    def __init__(self, width: int, count: int, pool: int = 1) -> None:
        """Build `count` pairs of a convolutional block and one of attention."""
        super().__init__(
            *(
                block
                for _ in range(count)
                for block in (Residual(width), SelfAttention(width, pool=pool))
            )
        )
