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
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pullmatte.errors import WeightsError
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


def make_text_encoder(config: TextConfig) -> Any:
    """Make a text encoder with random weights; on the meta device it takes no memory for them.

    Returns:
        transformers' module, whose tensors have the released names without prefix.
    """
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.positions,
            hidden_act="gelu",
            bos_token_id=config.vocabulary - 2,
            eos_token_id=config.vocabulary - 1,
        )
    )
    # transformers 4 keeps the tensors one level deeper than 5.
    encoder = getattr(model, "text_model", model)
    for module in encoder.modules():
        if "position_ids" in module._buffers:
            # It isn't in any file, so that on the meta device nothing would give it a value.
            places = torch.arange(config.positions, device="cpu")[None]
            module.register_buffer("position_ids", places, persistent=False)
    return encoder


def build_text_encoder(tensors: Mapping[str, Tensor]) -> Any:
    """Build a text encoder around its weights, without copying them.

    Args:
        tensors: By released name, without ``text_encoder.text_model.``.

    Raises:
        WeightsError: If they aren't exactly a text encoder's.
    """
    config = TextConfig.of_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    with torch.device("meta"):
        encoder = make_text_encoder(config)
    load_strictly(encoder, tensors, "text encoder")
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def embed_ids(encoder: Any, ids: Tensor) -> Tensor:
    """Embed token ids, `B n`, as `B n width`: last hidden states after the final norm."""
    embedding: Tensor = encoder(ids).last_hidden_state
    return embedding


def embed_empty(tensors: Mapping[str, Tensor]) -> Tensor:
    """Compute the embedding of "", `1 77 width` float32, from a text encoder's weights.

    Raises:
        WeightsError: If they aren't exactly a text encoder's.
    """
    config = TextConfig.of_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    return embed_ids(build_text_encoder(tensors).float(), config.empty_ids())


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
    def encoder(self) -> Any:
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
        """
        positions = self.encoder.config.max_position_embeddings
        words: list[int] = self.tokenizer(caption, truncation=True, max_length=positions).input_ids
        ids = torch.zeros(1, positions, dtype=torch.long)
        ids[0, : len(words)] = torch.tensor(words)
        return embed_ids(self.encoder, ids)


def load_tokenizer(folder: Path) -> Any:
    """Open CLIP's tokenizer from its files.

    Raises:
        WeightsError: If they can't be read.
    """
    try:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise WeightsError(f"{folder}: no tokenizer of CLIP: {error}") from error
