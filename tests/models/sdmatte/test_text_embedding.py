"""The text encoder against transformers', and captions."""

import json

import pytest
import torch
from safetensors.torch import save_file

from pullmatte.errors import WeightsError
from pullmatte.models.sdmatte.text_embedding import (
    CaptionEncoder,
    TextConfig,
    build_text_encoder,
    embed_empty,
    embed_ids,
    make_text_encoder,
)

TINY = TextConfig(width=128, layers=3, heads=2, hidden=256, vocabulary=64)


def random_weights(config=TINY):
    torch.manual_seed(3)
    state = make_text_encoder(config).state_dict()
    return {k: torch.randn_like(v) * 0.1 + ("norm" in k) for k, v in state.items()}


def test_empty_text_is_begin_end_and_zeros():
    ids = TextConfig().empty_ids()
    assert ids.shape == (1, 77)
    assert ids[0, :4].tolist() == [49406, 49407, 0, 0]
    assert not ids[0, 2:].any()


def test_embedding_equals_that_of_transformers():
    from transformers import CLIPTextConfig, CLIPTextModel

    oracle = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=64, hidden_size=128, intermediate_size=256, num_hidden_layers=3,
            num_attention_heads=2, max_position_embeddings=77, hidden_act="gelu",
            bos_token_id=62, eos_token_id=63, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    weights = random_weights()
    nested = any(name.startswith("text_model.") for name in oracle.state_dict())
    named = {f"text_model.{k}" if nested else k: v for k, v in weights.items()}
    oracle.load_state_dict(named, strict=True)
    with torch.no_grad():
        expected = oracle(TINY.empty_ids()).last_hidden_state
    torch.testing.assert_close(embed_empty(weights), expected, atol=2e-5, rtol=1e-5)


def test_half_precision_weights_give_a_float32_embedding():
    weights = {name: value.half() for name, value in random_weights().items()}
    expected = embed_empty({name: value.float() for name, value in weights.items()})
    torch.testing.assert_close(embed_empty(weights), expected, atol=0, rtol=0)


def test_sizes_are_told_by_shapes(shared):
    record = json.loads((shared / "parity/sdmatte/state_dict_sdmatte.json").read_text())
    prefix = "text_encoder.text_model."
    shapes = {k[len(prefix) :]: s for k, s, _ in record if k.startswith(prefix)}
    assert TextConfig.of_shapes(shapes) == TextConfig()


def test_a_missing_tensor_is_named():
    weights = random_weights()
    del weights["encoder.layers.1.mlp.fc2.bias"]
    with pytest.raises(WeightsError, match=r"1 missing \(encoder.layers.1.mlp.fc2.bias\)"):
        build_text_encoder(weights)
    with pytest.raises(WeightsError, match="can't tell its sizes"):
        build_text_encoder({})


@pytest.fixture
def kept(tmp_path):
    """A converted folder with a text encoder that knows four words."""
    tokenizer = tmp_path / "text_encoder" / "tokenizer"
    tokenizer.mkdir(parents=True)
    words = ["!", "a", "c", "t", "a</w>", "t</w>", "at</w>", "cat</w>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": 62, "<|endoftext|>": 63}
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version: 0.2\na t</w>\nc at</w>\n")
    save_file(random_weights(), tmp_path / "text_encoder" / "model.safetensors")
    return tmp_path


def test_captions_are_embedded_with_zeros_after_the_end(kept):
    captions = CaptionEncoder(kept)
    ids = torch.zeros(1, 77, dtype=torch.long)
    ids[0, :4] = torch.tensor([62, 4, 7, 63])
    torch.testing.assert_close(captions.embed("A  cat"), embed_ids(captions.encoder, ids))
    torch.testing.assert_close(captions.embed(""), embed_empty(random_weights()))


def test_long_captions_are_cut(kept):
    assert CaptionEncoder(kept).embed("cat " * 200).shape == (1, 77, 128)


def test_captions_without_a_kept_text_encoder_say_what_to_do(tmp_path):
    assert not CaptionEncoder.is_kept(tmp_path)
    with pytest.raises(WeightsError, match="--keep-text-encoder"):
        CaptionEncoder(tmp_path)
