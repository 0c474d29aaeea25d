"""EfficientNet-Lite0, folded."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pullmatte.models.nano.trunk import BLOCKS, TAPS, LiteTrunk, folded


def random_release() -> dict[str, Tensor]:
    """Tensors with the released names, as small as keeps numbers in range."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}

    def add(convolution: str, norm: str, out: int, wide: int, kernel: int) -> None:
        shape = (out, wide, kernel, kernel)
        fan = wide * kernel**2
        tensors[f"{convolution}.weight"] = torch.randn(shape, generator=generator) / fan**0.5
        for name in ("weight", "running_var"):
            tensors[f"{norm}.{name}"] = torch.rand(out, generator=generator) + 0.5
        for name in ("bias", "running_mean"):
            tensors[f"{norm}.{name}"] = torch.randn(out, generator=generator) * 0.1

    add("_conv_stem", "_bn0", 32, 3, 3)
    for at, (expansion, kernel, _, wide, out) in enumerate(BLOCKS):
        name, inner = f"_blocks.{at}", wide * expansion
        if expansion > 1:
            add(f"{name}._expand_conv", f"{name}._bn0", inner, wide, 1)
        add(f"{name}._depthwise_conv", f"{name}._bn1", inner, 1, kernel)
        add(f"{name}._project_conv", f"{name}._bn2", out, inner, 1)
    return tensors


def unfolded(tensors: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    """Run the network as it was released, norm after norm."""

    def step(image: Tensor, convolution: str, norm: str, **how: int) -> Tensor:
        weight = tensors[f"{convolution}.weight"]
        image = F.conv2d(image, weight, padding=weight.shape[-1] // 2, **how)
        mean, variance, scale, shift = (
            tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(image, mean, variance, scale, shift, eps=1e-3)

    image, taps = F.relu6(step(image, "_conv_stem", "_bn0", stride=2)), []
    for at, (expansion, _, stride, wide, out) in enumerate(BLOCKS):
        name, start = f"_blocks.{at}", image
        if expansion > 1:
            image = F.relu6(step(image, f"{name}._expand_conv", f"{name}._bn0"))
        depthwise = f"{name}._depthwise_conv", f"{name}._bn1"
        image = F.relu6(step(image, *depthwise, stride=stride, groups=image.shape[1]))
        image = step(image, f"{name}._project_conv", f"{name}._bn2")
        if stride == 1 and wide == out:
            image = image + start
        if at in TAPS:
            taps.append(image)
    return taps


def test_folded_trunk_equals_the_released_one() -> None:
    tensors = random_release()
    trunk = LiteTrunk()
    trunk.load_state_dict(folded(tensors), strict=True)
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, wanted = trunk(image), unfolded(tensors, image)
    for stride, ours, theirs in zip((4, 8, 16, 32), found, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert ours.shape[-1] == 96 // stride
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()
