"""Matting Anything 2, first stage: SAM 2 learns to give trimaps, and keeps giving masks.

Each step takes one kind of data: pictures or clips, masks or mattes, a quarter each. An item is
four pictures, or one clip of four frames. A first prompt is simulated, then clicks that correct
the mask. In clips the later frames see memory alone: their masks come from the first pass, and
their trimaps from the second one, which is shown that mask as a prompt.

Source: MAM2, sections 3.2 to 3.5, 4.1, appendix A.2 and A.5. What the paper leaves open is said
at each setting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.errors import PullmatteError
from pullmatte.models.mam2.features import Features
from pullmatte.models.mam2.lora import add_lora
from pullmatte.models.mam2.memory import FEATURES, POINTER, assemble, select
from pullmatte.models.mam2.mss import second_pass
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.pdd import Choice, Decoded, held
from pullmatte.models.mam2.sam2 import without_memory
from pullmatte.models.protocol import Memories
from pullmatte.train.draws import torch_generator
from pullmatte.train.export import export_mam2
from pullmatte.train.logs import side_by_side
from pullmatte.train.mam2_lessons import Lesson, LessonMaker, MAM2Settings, MAM2Sources
from pullmatte.train.recipe import decayed_groups, mean_terms, moved
from pullmatte.train.selective_supervision import main_losses
from pullmatte.train.simulated_prompts import correcting_clicks


class MAM2Recipe:
    """The first stage.

    Attributes:
        name: "mam2".
        settings: What it was told.
        network: SAM 2 with PDD and, unless the whole trunk learns, with LoRA.
        helpers: None.
    """

    name = "mam2"
    helpers: Sequence[nn.Module] = ()

    def __init__(self, network: MAM2Network, sources: MAM2Sources, settings: MAM2Settings) -> None:
        """Take a network, which is changed: LoRA is added, and what learns is chosen.

        Args:
            network: With SAM 2's weights and a trimap branch that was started from them, or a
                trained one.
            sources: The data.
            settings: What to do.

        Raises:
            PullmatteError: If the network gives no trimaps, or there is no data.
        """
        if not network.config.has_trimap_branch:
            raise PullmatteError("a network without a trimap branch: give trimap 'pdd'")
        self.network, self.settings = network, settings
        self._maker = LessonMaker(sources, settings, network.config.sam2.image_px)
        if settings.trunk_learns:
            network.requires_grad_(True)
        else:
            add_lora(network)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups."""
        return decayed_groups(self.network, self.settings)

    def item(self, number: int) -> Lesson:
        """Make four pictures or a clip, with a first prompt."""
        return self._maker.lesson(number)

    def losses(self, items: Sequence[Lesson]) -> dict[str, Tensor]:
        """Return equation 1, the mean over items."""
        return mean_terms([self._lesson_losses(item)[0] for item in items])

    def _lesson_losses(self, lesson: Lesson) -> tuple[dict[str, Tensor], list[Decoded]]:
        """Return the terms, means over all that was decoded, and the last answer on each frame."""
        frames = self.network.encode(lesson.images)
        if lesson.kind.startswith("image"):
            rounds = self._prompted(frames, lesson)
            terms = [self._compare(each, lesson, slice(None)) for each in rounds]
            return mean_terms(terms), [rounds[-1]]
        first = _frame(frames, 0)
        rounds = self._prompted(first, lesson)
        terms = [mean_terms([self._compare(each, lesson, slice(1)) for each in rounds])]
        answers = [rounds[-1]]
        if lesson.drawn is not None and len(rounds) == 1:
            prompted = {0: self._remember_drawn(first, lesson.drawn)}
        else:
            prompted = {0: self._remember(first, rounds[-1], lesson.mask[:1], hard=True)}
        tracked: dict[int, dict[str, Tensor]] = {}
        for at in range(1, len(lesson.images)):
            frame = _frame(frames, at)
            decoded = self._track(frame, at, Memories(prompted, tracked))
            answers.append(decoded)
            here = slice(at, at + 1)
            terms.append(self._compare(decoded, lesson, here))
            tracked[at] = self._remember(frame, decoded, lesson.mask[here], hard=False)
        return mean_terms(terms), answers

    def _prompted(self, frame: Features, lesson: Lesson) -> list[Decoded]:
        """Decode the first prompt, then each correction, on frames without memory."""
        network, settings = self.network, self.settings
        top = without_memory(network.sam2, frame.top)
        points, labels, shown = lesson.points, lesson.labels, None
        if lesson.drawn is not None:
            shown = network.from_mask(frame, lesson.drawn).mask_logits
        generator = torch_generator(lesson.seed)
        count = int(torch.randint(settings.corrections + 1, (1,), generator=generator))
        rounds: list[Decoded] = []
        for at in range(count + 1):
            if at:
                shown = held(rounds[-1].mask_logits, rounds[-1].present).detach()
                click, label = correcting_clicks(
                    rounds[-1].mask_logits,
                    lesson.mask[: len(shown)],
                    generator,
                    network.config.sam2.image_px,
                )
                points = click if points is None else torch.cat([points, click], dim=1)
                labels = label if labels is None else torch.cat([labels, label], dim=1)
            # As it will be asked: one click may mean several things.
            choose: Choice = "best" if points is not None and points.shape[1] == 1 else "single"
            rounds.append(
                network.decode(
                    frame, top, points=points, labels=labels, mask_logits=shown, choose=choose
                )
            )
        return rounds

    def _track(self, frame: Features, at: int, memories: Memories) -> Decoded:
        """Decode a later frame: the mask with memory, the trimap by that mask without it."""
        network = self.network
        config = network.config
        tokens = assemble(network.sam2, select(memories, at, config.sam2), config.sam2)
        top = network.condition(frame, tokens.memory, tokens.memory_position, tokens.pointer_tokens)
        if config.second_pass == "off":
            return network.decode(frame, top, branch="on")
        first = network.decode(frame, top, branch="tokens")
        logits = first.mask_logits
        shown = logits if self.settings.prompt_gradient else logits.detach()
        if config.second_pass == "mss":
            top = without_memory(network.sam2, frame.top)
        rows = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        trimap = second_pass(network, frame, top, replace(first, mask_logits=shown), rows)
        return replace(first, trimap_logits=trimap)

    def _remember(
        self, frame: Features, decoded: Decoded, truth: Tensor, *, hard: bool
    ) -> dict[str, Tensor]:
        """Make a frame's memory; whether the object is there is told by the truth."""
        present = truth.flatten(1).amax(1, keepdim=True) > 0
        return {
            FEATURES: self.network.memory(frame, decoded.mask_logits, present, hard=hard),
            POINTER: self.network.pointer(decoded, present),
        }

    def _remember_drawn(self, frame: Features, drawn: Tensor) -> dict[str, Tensor]:
        """Make the memory of a frame whose mask was given: it counts as it is."""
        made = self.network.from_mask(frame, drawn)
        memory = self.network.memory(frame, made.square_logits, made.present, hard=True)
        return {FEATURES: memory, POINTER: made.pointer}

    def _compare(self, decoded: Decoded, lesson: Lesson, rows: slice) -> dict[str, Tensor]:
        return main_losses(
            decoded,
            lesson.mask[rows],
            lesson.classes[rows],
            lesson.kind,
            self.settings.supervision,
        )

    def panels(self) -> dict[str, Tensor]:
        """Return the first item of each kind: picture, true mask and trimap, what is decoded.

        And how far these are off, mean absolute errors.
        """
        panels = {}
        for lesson in moved(self._maker.examples(), self.network.device):
            _, answers = self._lesson_losses(lesson)
            size = lesson.mask.shape[-2:]
            found = torch.cat([each.mask_logits for each in answers]).gt(0).float()
            columns = [F.interpolate(lesson.images, size, mode="area"), lesson.mask, found]
            columns.insert(2, lesson.classes[:, None] / 2)
            logits = torch.cat([a.trimap_logits for a in answers if a.trimap_logits is not None])
            columns.append(logits.argmax(1, keepdim=True) / 2)
            panels[f"{lesson.kind}/mask_off"] = (columns[1] - columns[3]).abs().mean()
            panels[f"{lesson.kind}/trimap_off"] = (columns[2] - columns[4]).abs().mean()
            panels[lesson.kind] = side_by_side(*columns)
        return panels

    def export(self, weights: Mapping[str, Tensor], folder: Path) -> None:
        """Write a folder that `pullmatte.load` reads; LoRA is merged into the trunk."""
        export_mam2(self.network, weights, folder, self.settings)


def _frame(frames: Features, at: int) -> Features:
    here = slice(at, at + 1)
    return Features(frames.top[here], frames.middle[here], frames.fine[here])
