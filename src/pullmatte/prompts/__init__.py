"""What a person says about an object, and the one file form it is saved in."""

from pullmatte.prompts.file import DEFAULT_OBJECT, FramePrompt, PromptFile
from pullmatte.prompts.parts import Box, Mask, Point, Prompt, Trimap

__all__ = [
    "DEFAULT_OBJECT",
    "Box",
    "FramePrompt",
    "Mask",
    "Point",
    "Prompt",
    "PromptFile",
    "Trimap",
]
