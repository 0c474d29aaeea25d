"""LiteSDMatte: a small U-Net and a tiny autoencoder learn to matte, and to feel, as SDMatte does.

Source: SDMatte, section 4.2, and its released losses: features after the down, middle and up
blocks are compared beside the alphas.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.data.samples import SampleSource
from pullmatte.models.sdmatte.network import SDMatteNetwork
from pullmatte.models.sdmatte.unet import ConditionedUNet
from pullmatte.train.losses import distillation_loss
from pullmatte.train.sdmatte import SDMatteRecipe
from pullmatte.train.sdmatte_lessons import Prompted, SDMatteSettings

LITE = SDMatteSettings(prompts=("point", "box", "mask", "point", "point"))
"""Points three times as often, as released."""


class LiteSDMatteRecipe(SDMatteRecipe):
    """The distillation of LiteSDMatte.

    Attributes:
        name: "litesdmatte".
        helpers: The teacher.
    """

    name = "litesdmatte"

    def __init__(
        self,
        network: SDMatteNetwork,
        teacher: SDMatteNetwork,
        source: SampleSource,
        settings: SDMatteSettings = LITE,
    ) -> None:
        """Take a small network and its teacher.

        Args:
            network: With weights of `start_from_stable_diffusion`, of BK-SDM and TAESD.
            teacher: A trained SDMatte, whose U-Net has the same channels.
            source: Pictures with mattes.
            settings: What to do.
        """
        super().__init__(network, source, settings)
        self._teacher = teacher
        self.helpers = (teacher,)

    def losses(self, items: Sequence[Prompted]) -> dict[str, Tensor]:
        """Return the matting losses, and those of features, the means over items."""
        with features_of(self.network.unet) as ours:
            losses = self.compare(self.matte(self.network, items), items)
        with torch.no_grad(), features_of(self._teacher.unet) as theirs:
            self.matte(self._teacher, items)
        felt = distillation_loss(ours, theirs)
        total = losses["total"] + felt["total"]
        return {**losses, **felt, "distillation": felt["total"], "total": total}


@contextmanager
def features_of(unet: ConditionedUNet) -> Iterator[list[Tensor]]:
    """Note what a U-Net has after its down, middle and up blocks while it runs in the block."""
    found: list[Tensor] = []

    def note(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    layers = (unet.down_blocks[-1], unet.mid_block, unet.up_blocks[-1])
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
