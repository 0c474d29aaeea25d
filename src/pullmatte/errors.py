"""What can go wrong, as one tree.

::

    PullmatteError                 every error that pullmatte raises on purpose
    ├── PromptError                a point, box, mask, trimap or prompt file that can't be used
    ├── ReadError                  an input file, folder or stream that can't be read
    ├── WriteError                 an output that can't be written, or must not be
    │   └── UnsupportedFormat      a file type that can't hold what it should
    ├── UnknownModel               a model name that isn't in MODELS
    ├── WeightsError               weights that are missing, damaged, or of another network
    │   └── DownloadError          weights that can't be fetched
    ├── MissingDependency          an optional package that isn't installed
    └── DatasetError               an evaluation folder that lacks what its layout needs

Every message says what came, what was expected and what to do, on one line. The command line
prints it as it is and exits with 2.
"""


class PullmatteError(Exception):
    """Base of all errors that are the input's fault and not a bug of ours."""


class PromptError(PullmatteError):
    """A prompt that doesn't fit its image, clip or file form."""


class ReadError(PullmatteError):
    """An input that can't be read."""


class WriteError(PullmatteError):
    """An output that can't be written, or that would harm an input."""


class UnsupportedFormat(WriteError):
    """A file type that can't hold what it is asked to hold."""


class UnknownModel(PullmatteError):
    """A model name that isn't known."""


class WeightsError(PullmatteError):
    """Weights that are missing, damaged, or don't fit their network."""


class DownloadError(WeightsError):
    """Weights that can't be fetched."""


class MissingDependency(PullmatteError):
    """An optional package is needed and not installed."""


class DatasetError(PullmatteError):
    """A data set folder that lacks what its layout promises."""
