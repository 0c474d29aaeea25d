"""MAM2's network without its matter: SAM 2 whose decoder also gives trimaps."""

from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pullmatte.models.mam2 import sam2
from pullmatte.models.mam2.alpha_memory import AlphaMemory
from pullmatte.models.mam2.config import MAM2Config
from pullmatte.models.mam2.fast_memory_attention import attend_memory_fast
from pullmatte.models.mam2.features import EmbeddedPrompt, Features
from pullmatte.models.mam2.pdd import Branch, Choice, Decoded, PromptableDualModeDecoder, held
from pullmatte.models.mam2.pooled_memory_attention import attend_pooled
from pullmatte.models.mam2.prompt_maps import PromptMaps
from pullmatte.models.mam2.quick_layers import quicken
from pullmatte.models.mam2.quick_planes import reduced
from pullmatte.models.mam2.sam2 import MemoryAttention
from pullmatte.models.mam2.see_through import SeeThrough

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0


@dataclass(frozen=True, eq=False)
class FromMask:
    """What SAM 2 makes of a user's mask: the mask itself, and a pointer.

    Attributes:
        mask_logits: `K 1 4h 4w`, from -10 to 10.
        square_logits: `K 1 S S`, the same.
        pointer: `K C`.
        present: `K 1` bool: whether the mask marks anything.
    """

    mask_logits: Tensor
    square_logits: Tensor
    pointer: Tensor
    present: Tensor


