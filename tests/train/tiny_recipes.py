"""Recipes at a size for tests, and, run as a program, one of two processes that train them."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pullmatte.data.samples import MattingClip, MattingSample
from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork
from pullmatte.models.sdmatte.config import AutoencoderConfig, SDMatteConfig, UNetConfig
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.train.checkpoints import list_checkpoints, load_checkpoint
from pullmatte.train.draws import numpy_generator, torch_generator
from pullmatte.train.litesdmatte import LiteSDMatteRecipe
from pullmatte.train.loop import ahead, begin, look, take_step, train
from pullmatte.train.mam2 import MAM2Recipe
from pullmatte.train.mam2_lessons import MAM2Settings, MAM2Sources
from pullmatte.train.mematte import MEMatteRecipe, MEMatteSettings, start_from_teacher
from pullmatte.train.recipe import Recipe, decayed_groups, mean_terms
from pullmatte.train.sdmatte import SDMatteRecipe
from pullmatte.train.sdmatte_lessons import SDMatteSettings
from pullmatte.train.selective_supervision import DATA_KINDS
from pullmatte.train.settings import LoopSettings


@dataclass(frozen=True)
class Discs:
    """Soft discs on textured ground; `count` of them, over and over."""

    count: int = 8
    side: int = 64
    kind: str = "matting"
    frames: int = 4
    opacity: str = "opaque"

    def _frames(self, number: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng(number % self.count)
        rows, columns = np.mgrid[: self.side, : self.side] / self.side
        ground = draw.random((8, 8, 3)).repeat(self.side // 8, 0).repeat(self.side // 8, 1) * 0.5
        x, y, radius = *draw.uniform(0.35, 0.65, 2), draw.uniform(0.18, 0.3)
        dx, dy = draw.uniform(-0.04, 0.04, 2)
        colour = draw.uniform(0.6, 1, 3)
        soft = 0.02 if self.kind == "segmentation" else 0.06
        alphas, images = [], []
        for at in range(frames):
            far = np.hypot(columns - x - dx * at, rows - y - dy * at)
            alpha = np.clip((radius - far) / soft + 0.5, 0, 1)
            if self.kind == "segmentation":
                alpha = np.round(alpha)
            images.append(ground * (1 - alpha[..., None]) + colour * alpha[..., None])
            alphas.append(alpha)
        return np.float32(np.stack(images)), np.float32(np.stack(alphas))

    def sample(self, number: int) -> MattingSample:
        images, alphas = self._frames(number, 1)
        return MattingSample(images[0], alphas[0], self.kind, self.opacity, f"disc {number}")

    def clip(self, number: int) -> MattingClip:
        images, alphas = self._frames(number, self.frames)
        return MattingClip(images, alphas, self.kind, self.opacity, f"disc {number}")


class Probe:
    """The smallest recipe: a few convolutions, with dropout, from picture to alpha."""

    name = "probe"
    helpers = ()

    def __init__(self, settings: LoopSettings, dropout: float = 0.1) -> None:
        self.settings = settings
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.GELU(), nn.Dropout(dropout), nn.Conv2d(16, 1, 1)
        )
        self.source = Discs(side=16)
        self.exported: Mapping[str, Tensor] = {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        sample = self.source.sample(number)
        image = torch.from_numpy(sample.image).permute(2, 0, 1)
        noise = numpy_generator(self.settings.seed, number).normal(0, 0.02, image.shape)
        return image, image + torch.from_numpy(noise).float(), torch.from_numpy(sample.alpha)[None]

    def losses(self, items: Sequence[Any]) -> dict[str, Tensor]:
        terms = []
        for _, noisy, alpha in items:
            off = (self.network(noisy[None])[0] - alpha).abs().mean()
            terms.append({"off": off, "total": off})
        return mean_terms(terms)

    def panels(self) -> dict[str, Tensor]:
        return {"panel/image": self.item(0)[0], "panel/number": torch.tensor(1.0)}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        torch.save(dict(weights), folder / "weights.pt")


def make_probe(dropout: float = 0.1, **changes: Any) -> Recipe:
    settings = LoopSettings(steps=6, batch=4, learning_rate=5e-2, panel_every=0, log_every=1)
    return Probe(replace(settings, **changes), dropout)


MAM2_TINY = replace(
    MINIATURE,
    sam2=replace(MINIATURE.sam2, image_px=64, memory_layers=1, decoder_mlp=64, memory_mlp=64),
    lora_rank=2,
    lora_dropout=0.0,
)


def make_mam2(kinds: Sequence[str] = DATA_KINDS, **changes: Any) -> Recipe:
    torch.manual_seed(0)
    network = MAM2Network(MAM2_TINY)
    scatter(network, 5)
    network.start_trimap_branch()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        if hasattr(layer, "dropout_p"):
            layer.dropout_p = 0.0
    sources = {kind: Discs(kind=kind.partition("_")[2]) for kind in kinds}
    settings = MAM2Settings(steps=4, warmup=2, panel_every=0, log_every=1, corrections=1)
    return MAM2Recipe(network, MAM2Sources(**sources), replace(settings, **changes))


SDMATTE_TINY = SDMatteConfig(
    unet=UNetConfig(
        channels=(16, 16, 16, 16),
        heads=(1, 1, 1, 1),
        layers_per_block=1,
        norm_groups=4,
        context_width=16,
    ),
    autoencoder=AutoencoderConfig(channels=(16, 16, 16, 16), layers_per_block=1, norm_groups=4),
    size_px=64,
    box_width=64,
    points_width=120,
)
LITE_TINY = replace(
    SDMATTE_TINY,
    autoencoder=AutoencoderConfig(kind="tiny", channels=(16, 16, 16, 16), scale=1.0),
)


def make_sdmatte(**changes: Any) -> Recipe:
    torch.manual_seed(0)
    settings = SDMatteSettings(steps=4, batch=2, size_px=64, warmup=2, panel_every=0, log_every=1)
    return SDMatteRecipe(SDMatteNetwork(SDMATTE_TINY), Discs(), replace(settings, **changes))


def make_litesdmatte(config: SDMatteConfig = LITE_TINY, **changes: Any) -> Recipe:
    torch.manual_seed(0)
    settings = SDMatteSettings(steps=4, batch=2, size_px=64, warmup=2, panel_every=0, log_every=1)
    teacher = SDMatteNetwork(SDMATTE_TINY)
    student = SDMatteNetwork(config)
    if config.autoencoder.kind == "tiny":
        # Fresh, it gives the darkest grey, from which no gradient leads away.
        student.codec.vae.decoder.layers[-1].bias.data.fill_(0.5)
    return LiteSDMatteRecipe(student, teacher, Discs(), replace(settings, **changes))


MEMATTE_TINY = MEMatteConfig(
    width=32,
    heads=2,
    blocks=2,
    window=4,
    global_blocks=(1,),
    pretrained_px=64,
    trained_px=64,
    stream=(8, 16, 32),
    fusion=(32, 16, 16, 8),
)


def make_mematte(**changes: Any) -> Recipe:
    torch.manual_seed(0)
    teacher = MEMatteNetwork(replace(MEMATTE_TINY, routed=False))
    network = MEMatteNetwork(MEMATTE_TINY)
    start_from_teacher(network, teacher)
    settings = MEMatteSettings(steps=4, batch=2, crop_px=64, warmup=2, panel_every=0, log_every=1)
    return MEMatteRecipe(network, Discs(side=96), replace(settings, **changes), teacher)


MAKERS = {
    "mematte": make_mematte,
    "probe": make_probe,
    "mam2": make_mam2,
    "sdmatte": make_sdmatte,
    "litesdmatte": make_litesdmatte,
}
ON_TWO: dict[str, dict[str, Any]] = {
    "probe": {"dropout": 0.0, "average": 0.9},
    "mam2": {"frames": 2, "images": 2, "batch": 2, "steps": 2},
    "sdmatte": {"steps": 2},
    "mematte": {"steps": 2},
    "litesdmatte": {"steps": 3},
}
"""What two processes train, all in one launch: most of its time is spent on starting them."""
SHARDED = {"probe": "Conv2d"}
"""What of it they train by FSDP, too, and which layers are spread."""


def losses_of(folder: Path) -> list[float]:
    """Read the totals that a run logged."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [record["total"] for line in lines if "total" in (record := json.loads(line))]


