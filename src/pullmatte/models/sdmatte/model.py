"""SDMatte behind the models' common protocol: photos in, mattes out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from pullmatte.errors import PromptError, PullmatteError
from pullmatte.models.classical.rejected import drop_rejected
from pullmatte.models.mapped_pages import MappedPages
from pullmatte.models.protocol import Image, KnownOpacity, Opacity, Plane, Prediction
from pullmatte.models.sdmatte.checkpoint import load_caption_encoder, load_network
from pullmatte.models.sdmatte.fit import Fit, FitKind
from pullmatte.models.sdmatte.network import PromptBatch, SDMatteNetwork
from pullmatte.models.sdmatte.opacity_choice import choose_opacity
from pullmatte.models.sdmatte.prompt_maps import PromptMap, TrimapAs, make_prompt_map
from pullmatte.models.sdmatte.text_embedding import CaptionEncoder
from pullmatte.prompts import Prompt

_ACCELERATED_BATCH = 8
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "insufficient memory",
    "not enough memory",
    "failed to allocate",
)
_FAINT = 0.05  # alpha under which a pixel belongs to no piece of the matte


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image, encoded once.

    Attributes:
        fit: How it lies on the network's square.
        latent: `1 4 h w`.
    """

    fit: Fit
    latent: Tensor


@dataclass(frozen=True)
class SDMatteOptions:
    """What can be chosen without training anew.

    Attributes:
        fit: "squash" stretches the picture to the square, as in training; "pad" keeps its
            proportions.
        trimap_as: A user's trimap is shown as a "mask" of all that isn't background, a kind of
            prompt that was trained; or as the "trimap" that the network could take, but never saw.
        batch_size: Objects in one pass; more need more memory. 0 means 1 on a CPU, where more save
            nothing, and 8 elsewhere.
        vae_tiling: Run the autoencoder in tiles of 512 pixels, for a graphics card that is short
            of memory. It isn't exact; on a CPU there is no need of it.
    """

    fit: FitKind = "squash"
    trimap_as: TrimapAs = "mask"
    batch_size: int = 0
    vae_tiling: bool = False

    def __post_init__(self) -> None:
        """Refuse values that can't be."""
        if self.fit not in ("squash", "pad"):
            raise PullmatteError(f"fit {self.fit!r}: give squash or pad")
        if self.trimap_as not in ("mask", "trimap"):
            raise PullmatteError(f"trimap_as {self.trimap_as!r}: give mask or trimap")
        if type(self.batch_size) is not int or self.batch_size < 0:
            raise PullmatteError(f"batch_size {self.batch_size}: give a whole number, 1 or more")


