"""What the U-Net reads as text: the embedding of "", or of a caption.

Stable Diffusion 2's text encoder is the text half of a CLIP. Its answer to the empty caption is a
constant, computed once when a checkpoint is converted, after which its 340 million weights aren't
needed. Where they were kept, captions can be embedded.

Source: SDMatte, section 3.2; Stable Diffusion 2's text encoder (OpenCLIP ViT-H, last but one
layer); Radford et al. 2021, section 2.4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pullmatte.errors import MissingDependency, WeightsError
from pullmatte.models.weights import load_strictly, read_shards

FOLDER = "text_encoder"
TOKENIZER_FOLDER = "tokenizer"
_HEAD_WIDTH = 64
TOKENIZER_FILES = ("vocab.json", "merges.txt")


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a text encoder; the defaults are Stable Diffusion 2's.

    Attributes:
        width: Numbers in a token.
        layers: Transformer layers.
        heads: Attention heads.
        hidden: Width inside the feed-forward part.
        positions: Tokens in a text; shorter ones are filled up.
        vocabulary: Known tokens; the last two mean begin and end.
    """

    width: int = 1024
    layers: int = 23
    heads: int = 16
    hidden: int = 4096
    positions: int = 77
    vocabulary: int = 49408

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, Sequence[int]]) -> "TextConfig":
        """Derive the sizes from tensor shapes; heads are 64 wide, as in every released one.

        Raises:
            WeightsError: If these are no text encoder's.
        """
        try:
            vocabulary, width = shapes["embeddings.token_embedding.weight"]
            positions, _ = shapes["embeddings.position_embedding.weight"]
            layers = 1 + max(
                (int(name.split(".")[2]) for name in shapes if name.startswith("encoder.layers.")),
                default=-1,
            )
            hidden = shapes["encoder.layers.0.mlp.fc1.weight"][0] if layers else 4 * width
        except (LookupError, ValueError) as error:
            raise WeightsError(
                f"text encoder: can't tell its sizes, {error} is odd; give the whole file"
            ) from error
        return cls(width, layers, max(1, width // _HEAD_WIDTH), hidden, positions, vocabulary)

    def empty_ids(self) -> Tensor:
        """Return the token ids of "", `1 positions`: begin, end, then zeros.

        Stable Diffusion 2 fills up with "!", whose id is 0, and not with the end token.
        """
        ids = torch.zeros(1, self.positions, dtype=torch.long)
        ids[0, 0], ids[0, 1] = self.vocabulary - 2, self.vocabulary - 1
        return ids


class _Embeddings(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)

    def forward(self, ids: Tensor) -> Tensor:
        tokens: Tensor = self.token_embedding(ids)
        return tokens + self.position_embedding.weight[: ids.shape[1]]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = (
            projection(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(-2))
        return out


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class _Layer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.self_attn = _Attention(config.width, config.heads)
        self.layer_norm2 = nn.LayerNorm(config.width)
        self.mlp = _FeedForward(config.width, config.hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.self_attn(self.layer_norm1(tokens))
        out: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return out


class _Layers(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class TextEncoder(nn.Module):
    """The text half of a CLIP; its parts have the released names, without prefix.

    Source: Radford et al. 2021, section 2.4: pre-norm transformer, causal attention.
    """

    def __init__(self, config: TextConfig) -> None:
        """Build it, with random weights or on the meta device."""
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)
        self.final_layer_norm = nn.LayerNorm(config.width)

    @torch.no_grad()
    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids, `B n`, as `B n width`: last hidden states after the final norm."""
        out: Tensor = self.final_layer_norm(self.encoder(self.embeddings(ids)))
        return out


def build_text_encoder(tensors: Mapping[str, Tensor]) -> TextEncoder:
    """Build a text encoder around its weights, without copying them.

    Args:
        tensors: By released name, without ``text_encoder.text_model.``.

    Raises:
        WeightsError: If they aren't exactly a text encoder's.
    """
    config = TextConfig.of_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    with torch.device("meta"):
        encoder = TextEncoder(config)
    load_strictly(encoder, tensors, "text encoder")
    return encoder.eval().requires_grad_(False)


def embed_empty(tensors: Mapping[str, Tensor]) -> Tensor:
    """Compute the embedding of "", `1 77 width` float32, from a text encoder's weights.

    Raises:
        WeightsError: If they aren't exactly a text encoder's.
    """
    encoder = build_text_encoder(tensors).float()
    embedding: Tensor = encoder(encoder.config.empty_ids())
    return embedding


class CaptionEncoder:
    """Embeds captions with the text encoder that was kept; it is loaded for the first of them."""

    def __init__(self, folder: Path) -> None:
        """Take a converted folder.

        Args:
            folder: What ``pullmatte models convert --keep-text-encoder`` wrote.

        Raises:
            WeightsError: If no text encoder was kept in it.
        """
        self._folder = folder / FOLDER
        files = [self._folder / TOKENIZER_FOLDER / name for name in TOKENIZER_FILES]
        if not all(file.is_file() for file in files):
            raise WeightsError(
                f"{folder}: captions need the text encoder, which wasn't kept; convert or pull "
                "again with --keep-text-encoder"
            )

    @staticmethod
    def is_kept(folder: Path) -> bool:
        """Whether a converted folder has a text encoder."""
        return (folder / FOLDER).is_dir()

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder, in float32."""
        return build_text_encoder(read_shards(self._folder)).float()

    @cached_property
    def tokenizer(self) -> Any:
        """What turns a text into token ids."""
        return load_tokenizer(self._folder / TOKENIZER_FOLDER)

    def embed(self, caption: str) -> Tensor:
        """Embed a caption, `1 77 width` float32; what exceeds 77 tokens is cut off.

        Raises:
            WeightsError: If the text encoder or its tokenizer is damaged.
            MissingDependency: If transformers isn't installed.
        """
        positions = self.encoder.config.positions
        words: list[int] = self.tokenizer(caption, truncation=True, max_length=positions).input_ids
        ids = torch.zeros(1, positions, dtype=torch.long)
        ids[0, : len(words)] = torch.tensor(words)
        embedding: Tensor = self.encoder(ids)
        return embedding


def load_tokenizer(folder: Path) -> Any:
    """Open CLIP's tokenizer from its files.

    Raises:
        WeightsError: If they can't be read.
        MissingDependency: If transformers isn't installed.
    """
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise MissingDependency(
            "captions need transformers: pip install transformers, or leave the caption out"
        ) from error
    try:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise WeightsError(f"{folder}: no tokenizer of CLIP: {error}") from error