def newest_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a run's newest checkpoint."""
    return dict(load_checkpoint(list_checkpoints(folder)[-1]).weights)


def overfit(recipe: Recipe, items: int = 8) -> dict[str, Tensor]:
    """Train on the first items alone, over and over, and return what can be looked at."""
    make, known = recipe.item, {}
    recipe.item = lambda number: (
        known.get(number % items) or known.setdefault(number % items, make(number % items))
    )
    run = begin(recipe, cpu=True)
    stream = ahead(run)
    for _ in range(recipe.settings.steps):
        take_step(run, [next(stream)], Path("overfit"))
    return look(run)


def goes_on_bit_by_bit(name: str, place: Path, stop_at: int, **changes: Any) -> bool:
    """Whether a run that is stopped and goes on ends with the weights of one that isn't."""
    train(MAKERS[name](**changes), place / "whole", cpu=True)
    recipe = MAKERS[name](**changes, checkpoint_every=stop_at)
    item, end = recipe.item, (stop_at + 1) * recipe.settings.batch

    def item_until(number: int) -> Any:
        if number >= end:
            raise KeyboardInterrupt
        return item(number)

    recipe.item = item_until
    with suppress(KeyboardInterrupt):
        train(recipe, place / "parts", cpu=True)
    assert [path.name for path in list_checkpoints(place / "parts")] == [f"step-{stop_at:08d}"]
    train(MAKERS[name](**changes), place / "parts", resume=True, cpu=True)
    assert losses_of(place / "whole") == losses_of(place / "parts")
    whole, parts = newest_weights(place / "whole"), newest_weights(place / "parts")
    return whole.keys() == parts.keys() and all(torch.equal(whole[n], parts[n]) for n in whole)


def scatter(module: nn.Module, seed: int, scale: float = 1.0) -> None:
    """Give weights that say something."""
    generator = torch_generator(seed)
    with torch.no_grad():
        for value in module.parameters():
            if value.ndim > 1:
                value.normal_(0, scale / value[0].numel() ** 0.5, generator=generator)


def main() -> None:
    """Train everything of `ON_TWO` in folders below the one given, and some of it by FSDP."""
    for name, changes in ON_TWO.items():
        train(MAKERS[name](**changes), Path(sys.argv[1]) / name, cpu=True)
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    for name, layers in SHARDED.items():
        os.environ["FSDP_TRANSFORMER_CLS_TO_WRAP"] = layers
        changes = ON_TWO[name] | {"checkpoint_every": 3}
        train(MAKERS[name](**changes), Path(sys.argv[1]) / "sharded" / name, cpu=True)


if __name__ == "__main__":
    main()
