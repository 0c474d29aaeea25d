"""nano's memory of alphas: how much of the previous frame's a tracked frame takes.

nano itself mattes composed clips, and what flickers in that is what is learnt from; all else of it
stays as it is. As in use each frame sees what came out of the one before, so one learns through the
whole clip.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pullmatte.data.samples import ClipSource, MattingClip
from pullmatte.models.mam2.alpha_frames import AlphaStep, SeenFrame, reduced
from pullmatte.models.mam2.alpha_memory import AlphaFrame, AlphaMemory, chances_of
from pullmatte.models.mam2.clean_plate import PLANES
from pullmatte.models.mam2.memory import LOGITS
from pullmatte.models.mam2.model import MAM2Model
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.prompter import PRESENT, TRIMAP_LOGITS
from pullmatte.models.nano.checkpoint import nano_options, save_networks
from pullmatte.models.nano.matter import NanoMatter
from pullmatte.models.nano.matter_network import MatterNetwork
from pullmatte.train.draws import numpy_generator
from pullmatte.train.nano_tracking import tracked_frames
from pullmatte.train.recipe import decayed_groups
from pullmatte.train.settings import LoopSettings

_PART = "alpha_memory."
_MULTIPLE_PX = 8
_TINY = 1e-7


@dataclass(frozen=True)
class NanoAlphasSettings(LoopSettings):
    """What the training is told.

    Attributes:
        batch: Clips in a step.
        part: Share of a frame's sides that is looked at.
        width: Channels of the network at its full size.
        still_weight: Of how far alphas are from the truth, beside how far their changes are. A
            last quarter with little of it is worth more than a longer training with much.
        right: Share of the clips whose mattes are right already, and are to be left alone. With
            many of them it forgets how to mend others.
    """

    batch: int = 4
    steps: int = 1000
    learning_rate: float = 2e-3
    warmup: int = 20
    weight_decay: float = 1e-3
    clip: float = 0.5
    part: float = 0.8
    width: int = 12
    still_weight: float = 0.15
    right: float = 0.1


@dataclass(frozen=True, eq=False)
class Shown:
    """Frames of a part of a clip, at the size at which alphas are compared.

    Attributes:
        picture: `T 3 h w` in [0, 1].
        own: `T 1 h w`, nano's alphas.
        trimap: `T 1 h w`, nano's trimaps.
        true: `T 1 h w`.
        flow: `T 2 h w`, to the frame before; 0 on the first.
        ground: `T 9 h w`, each frame compared with the ground; 0 on the first.
        chances: `T 3 h w`, of mask and trimap.
    """

    picture: Tensor
    own: Tensor
    trimap: Tensor
    true: Tensor
    flow: Tensor
    ground: Tensor
    chances: Tensor

    def to(self, device: torch.device) -> "Shown":
        """Return the same on a device."""
        return Shown(*(each.to(device) for each in self._parts()))

    def cut(self, rows: slice, columns: slice) -> "Shown":
        """Return a part of all frames."""
        return Shown(*(each[..., rows, columns] for each in self._parts()))

    def mirrored(self) -> "Shown":
        """Return all frames with left and right changed."""
        found = Shown(*(each.flip(-1) for each in self._parts()))
        flow = found.flow * found.flow.new_tensor([-1, 1]).view(1, 2, 1, 1)
        return replace(found, flow=flow)

    def _parts(self) -> tuple[Tensor, ...]:
        return tuple(vars(self).values())


class NanoAlphasRecipe:
    """The training.

    Attributes:
        name: "nano-alphas".
        settings: What it was told.
        network: The prompter, with a memory of alphas.
        helpers: None.
    """

    name = "nano-alphas"
    helpers: Sequence[nn.Module] = ()

    def __init__(
        self,
        network: MAM2Network,
        matter: MatterNetwork,
        source: ClipSource,
        settings: NanoAlphasSettings,
    ) -> None:
        """Take a nano of which the memory of alphas alone learns.

        Args:
            network: The prompter; see `with_alpha_memory`.
            matter: It mattes the clips, and is exported along.
            source: Clips of one size and length.
            settings: What to do.
        """
        self.network, self.settings = network, settings
        self._matter, self._source = matter, source
        own = replace(nano_options(), remember_alpha=False)
        self._model = MAM2Model(network, NanoMatter(matter), own)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(_PART))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> tuple[MattingClip, int]:
        """Draw a clip."""
        return self._source.clip(number), number

    def losses(self, items: Sequence[tuple[MattingClip, int]]) -> dict[str, Tensor]:
        """Return how far alphas are from the truth, and how far their changes are.

        Beside the total, as mean over frames: ``mad`` and ``change`` of what comes out, and
        ``own_mad`` and ``own_change`` of what goes in.
        """
        device = self.network.device
        seen = [self._part(self._shown(*item), item[1]).to(device) for item in items]
        found = [follow_clip(self._memory, each) for each in seen]
        terms = [clip_errors(alpha, each.true) for alpha, each in zip(found, seen, strict=True)]
        before = [clip_errors(each.own, each.true) for each in seen]
        mad, change = (torch.stack(each).mean() for each in zip(*terms, strict=True))
        own_mad, own_change = (torch.stack(each).mean() for each in zip(*before, strict=True))
        return {
            "total": change + self.settings.still_weight * mad,
            "mad": mad.detach(),
            "change": change.detach(),
            "own_mad": own_mad,
            "own_change": own_change,
        }

    def panels(self) -> dict[str, Tensor]:
        """Return both errors on clips that aren't learnt from, and those of nano without it."""
        items = [self.item(number) for number in range(1 << 30, (1 << 30) + 4)]
        losses = self.losses(items)
        return {name: losses[name] for name in ("mad", "change", "own_mad", "own_change")}

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write nano's folder."""
        self.network.load_state_dict(weights)
        save_networks(self.network, self._matter, folder)

    @property
    def _memory(self) -> AlphaMemory:
        memory = self.network.alpha_memory
        assert memory is not None, "the constructor was given one"
        return memory

    def _shown(self, clip: MattingClip, number: int) -> Shown:
        """Let nano matte a clip by a box on its first frame, or take its truth."""
        if numpy_generator(self.settings.seed, number, 1).random() < self.settings.right:
            return right_clip(clip)
        training = self.network.training
        self.network.eval()
        shown = matted_clip(self._model, clip)
        self.network.train(training)
        return shown

    def _part(self, shown: Shown, number: int) -> Shown:
        """Cut a part out of a clip, mirrored or not."""
        draw = numpy_generator(self.settings.seed, number)
        places = []
        for length in shown.own.shape[-2:]:
            side = max(1, int(length * self.settings.part) // _MULTIPLE_PX) * _MULTIPLE_PX
            side = min(length, side)
            start = int(draw.integers(length - side + 1))
            places.append(slice(start, start + side))
        part = shown.cut(*places)
        return part.mirrored() if draw.random() < 0.5 else part


def matted_clip(model: MAM2Model, clip: MattingClip) -> Shown:
    """Let a model matte a clip by a box on its first frame.

    Args:
        model: It.
        clip: If nothing is there on its first frame, the whole of that is the box.

    Returns:
        All its frames.
    """
    frames, chances = [], []
    answers = zip(tracked_frames(model, clip), clip.images, strict=True)
    for (_, found), image in answers:
        assert found.trimap is not None, "nano makes trimaps"
        frames.append(SeenFrame.of(image, found.alpha, found.trimap))
        logits = None
        if found.carried[PRESENT].all():
            logits = found.carried[LOGITS], found.carried[TRIMAP_LOGITS]
        chances.append(chances_of(frames[-1].own, logits))
    return _compared(frames, clip, chances)


def right_clip(clip: MattingClip) -> Shown:
    """Return a clip as one would see it of which every frame is matted rightly."""
    frames = [
        SeenFrame.of(image, alpha, None)
        for image, alpha in zip(clip.images, clip.alphas, strict=True)
    ]
    return _compared(frames, clip, [chances_of(frame.own, None) for frame in frames])


def _compared(frames: Sequence[SeenFrame], clip: MattingClip, chances: list[Tensor]) -> Shown:
    """Compare each frame with the one before and with the ground."""
    truths = [reduced(alpha) for alpha in clip.alphas]
    steps: list[AlphaStep] = []
    plate = frames[0].begun()
    whole = slice(0, truths[0].shape[0]), slice(0, truths[0].shape[1])
    for last, frame in itertools.pairwise(frames):
        steps.append(AlphaStep.of(frame, last.picture, plate, whole))
        plate = steps[-1].plate.seen(frame.picture, frame.ground)
    flows = [step.flow for step in steps]
    grounds = [step.compared(frame, whole) for step, frame in zip(steps, frames[1:], strict=True)]

    def stacked(planes: Sequence[NDArray[Any]]) -> Tensor:
        found = torch.from_numpy(np.stack(planes).astype(np.float32))
        return found.permute(0, 3, 1, 2) if found.ndim == 4 else found[:, None]

    return Shown(
        stacked([frame.picture for frame in frames]) / 255,
        stacked([frame.own for frame in frames]),
        stacked([frame.trimap for frame in frames]),
        stacked(truths),
        stacked([np.zeros((*truths[0].shape, 2)), *flows]),
        torch.from_numpy(np.stack([np.zeros((PLANES, *truths[0].shape)), *grounds])).float(),
        torch.stack(chances),
    )


def follow_clip(memory: AlphaMemory, shown: Shown) -> Tensor:
    """Return what comes out of a clip, `T 1 h w`.

    Args:
        memory: It.
        shown: The clip, without a cut.
    """
    first = shown.own[:1]
    before = AlphaFrame(shown.picture[:1], first, first, first.new_zeros(1, 2, *first.shape[-2:]))
    found = [first]
    for at in range(1, len(shown.own)):
        one = slice(at, at + 1)
        before, _ = memory.blend(
            shown.picture[one],
            shown.own[one],
            shown.trimap[one],
            shown.flow[one],
            shown.ground[one],
            shown.chances[one],
            before,
        )
        found.append(before.alpha)
    return torch.cat(found)


def clip_errors(alpha: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean absolute difference, and the root of the mean square of that of changes.

    Args:
        alpha: `T 1 h w`.
        true: The same.

    Source: dtSSD, Erofeev et al., Perceptually Motivated Benchmark for Video Matting.
    """
    changes = (alpha[1:] - alpha[:-1]) - (true[1:] - true[:-1])
    each = (changes.square().mean((1, 2, 3)) + _TINY).sqrt()
    return (alpha - true).abs().mean(), each.mean()


def with_alpha_memory(network: MAM2Network, width: int = 12) -> MAM2Network:
    """Give a network a memory of alphas, with random weights from torch's generator.

    Args:
        network: One that has it is returned as it is.
        width: Its channels.
    """
    if network.alpha_memory is not None:
        return network
    found = MAM2Network(replace(network.config, alpha_memory=width))
    found.load_state_dict(found.state_dict() | network.state_dict())
    return found
