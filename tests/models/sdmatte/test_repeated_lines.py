from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor, nn

from pullmatte.models.sdmatte import repeated_lines
from pullmatte.models.sdmatte.repeated_lines import (
    Lines,
    encode_mean_of_map,
    equal_neighbours,
    halve_lines,
)

SIDE = 256
BOXES = {
    "inside": (60, 70, 200, 190),
    "odd": (93, 121, 178, 203),
    "corner": (0, 0, 100, 100),
    "last corner": (101, 99, SIDE, SIDE),
    "everything": (0, 0, SIDE, SIDE),
    "one column": (101, 0, 102, SIDE),
    "one pixel": (37, 41, 38, 42),
    "but the border": (1, 1, SIDE - 1, SIDE - 1),
}


@pytest.fixture(scope="module")
def vae() -> nn.Module:
    torch.manual_seed(0)
    made = AutoencoderKL(
        block_out_channels=(16, 16, 24, 24),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=8,
    )
    return made.eval()


def box_map(x0: int, y0: int, x1: int, y1: int) -> Tensor:
    values = torch.full((1, 1, SIDE, SIDE), -1.0)
    values[..., y0:y1, x0:x1] = 1
    return values


def encode_plainly(vae: nn.Module, values: Tensor) -> Tensor:
    with torch.no_grad():
        latent: Tensor = vae.encode(values.expand(-1, 3, -1, -1)).latent_dist.mode()
    return latent


def relative(result: Tensor, wanted: Tensor) -> float:
    assert result.shape == wanted.shape
    return ((result.float() - wanted).abs().max() / wanted.abs().max()).item()


@pytest.fixture
def no_detour(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the full map was encoded")

    monkeypatch.setattr(repeated_lines, "encode_mean", fail)


@pytest.mark.usefixtures("no_detour")
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_box_equals_the_full_map(vae: nn.Module, box: tuple[int, int, int, int]) -> None:
    values = box_map(*box)
    assert relative(encode_mean_of_map(vae, values), encode_plainly(vae, values)) < 1e-5


@pytest.mark.usefixtures("no_detour")
def test_mask_equals_the_full_map(vae: nn.Module) -> None:
    values = box_map(90, 100, 150, 140)
    generator = torch.Generator().manual_seed(1)
    values[..., 95:120, 120:160] = torch.rand(25, 40, generator=generator).round() * 2 - 1
    assert relative(encode_mean_of_map(vae, values), encode_plainly(vae, values)) < 1e-5


@pytest.mark.usefixtures("no_detour")
def test_points_equal_the_full_map(vae: nn.Module) -> None:
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    bump = torch.exp(-((y - 70) ** 2 + (x - 101) ** 2) / 72)
    values = torch.where(bump < 1e-3, 0, bump)[None, None] * 2 - 1
    assert relative(encode_mean_of_map(vae, values), encode_plainly(vae, values)) < 1e-5


@pytest.mark.usefixtures("no_detour")
def test_maps_of_a_batch_and_not_square_are_right(vae: nn.Module) -> None:
    values = torch.cat([box_map(30, 20, 90, 60), torch.ones(1, 1, SIDE, SIDE)])[..., :136]
    assert relative(encode_mean_of_map(vae, values), encode_plainly(vae, values)) < 1e-5


def test_map_without_repeated_lines_is_encoded_whole(vae: nn.Module) -> None:
    values = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert relative(encode_mean_of_map(vae, values), encode_plainly(vae, values)) < 1e-5


def test_bfloat16_stays_near(vae: nn.Module) -> None:
    values = box_map(*BOXES["odd"])
    wanted = encode_plainly(vae, values)
    try:
        result = encode_mean_of_map(vae.bfloat16(), values)
    finally:
        vae.float()
    assert result.dtype == torch.bfloat16
    assert relative(result, wanted) < 0.05


def test_equal_neighbours_finds_runs() -> None:
    plane = torch.tensor([0, 0, 1, 2, 2, 2, 0, 3, 3])[:, None].expand(-1, 5)
    assert equal_neighbours(plane) == ((0, 2), (3, 6), (7, 9))
    assert equal_neighbours(plane[:1]) == ()


def test_lines_keep_the_ends_of_runs() -> None:
    lines = Lines.keeping(20, ((0, 12), (13, 17)), 3)
    assert lines.kept.tolist() == [0, 1, 2, 3, *range(9, 20)]
    assert lines.counts.tolist() == [1, 1, 1, 6] + [1] * 11
    assert lines.place[:12].tolist() == [0, 1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 6]


@pytest.mark.parametrize("run", [(0, 40), (3, 37), (4, 36), (10, 17), (0, 0)])
def test_halved_lines_give_the_full_maps_result(run: tuple[int, int]) -> None:
    torch.manual_seed(2)
    x, layer = torch.randn(40, 40, 16), nn.Conv2d(16, 16, 3, stride=2)
    x[run[0] : run[1]] = torch.randn(16)
    lines, every = Lines.keeping(40, (run,), 1), Lines.keeping(40, (), 1)
    fewer, full = lines.halved(0, 1), every.halved(0, 1)
    with torch.no_grad():
        wanted = layer(nn.functional.pad(x.permute(2, 0, 1), (0, 1, 0, 1))).permute(1, 2, 0)
        rows, columns = lines.sources(fewer), every.sources(full)
        result = halve_lines(x[lines.kept], layer, rows, columns)[fewer.place]
    torch.testing.assert_close(result, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_recorded_prompt_latent_comes_back(shared: Path, kind: str) -> None:
    tensors = load_file(shared / "parity/sdmatte/tiny_sdmatte.safetensors")
    weights = {k[4:]: v.float() for k, v in tensors.items() if k.startswith("vae.")}
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
    )
    vae.load_state_dict(weights)
    values = tensors["in.bbox_mask" if kind == "box" else "in.mask"].float()
    wanted = encode_plainly(vae, values)
    if kind == "box":
        recorded = tensors["out.box.unet_input"][:, 4:].float() / 0.18215
        torch.testing.assert_close(wanted, recorded, atol=1e-4, rtol=0)
    assert relative(encode_mean_of_map(vae, values), wanted) < 2e-5