class MAM2Network(nn.Module):
    """MAM2 up to the trimap.

    Attributes:
        sam2: `transformers`' `Sam2VideoModel` with our decoder; tensors have its names.
        attend: What memory attention is done with; any call that equals `attend_memory`.
        see_through: A decoder for objects that one can see through; None for none.
        alpha_memory: Weighs a tracked frame's alpha against the one before; None for none.

    Source: MAM2, section 3.1, figure 2.
    """

    def __init__(self, config: MAM2Config) -> None:
        """Build it, with random weights or on the meta device; without LoRA, see `lora`."""
        super().__init__()
        self.config = config
        self.sam2 = sam2.build_sam2(config.sam2, partial(PromptableDualModeDecoder, config=config))
        self.prompt_maps = PromptMaps(config.sam2.width) if config.prompt_maps else None
        if self.prompt_maps is not None:
            # What they do instead.
            self.sam2.prompt_encoder.mask_embed = nn.Identity()
            self.sam2.mask_downsample = nn.Identity()
        # Of small maps the short way isn't shorter.
        small = config.sam2.trunk == "lite"
        self.attend: MemoryAttention = sam2.attend_memory if small else attend_memory_fast
        pools = config.sam2.memory_pool, config.sam2.looking_pool
        if max(pools) > 1:
            self.attend = attend_pooled(*pools)
        self.see_through = SeeThrough(self.sam2, config) if config.see_through_blocks else None
        if small and self.see_through is not None:
            quicken(self.see_through)
        self.alpha_memory = AlphaMemory(config.alpha_memory) if config.alpha_memory else None

    @property
    def decoder(self) -> PromptableDualModeDecoder:
        """The mask and trimap decoder."""
        found: PromptableDualModeDecoder = self.sam2.mask_decoder
        return found

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        found: torch.device = self.sam2.no_memory_embedding.device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """Precision of trunk and memory; see `run_in`."""
        found: torch.dtype = next(self.sam2.vision_encoder.parameters()).dtype
        return found

    def run_in(self, dtype: torch.dtype) -> None:
        """Change the precision of image encoder, memory attention and memory encoder.

        They are nearly all of the time. What is said and decoded stays in float32: bfloat16 knows
        a click's place to 4 pixels only, and mask and trimap would get steps.
        """
        for part in ("vision_encoder", "memory_attention", "memory_encoder"):
            getattr(self.sam2, part).to(dtype)
        # Rotary frequencies were rounded along with it.
        sam2.restore_constants(self.sam2, self.device)

    def for_see_through(self) -> "MAM2Network":
        """Return the network for objects that one can see through: all but the decoder is shared.

        It is a view, made anew each time; its weights are this network's.
        """
        assert self.see_through is not None, "its caller looked at the config"
        view, model = copy(self), copy(self.sam2)
        view._modules, model._modules = dict(self._modules), dict(self.sam2._modules)
        model.mask_decoder = self.see_through.decoder
        view.sam2, view.prompt_maps = model, self.see_through.prompt_maps
        view.config, view.see_through = self.see_through.config, None
        return view

    def start_trimap_branch(self) -> None:
        """Begin the trimap branch, if there is one, as a copy of SAM 2's mask branch."""
        if self.decoder.trimap_branch is not None:
            self.decoder.trimap_branch.start_from(self.decoder)

    def forward(
        self, image: Tensor, points: Tensor | None = None, labels: Tensor | None = None
    ) -> Decoded:
        """Decode the prompted object of each of `K` images, as on a first frame.

        Args:
            image: `K 3 S S` in [0, 1].
            points: As for `decode`, like the next.
            labels: See there.
        """
        frame = self.encode(image)
        top = sam2.without_memory(self.sam2, frame.top)
        return self.decode(frame, top, points=points, labels=labels)

    def encode(self, image: Tensor) -> Features:
        """Encode frames, `B 3 S S` in [0, 1]."""
        pixels = image
        if self.config.sam2.trunk == "hiera":
            mean, deviation = (
                torch.tensor(values, device=image.device)[:, None, None]
                for values in (_MEAN, _DEVIATION)
            )
            pixels = (image - mean) / deviation
        found = sam2.encode_image(self.sam2, pixels.to(self.dtype))
        if self.prompt_maps is None:
            return found
        side = self.config.sam2.mask_px
        return replace(found, image=reduced(image, side))

    def condition(
        self, frame: Features, memory: Tensor, memory_position: Tensor, pointer_tokens: int
    ) -> Tensor:
        """Mix memories into a frame's top map, `K C h w`; arguments as for `sam2.condition`."""
        return sam2.condition(
            self.sam2, frame.top, memory, memory_position, pointer_tokens, self.attend
        )

    def decode(
        self,
        frame: Features,
        top: Tensor,
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        masked: Tensor | None = None,
        choose: Choice = "best",
        branch: Branch = "on",
        all_masks: bool = False,
    ) -> Decoded:
        """Decode `K` objects of one frame, or one of each of `K` frames.

        Args:
            frame: Its finer maps are used.
            top: `K C h w` or `1 C h w`, with memory or without.
            points: `K N 2`, (x, y) in pixels of the square.
            labels: `K N`: 1 in the object, 0 outside; 2 and 3 are a box's corners.
            mask_logits: `K 1 4h 4w`, a mask that was seen before; it is clamped.
            masked: `K` bool, for which of them the mask counts; None for all. Networks with
                `prompt_maps` alone can be told.
            choose: Which mask is taken.
            branch: Whether the trimap is decoded.
            all_masks: Return all four masks as candidates, for training.
        """
        if mask_logits is not None:
            mask_logits = mask_logits.clamp(-self.config.clamp, self.config.clamp)
        prompt = self._embedded(frame, points, labels, mask_logits, masked)
        positions = self.sam2.get_image_wide_positional_embeddings()
        return self.decoder.decode(
            frame, top, positions, prompt, choose=choose, branch=branch, all_masks=all_masks
        )

    def _embedded(
        self,
        frame: Features,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        masked: Tensor | None = None,
    ) -> EmbeddedPrompt:
        if self.prompt_maps is None or frame.image is None:
            return sam2.embed_prompt(self.sam2, points, labels, mask_logits)
        said = sam2.embed_prompt(self.sam2, points, labels)
        side = self.config.sam2.image_px
        return self.prompt_maps.embed(
            said.sparse, said.dense, frame.image, side, points, labels, mask_logits, masked
        )

    def from_mask(self, frame: Features, mask: Tensor, *, choose: Choice = "single") -> FromMask:
        """Take masks as they are, and have the decoder make their pointers.

        Args:
            frame: The frame.
            mask: `K 1 S S` in [0, 1].
            choose: Which of the decoder's masks the pointer is of. SAM 2's own code, with which
                the released weights were trained, takes the single one; transformers the best.

        Source: SAM 2, `_use_mask_as_output`. The decoder sees features without the no-memory
        embedding there; so it does here.
        """
        side = self.config.sam2.mask_px
        square = mask * _MASK_SCALE + _MASK_BIAS
        low = F.interpolate(square, (side, side), mode="bilinear", antialias=True)
        shown = low if self.prompt_maps is not None else self.sam2.mask_downsample(mask)
        if shown.shape[-1] != side:
            shown = F.interpolate(shown, (side, side), mode="bilinear", antialias=True)
        prompt = self._embedded(frame, mask_logits=shown)
        positions = self.sam2.get_image_wide_positional_embeddings()
        decoded = self.decoder.decode(
            frame, frame.top, positions, prompt, choose=choose, branch="tokens"
        )
        present = (mask > 0).flatten(1).any(dim=1, keepdim=True)
        pointer = sam2.point_at(self.sam2, decoded.token, present & decoded.present)
        return FromMask(low, square, pointer, present)

    def pointer(self, decoded: Decoded, present: Tensor) -> Tensor:
        """Return the pointers, `K C`, of objects of which `present`, `K 1`, are there."""
        return sam2.point_at(self.sam2, decoded.token, present)

    def memory(
        self, frame: Features, mask_logits: Tensor, present: Tensor, *, hard: bool
    ) -> Tensor:
        """Make spatial memories of `K` objects on a frame.

        Args:
            frame: Its memory-free top map is used.
            mask_logits: The first pass's: `K 1 4h 4w`, or any other size.
            present: `K 1` bool.
            hard: As for `sam2.encode_memory`.

        Returns:
            `K (h w) 64` bfloat16.
        """
        side = self.config.sam2.image_px
        logits = held(mask_logits.float(), present)
        if logits.shape[-1] != side:
            logits = F.interpolate(logits, (side, side), mode="bilinear")
        pool = self.config.sam2.memory_pool
        return sam2.encode_memory(self.sam2, frame.top, logits, present, hard=hard, pool=pool)
