"""SDMatte: Stable Diffusion's U-Net learns to give alpha in one step, by a visual prompt.

The autoencoder and the text's embedding stay as they are; the U-Net, the visual prompt's
convolution and the embeddings of opacity and coordinates learn. Alpha is decoded to pixels and
compared there, on the trimap's unknown region and on the rest, by value and by detail.

Source: SDMatte, sections 3.1 and 4.1; the losses are its released code's.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pullmatte.data.samples import SampleSource
from pullmatte.models.sdmatte.network import Output, SDMatteNetwork
from pullmatte.train.export import export_folder
from pullmatte.train.logs import side_by_side
from pullmatte.train.losses import matting_losses
from pullmatte.train.recipe import decayed_groups, mean_terms, moved
from pullmatte.train.sdmatte_lessons import Prompted, SDMatteSettings, as_batch, make_lesson

_SHOWN = 4


class SDMatteRecipe:
    """SDMatte's training.

    Attributes:
        name: "sdmatte".
        settings: What it was told.
        network: Which learns.
        helpers: None.
    """

    name = "sdmatte"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self, network: SDMatteNetwork, source: SampleSource, settings: SDMatteSettings
    ) -> None:
        """Take a network, in which is chosen what learns.

        Args:
            network: With weights of `start_from_stable_diffusion`, or trained ones.
            source: Pictures with mattes.
            settings: What to do.
        """
        self.network, self.settings, self._source = network, settings, source
        network.requires_grad_(True)
        network.codec.requires_grad_(settings.autoencoder_learns == "whole")
        if settings.autoencoder_learns == "decoder":
            network.codec.vae.decoder.requires_grad_(True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> Prompted:
        """Make a picture with a prompt."""
        return make_lesson(self._source, number, self.settings)

    def losses(self, items: Sequence[Prompted]) -> dict[str, Tensor]:
        """Return the matting losses, the mean over items."""
        return self.compare(self.matte(self.network, items), items)

    def matte(self, network: SDMatteNetwork, items: Sequence[Prompted]) -> Output:
        """Run a network on items."""
        images = torch.stack([each.image for each in items])
        prompts = as_batch(list(items))
        whole = self.settings.autoencoder_learns == "whole"
        with nullcontext() if whole else torch.no_grad():
            image_latent = network.encode_image(images)
            prompt_latent = network.encode_prompts(prompts.maps)
        found: Output = network(image_latent, prompts, prompt_latent=prompt_latent)
        return found

    def compare(self, output: Output, items: Sequence[Prompted]) -> dict[str, Tensor]:
        """Compare alphas with the truth, each for itself, so that areas aren't shared."""
        return mean_terms([
            matting_losses(
                output.alpha[at : at + 1],
                item.alpha[None],
                item.trimap[None],
                size_px=self.settings.size_px,
            )
            for at, item in enumerate(items)
        ])

    def panels(self) -> dict[str, Tensor]:
        """Return the first pictures, prompts, true alphas and found ones, and how far off."""
        items = moved([self.item(number) for number in range(_SHOWN)], self.network.device)
        alpha = self.matte(self.network, items).alpha
        truth = torch.stack([each.alpha for each in items])
        pictures = torch.stack([each.image for each in items])
        shown = torch.stack([each.shown for each in items])
        return {
            "matting": side_by_side(pictures, shown, truth, alpha),
            "matting/alpha_off": (alpha - truth).abs().mean(),
        }

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write a folder that `pullmatte.load` reads."""
        config = self.network.config.with_size(max(self.settings.size_px, 64))
        name = "litesdmatte" if config.autoencoder.kind == "tiny" else "sdmatte"
        export_folder(folder, name, config.to_dict(), weights, self.settings)