class SDMatteModel:
    """SDMatte or LiteSDMatte.

    Source: SDMatte, section 3; prompts and sizes as in its released test code.
    """

    def __init__(
        self,
        network: SDMatteNetwork,
        options: SDMatteOptions | None = None,
        captioner: CaptionEncoder | None = None,
    ) -> None:
        """Take a network with its weights.

        Args:
            network: The network, where and in the precision in which it shall run.
            options: What can be chosen; the defaults when left out.
            captioner: The text encoder, for captions; without it there are none.
        """
        self.network = network.eval().requires_grad_(False)
        self.options = options or SDMatteOptions()
        self.captioner = captioner
        self.network.codec.save_memory(tiling=self.options.vae_tiling)

    @property
    def dtype(self) -> str:
        """Precision, as torch names it."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def size_px(self) -> int:
        """Side of the square that the network looks at."""
        return self.network.config.size_px

    @property
    def captions(self) -> bool:
        """Whether captions are possible: the text encoder was kept."""
        return self.captioner is not None

    @torch.inference_mode()
    def encode(self, image: Image) -> Encoded:
        """Encode an image, `H W 3` float32 in [0, 1].

        Raises:
            PullmatteError: If memory doesn't suffice for the network's square.
        """
        height, width = image.shape[:2]
        fit = Fit(width, height, self.size_px, self.options.fit)
        with self._enough_memory():
            square = torch.from_numpy(fit.image(image)).permute(2, 0, 1)[None]
            return Encoded(fit, self.network.encode_image(square.to(self.network.device)))

    def predict(
        self,
        encoded: Encoded,
        prompt: Prompt,
        *,
        opacity: Opacity = "auto",
        caption: str | None = None,
    ) -> Prediction:
        """Matte the prompted object of an encoded image.

        Args:
            encoded: What `encode` gave.
            prompt: What was said. Of several parts a mask speaks before a box, that before
                points: the network takes one kind at a time. A negative point takes away the
                piece of the matte that it stands on.
            opacity: What is known of the object; "auto" asks the network twice.
            caption: A text on the object, if the text encoder is there.

        Raises:
            PromptError: If the prompt doesn't fit the image, or captions aren't possible.
        """
        return self.predict_many(encoded, [prompt], opacity=opacity, caption=caption)[0]

    @torch.inference_mode()
    def predict_many(
        self,
        encoded: Encoded,
        prompts: Sequence[Prompt],
        *,
        opacity: Opacity = "auto",
        caption: str | None = None,
    ) -> list[Prediction]:
        """Matte several objects of an encoded image, as many at once as `batch_size` allows.

        Args:
            encoded: What `encode` gave.
            prompts: One for each object.
            opacity: As for `predict`, of all.
            caption: As for `predict`, of all.

        Raises:
            PromptError: As for `predict`.
            PullmatteError: If memory doesn't suffice, or the network's answer isn't finite.
        """
        text, size = self._text(caption), self.options.batch_size
        if size == 0:
            size = 1 if self.network.device.type == "cpu" else _ACCELERATED_BATCH
        for prompt in prompts:
            prompt.check(encoded.fit.width, encoded.fit.height)
        maps = [self.prompt_map(encoded, prompt) for prompt in prompts]
        answers: list[tuple[Plane, KnownOpacity | None]] = []
        with self._enough_memory():
            for start in range(0, len(maps), size):
                answers += self._answers(encoded, maps[start : start + size], opacity, text)
        return [
            _finish(alpha, taken, prompt, encoded.fit)
            for (alpha, taken), prompt in zip(answers, prompts, strict=True)
        ]

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Say in one line what to do when there isn't; torch and OpenCV each have their own way."""
        try:
            yield
        except (MemoryError, RuntimeError, cv2.error) as error:
            said = str(error).lower()
            if not isinstance(error, MemoryError) and not any(word in said for word in _NO_MEMORY):
                raise
            raise PullmatteError(
                f"out of memory on {self.network.device} at size {self.size_px} in {self.dtype}: "
                "give a smaller size, dtype bfloat16 or float16, or a smaller batch_size"
            ) from error

    def prompt_map(self, encoded: Encoded, prompt: Prompt) -> PromptMap:
        """Return what the network is shown and told of a prompt."""
        config = self.network.config
        return make_prompt_map(
            prompt,
            encoded.fit,
            point_sigma_px=config.point_sigma_px,
            minimum_points=config.minimum_points,
            trimap_as=self.options.trimap_as,
        )

    def _text(self, caption: str | None) -> Tensor | None:
        if caption is None:
            return None
        if self.captioner is None:
            raise PromptError(
                "a caption, and no text encoder: convert the weights with --keep-text-encoder, "
                "or leave the caption out"
            )
        return self.captioner.embed(caption)

    def _answers(
        self, encoded: Encoded, maps: Sequence[PromptMap], opacity: Opacity, text: Tensor | None
    ) -> list[tuple[Plane, KnownOpacity | None]]:
        """Run the network on some prompts; twice where opacity is to be found out."""
        latent = self.network.encode_prompts(self._stack(maps))

        def answer(kind: KnownOpacity) -> list[tuple[Plane, KnownOpacity | None]]:
            batch = self._batch(maps, transparent=kind == "transparent")
            output = self.network(encoded.latent, batch, prompt_latent=latent, text=text)
            return [(_checked(alpha[0].cpu().numpy()), kind) for alpha in output.alpha]

        if self.network.opacity_embedding is None:
            return [(alpha, None) for alpha, _ in answer("opaque")]
        if opacity != "auto":
            return answer(opacity)
        pairs = zip(answer("opaque"), answer("transparent"), strict=True)
        return [
            opaque if choose_opacity(opaque[0], transparent[0]) == "opaque" else transparent
            for opaque, transparent in pairs
        ]

    def _stack(self, maps: Sequence[PromptMap]) -> Tensor:
        values = np.stack([each.values for each in maps])[:, None]
        return torch.from_numpy(values).to(self.network.device)

    def _batch(self, maps: Sequence[PromptMap], *, transparent: bool) -> PromptBatch:
        device = self.network.device
        return PromptBatch(
            maps=self._stack(maps),
            kinds=tuple(each.kind for each in maps),
            coordinates=tuple(
                torch.tensor(each.coordinates, dtype=torch.float32, device=device) for each in maps
            ),
            opacity=torch.full((len(maps),), 0.0 if transparent else 1.0, device=device),
        )


