"""The backbone: a plain vision transformer with windows, whose global blocks are routed."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.detail_decoder import IN_CHANNELS
from pullmatte.models.mematte.router import Route, Router
from pullmatte.models.mematte.token_refinement import TokenRefinement

_EPS = 1e-6
_SOFT_EPS = 1e-6
# What relative places add is a number for each pair of tokens: they ask in strips of rows.
_MOST_QUERIES = 1024


class _Patches(nn.Module):
    def __init__(self, width: int, patch_px: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(IN_CHANNELS, width, patch_px, patch_px)

    def forward(self, picture: Tensor) -> Tensor:
        tokens: Tensor = self.proj(picture).permute(0, 2, 3, 1)
        return tokens


class Attention(nn.Module):
    """Self-attention, in windows with decomposed relative positions.

    Source: ViTDet; Li et al. 2022, section 3.
    """

    def __init__(self, width: int, heads: int, side: int | None) -> None:
        """Take the side in tokens for which relative positions are learned; None for none."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        if side is not None:
            shape = (2 * side - 1, width // heads)
            self.rel_pos_h = nn.Parameter(torch.zeros(shape))
            self.rel_pos_w = nn.Parameter(torch.zeros(shape))

    def forward(self, tokens: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Attend among the tokens of each item.

        Args:
            tokens: `B N C`.
            grid: Rows and columns that they fill; None for tokens without places.
        """
        query, key, value = self._parts(tokens)
        if grid is None:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            rows, columns = grid
            step = max(1, _MOST_QUERIES // columns)
            strips = [(top, min(top + step, rows)) for top in range(0, rows, step)]
            mixed = torch.cat(
                [self._placed(query, key, value, grid, strip) for strip in strips], dim=2
            )
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _placed(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        grid: tuple[int, int],
        strip: tuple[int, int],
    ) -> Tensor:
        """Let the tokens of some rows ask all others, by what they hold and where they are."""
        rows, columns = grid
        asking = query[:, :, strip[0] * columns : strip[1] * columns]
        square = asking.reshape(*asking.shape[:2], -1, columns, asking.shape[-1])
        from_rows = _apart(self.rel_pos_h, rows)[strip[0] : strip[1]]
        down = torch.einsum("bnhwc,hkc->bnhwk", square, from_rows)
        across = torch.einsum("bnhwc,wkc->bnhwk", square, _apart(self.rel_pos_w, columns))
        bias = (down[..., :, None] + across[..., None, :]).flatten(4).flatten(2, 3)
        return F.scaled_dot_product_attention(asking, key, value, attn_mask=bias)

    def softly(self, tokens: Tensor, policy: Tensor) -> Tensor:
        """Attend as in training: every token asks, but only kept ones answer, and each itself.

        Args:
            tokens: `B N C`.
            policy: `B N 1`, 1 for kept tokens and 0 for others; gradients pass through it.

        Source: MEMatte's training; DynamicViT, section 3.3, for the masked softmax.
        """
        query, key, value = self._parts(tokens)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        count = scores.shape[-1]
        own = torch.eye(count, device=tokens.device, dtype=tokens.dtype)
        heard = policy[:, None, None, :, 0]
        heard = heard + (1 - heard) * own
        weights = (scores - scores.amax(-1, keepdim=True)).exp() * heard
        weights = (weights + _SOFT_EPS / count) / (weights.sum(-1, keepdim=True) + _SOFT_EPS)
        out: Tensor = self.proj((weights @ value).transpose(1, 2).flatten(2))
        return out

    def _parts(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        return query, key, value


def _apart(learned: Tensor, side: int) -> Tensor:
    """Look up learned relative positions, `2s-1 C`, for each pair of lines: `side side C`."""
    if len(learned) != 2 * side - 1:
        resized = F.interpolate(learned.T[None], size=2 * side - 1, mode="linear")
        learned = resized[0].T
    steps = torch.arange(side, device=learned.device)
    return learned[steps[:, None] - steps[None, :] + side - 1]


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of `B C H W`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = width // 2
        self.conv1 = nn.Conv2d(width, narrow, 1, bias=False)
        self.norm1 = _ChannelNorm(narrow, eps=_EPS)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, padding=1, bias=False)
        self.norm2 = _ChannelNorm(narrow, eps=_EPS)
        self.conv3 = nn.Conv2d(narrow, width, 1, bias=False)
        self.norm3 = _ChannelNorm(width, eps=_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        x: Tensor = tokens.permute(0, 3, 1, 2)
        x = F.gelu(self.norm1(self.conv1(x)))
        x = F.gelu(self.norm2(self.conv2(x)))
        x = self.norm3(self.conv3(x))
        return tokens + x.permute(0, 2, 3, 1)


class _Block(nn.Module):
    """What window blocks and global blocks share."""

    def __init__(self, config: MEMatteConfig, side: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=_EPS)
        self.attn = Attention(config.width, config.heads, side)
        self.norm2 = nn.LayerNorm(config.width, eps=_EPS)
        self.mlp = _Mlp(config.width)

    def finish(self, tokens: Tensor) -> Tensor:
        """Apply what follows attention."""
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class WindowBlock(_Block):
    """Attends within windows; the picture is filled up with zeros to whole ones."""

    def __init__(self, config: MEMatteConfig) -> None:
        """Build it."""
        super().__init__(config, config.window)
        self.window = config.window

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens, `B H W C`."""
        batch, rows, columns, width = tokens.shape
        side = self.window
        filled = F.pad(self.norm1(tokens), (0, 0, 0, -columns % side, 0, -rows % side))
        down, across = filled.shape[1] // side, filled.shape[2] // side
        cells = filled.reshape(batch, down, side, across, side, width).transpose(2, 3)
        mixed = self.attn(cells.reshape(-1, side * side, width), (side, side))
        mixed = mixed.reshape(batch, down, across, side, side, width).transpose(2, 3)
        whole = mixed.reshape(batch, down * side, across * side, width)
        return self.finish(tokens + whole[:, :rows, :columns])


class GlobalBlock(_Block):
    """Attends over the whole picture; where it is routed, among the kept tokens alone."""

    def __init__(self, config: MEMatteConfig) -> None:
        """Build it."""
        super().__init__(config, None if config.routed else config.trained_px // config.patch_px)
        self.efficient_block = TokenRefinement(config.width) if config.routed else None
        self.residual = _Residual(config.width)

    def forward(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        """Transform tokens.

        Args:
            tokens: `B H W C`.
            kept: `B H W` bool, those that attend; the others are refined. None for all.
        """
        normed = self.norm1(tokens)
        if kept is None or self.efficient_block is None:
            grid = None if self.efficient_block else (tokens.shape[1], tokens.shape[2])
            mixed = self.attn(normed.flatten(1, 2), grid).reshape(tokens.shape)
        else:
            mixed = self.efficient_block(tokens)
            for item, chosen in enumerate(kept):
                if chosen.any():
                    mixed[item, chosen] = self.attn(normed[item, chosen][None])[0]
        out: Tensor = self.residual(self.finish(tokens + mixed))
        return out

    def softly(self, tokens: Tensor, policy: Tensor) -> Tensor:
        """Transform tokens as in training: both ways for each, mixed by the policy.

        Args:
            tokens: `B H W C`.
            policy: `B (H W) 1`, 1 for kept tokens and 0 for others.
        """
        assert self.efficient_block is not None, "without routing there is one way"
        attended = self.attn.softly(self.norm1(tokens).flatten(1, 2), policy).reshape(tokens.shape)
        share = policy.reshape(*tokens.shape[:-1], 1)
        mixed = share * attended + (1 - share) * self.efficient_block(tokens)
        out: Tensor = self.residual(self.finish(tokens + mixed))
        return out


class Backbone(nn.Module):
    """Turns picture and trimap into one feature for each 16 pixels.

    Source: MEMatte, section on adaptive token routing; ViTMatte, section 3.
    """

    def __init__(self, config: MEMatteConfig) -> None:
        """Build it, with random weights or on the meta device."""
        super().__init__()
        self.config = config
        self.pos_embed = nn.Parameter(torch.zeros(1, config.places**2 + 1, config.width))
        self.patch_embed = _Patches(config.width, config.patch_px)
        self.blocks = nn.ModuleList(
            GlobalBlock(config) if at in config.global_blocks else WindowBlock(config)
            for at in range(config.blocks)
        )
        count = len(config.global_blocks) if config.routed else 0
        self.routers = nn.ModuleList(Router(config.width) for _ in range(count))

    def forward(self, picture: Tensor, most_tokens: int) -> tuple[Tensor, Sequence[Route]]:
        """Run it.

        Args:
            picture: `B 4 H W`, sides multiples of the patch.
            most_tokens: As many at most attend in a routed block.

        Returns:
            Features, `B C H/16 W/16`, and what each router decided.
        """
        tokens = self.patch_embed(picture)
        tokens = tokens + self.positions(tokens.shape[1], tokens.shape[2])
        routers, routes = iter(self.routers), []
        for block in self.blocks:
            if isinstance(block, GlobalBlock) and self.config.routed:
                routes.append(next(routers)(tokens, most_tokens))
                tokens = block(tokens, routes[-1].kept)
            else:
                tokens = block(tokens)
        return tokens.permute(0, 3, 1, 2), routes

    def softly(
        self, picture: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Run it as in training: routers choose by chance, and gradients reach them.

        Args:
            picture: `B 4 H W`, sides multiples of the patch.
            generator: Of the CPU, for the chance.

        Returns:
            Features, `B C H/16 W/16`, and each router's policy, `B N 1` of 0 and 1.
        """
        tokens = self.patch_embed(picture)
        tokens = tokens + self.positions(tokens.shape[1], tokens.shape[2])
        routers, policies = iter(self.routers), []
        for block in self.blocks:
            if isinstance(block, GlobalBlock) and self.config.routed:
                router = next(routers)
                assert isinstance(router, Router)
                policies.append(router.sample(tokens, generator))
                tokens = block.softly(tokens, policies[-1])
            else:
                tokens = block(tokens)
        return tokens.permute(0, 3, 1, 2), policies

    def positions(self, rows: int, columns: int) -> Tensor:
        """Resize the learned positions to a picture's grid, `1 rows columns C`."""
        side = self.config.places
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        if (rows, columns) != (side, side):
            grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
        return grid.permute(0, 2, 3, 1)
