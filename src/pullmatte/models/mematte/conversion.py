"""From a released MEMatte or ViTMatte to a folder of ours."""

from collections.abc import Iterable
from pathlib import Path

from pullmatte.errors import WeightsError
from pullmatte.models import ModelSpec
from pullmatte.models.conversion import Content, Read, check_fits, open_released, write_folder
from pullmatte.models.conversion_report import ConversionReport, ConvertOptions, Progress
from pullmatte.models.mematte.config import MEMatteConfig
from pullmatte.models.mematte.network import MEMatteNetwork, make_empty
from pullmatte.models.mematte.released_config import PRESETS, choose_config
from pullmatte.models.mematte.upstream import is_counter, to_ours
from pullmatte.models.released_file import ReleasedFile
from pullmatte.models.whole_folder import refuse_existing


def convert(
    source: Path,
    destination: Path,
    spec: ModelSpec,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a released checkpoint; the folder appears whole or not at all.

    Args:
        source: MEMatte's ``.pth``, of training or of inference; ViTMatte's ``.pth`` or
            transformers' safetensors.
        destination: The folder to make.
        spec: The model that the source is said to be.
        options: How; the defaults when left out.
        progress: Told how far it is.

    Returns:
        What was done.

    Raises:
        WeightsError: If the source can't be used; nothing of it is ever run.
        WriteError: If the folder is there already, or can't be written.
    """
    refuse_existing(destination)
    file = open_released(source, spec)
    config, config_from, tensors = find_tensors(file, spec.name)
    network = make_empty(config, str(source))
    check_fits(expected_shapes(network), tensors, source)
    content = Content(
        config=config.to_dict(),
        tensors=tensors,
        parameters=sum(value.numel() for value in network.parameters()),
        config_from=config_from,
        as_published=config == PRESETS[spec.name],
    )
    return write_folder(destination, spec, [file], content, options, progress)


def find_tensors(file: ReleasedFile, name: str) -> tuple[MEMatteConfig, str, dict[str, Read]]:
    """Find in a released file what belongs to the network.

    Args:
        file: The file.
        name: The model's, "mematte" or "vitmatte".

    Returns:
        Its config, what told it, and our name of each tensor → where it is read.

    Raises:
        WeightsError: If two names mean the same tensor.
    """
    names = sort_names(file.shapes)
    shapes = {ours: file.shapes[theirs] for ours, theirs in names.items()}
    config, config_from = choose_config(name, shapes)
    return config, config_from, {ours: Read(file, theirs) for ours, theirs in names.items()}


def sort_names(names: Iterable[str]) -> dict[str, str]:
    """Pair our names with those in a file, without what isn't needed to matte.

    Raises:
        WeightsError: If two names mean the same tensor.
    """
    found: dict[str, str] = {}
    for theirs in names:
        ours = to_ours(theirs)
        if ours is None or is_counter(ours):
            continue
        if ours in found:
            raise WeightsError(f"{found[ours]} and {theirs} are the same tensor: give one of them")
        found[ours] = theirs
    return found


def expected_shapes(network: MEMatteNetwork) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a network's tensors have in a folder of ours."""
    state = network.state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not is_counter(name)}
