"""What a person says about an object, and the one file form it is saved in."""

from pullmatte.prompts.file import DEFAULT_OBJECT, FramePrompt, PromptFile
from pullmatte.prompts.parts import Box, Point, Prompt, box_round
from pullmatte.prompts.rasters import Mask, Trimap

__all__ = [
    "DEFAULT_OBJECT",
    "Box",
    "FramePrompt",
    "Mask",
    "Point",
    "Prompt",
    "PromptFile",
    "Trimap",
    "box_round",
]