def _checked(alpha: Plane) -> Plane:
    if not np.isfinite(alpha).all():
        raise PullmatteError(
            "the network's answer isn't finite: load it with dtype float32, or check the weights"
        )
    return alpha


def _finish(square: Plane, taken: KnownOpacity | None, prompt: Prompt, fit: Fit) -> Prediction:
    """Bring alpha to the image's size, and hold it to what was said for certain."""
    alpha = fit.restore(square)
    trimap = None if prompt.trimap is None else prompt.trimap.array
    if trimap is not None:
        alpha = np.where(trimap == 0.5, alpha, trimap).astype(np.float32)
    elif any(point.label == 0 for point in prompt.points):
        support = alpha > _FAINT
        alpha = np.where(support & ~drop_rejected(support, prompt, 1.0), 0, alpha)
    return Prediction(
        alpha=np.asarray(alpha, np.float32),
        mask=alpha > 0.5,
        trimap=None if trimap is None else trimap.copy(),
        opacity=taken,
    )


def prepared(
    network: SDMatteNetwork, *, device: str = "cpu", dtype: torch.dtype | None = None
) -> SDMatteNetwork:
    """Bring a network to where and how it shall run.

    Args:
        network: With its weights.
        device: As torch names it.
        dtype: Precision; the network's own when left out.

    Returns:
        The same network; its convolutions lie channels-last, which CPUs and GPUs both prefer.
    """
    if device == "cpu":
        _copy_in_place(network, dtype or network.dtype)
    else:
        network.to(device=device, dtype=dtype or network.dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _copy_in_place(network: SDMatteNetwork, dtype: torch.dtype) -> None:
    """Bring one tensor after the other to its form, and give back the file's pages of each."""
    pages = MappedPages()
    for tensor in (*network.parameters(), *network.buffers()):
        before = tensor.data
        form = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
        tensor.data = before.to(
            dtype=dtype if before.is_floating_point() else before.dtype, memory_format=form
        )
        if tensor.data_ptr() != before.data_ptr():
            pages.drop(before)


def build(
    *,
    weights: Path,
    device: str = "cpu",
    dtype: str | None = None,
    size_px: int | None = None,
    **options: Any,
) -> SDMatteModel:
    """Make the model from its weights.

    Args:
        weights: A converted folder, or a safetensors file with the released names.
        device: Where it runs, as torch names it.
        dtype: Precision, as torch names it; the file's own when left out, except that float16
            is run as float32 on a CPU, which is slow at the former.
        size_px: Side of the square that the network looks at, a multiple of 64.
        **options: Fields of `SDMatteOptions`.

    Raises:
        WeightsError: If the weights are missing, damaged, or another network's.
        PullmatteError: If an option's value can't be.
        TypeError: If there is no such option.
    """
    known = [field.name for field in fields(SDMatteOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(
            f"unknown option {unknown[0]!r}: known are {', '.join(['size_px', *known])}"
        )
    chosen = SDMatteOptions(**options)
    network = load_network(weights)
    if size_px is not None:
        network.config = network.config.with_size(size_px)
    precision = None if dtype is None else getattr(torch, dtype)
    if precision is None and device == "cpu" and network.dtype == torch.float16:
        precision = torch.float32
    prepared(network, device=device, dtype=precision)
    captions = load_caption_encoder(weights) if weights.is_dir() else None
    return SDMatteModel(network, chosen, captions)
