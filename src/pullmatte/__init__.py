"""pullmatte pulls a matte of anything, in a photo or a video.

Importing it loads no model library, reads no file and makes no folder: each public name is
fetched on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pullmatte.errors import PullmatteError
    from pullmatte.io.image import read_image
    from pullmatte.io.project_folder import open_project
    from pullmatte.io.video import open_video
    from pullmatte.matte import Matte
    from pullmatte.models import MODELS
    from pullmatte.prompts import Box, Mask, Point, PromptFile, Trimap
    from pullmatte.sessions.load import load

__version__ = "0.1.0.dev0"

__all__ = [
    "MODELS",
    "Box",
    "Mask",
    "Matte",
    "Point",
    "PromptFile",
    "PullmatteError",
    "Trimap",
    "__version__",
    "load",
    "open_project",
    "open_video",
    "read_image",
]

_HOME = {
    "MODELS": "pullmatte.models",
    "Box": "pullmatte.prompts",
    "Mask": "pullmatte.prompts",
    "Matte": "pullmatte.matte",
    "Point": "pullmatte.prompts",
    "PromptFile": "pullmatte.prompts",
    "PullmatteError": "pullmatte.errors",
    "Trimap": "pullmatte.prompts",
    "load": "pullmatte.sessions.load",
    "open_project": "pullmatte.io.project_folder",
    "open_video": "pullmatte.io.video",
    "read_image": "pullmatte.io.image",
}


def __getattr__(name: str) -> object:
    """Fetch a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'pullmatte' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names without loading them."""
    return sorted(__all__)
