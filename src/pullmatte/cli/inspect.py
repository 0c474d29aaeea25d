"""``pullmatte models inspect``: what prompts do inside the network, as one picture."""

from pathlib import Path
from typing import Annotated

import typer

from pullmatte.cli import console
from pullmatte.cli import options as o
from pullmatte.cli.loading import announcement, load_matter
from pullmatte.cli.prompt_flags import files_read, parse_prompts
from pullmatte.errors import PullmatteError, WriteError
from pullmatte.models import MODELS
from pullmatte.prompts import DEFAULT_OBJECT, Prompt

Photo = Annotated[Path, typer.Argument(metavar="IN", help="A photo.")]
Sheet = Annotated[
    Path | None, typer.Argument(metavar="[OUT.png]", help="The picture; NAME_attention.png.")
]


def inspect_command(
    source: Photo,
    destination: Sheet = None,
    point: o.Points = None,
    box: o.Boxes = None,
    mask: o.Masks = None,
    trimap: o.Trimaps = None,
    prompts: o.PromptsFile = None,
    model: o.ModelName = "sdmatte",
    opacity: o.OpacityName = "opaque",
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    fit: o.Fit = None,
    size: o.Size = None,
    quiet: o.Quiet = False,
) -> int:
    """Draw where SDMatte's attention may look for a prompt, and where it does look."""
    said = parse_prompts(point or (), box or (), mask or (), trimap or (), prompts)
    known = console.as_opacity(opacity)
    if known == "auto":
        raise PullmatteError("--opacity auto: one pass is looked into; give opaque or transparent")
    output = destination or source.with_name(f"{source.stem}_attention.png")
    if output.suffix.lower() != ".png":
        raise WriteError(f"{output}: the picture is a PNG; name it so")

    _check_inspectable(model)

    from pullmatte.io.atomic import refuse_input
    from pullmatte.io.image import read_image
    from pullmatte.sessions.image import or_whole_frame
    from pullmatte.sessions.prompt_kinds import left_out_note, taken

    refuse_input(output, source, *files_read(mask or (), trimap or (), prompts))
    image = read_image(source)
    height, width = image.shape[:2]
    said.check(width, height)
    matter = load_matter(model, device=device, dtype=dtype, fit=fit, size=size)

    from pullmatte.eval.attention_sheet import write_attention_sheet
    from pullmatte.models.sdmatte.inspection import inspect, require_inspectable

    looked_into = require_inspectable(matter.model)
    asked = said.on_frame(0) or {DEFAULT_OBJECT: Prompt()}
    understood = {name: taken(matter.spec, prompt) for name, prompt in asked.items()}
    unheard = left_out_note(matter.spec, asked.values())
    note = " · ".join(filter(None, ("inspection", unheard)))
    announcement(matter, note, quiet=quiet, opacity=known)()
    encoded = looked_into.encode(image)
    found = {}
    for name, prompt in understood.items():
        whole = or_whole_frame(prompt, width, height)
        found[name] = (whole, inspect(looked_into, encoded, whole, opacity=known))
    title = f"{matter.spec.name} · {source.name} · {width} x {height}"
    written = write_attention_sheet(image, found, output, title)
    if not quiet:
        console.say(f"pullmatte: wrote {written}")
    return 0


def _check_inspectable(model: str) -> None:
    """Refuse other models before what looks into one is imported, which needs torch.

    Raises:
        PullmatteError: If it is of another kind, or there is no such model.
    """
    from pullmatte.sessions.building import find_model

    # Whether its weights are here doesn't matter before it is known to be of the kind.
    spec = MODELS[model] if model in MODELS else find_model(model)[0]
    if spec.builder != MODELS["sdmatte"].builder:
        raise PullmatteError(
            f"model {spec.name!r} can't be looked into, only sdmatte and litesdmatte can: "
            "choose one of them"
        )
