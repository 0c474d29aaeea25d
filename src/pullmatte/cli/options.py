"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

_PROMPTS = "What to matte (none: the whole frame as a box)"
_OUTPUT = "Output"
_RUN = "Run"

Clip = Annotated[
    Path, typer.Argument(metavar="IN", help="A clip, or numbered pictures: name.%04d.exr.")
]
ClipResult = Annotated[
    Path | None,
    typer.Argument(
        metavar="[OUT]",
        help="name.mov (ProRes 4444), .webm (VP9), .mkv (FFV1), name.%04d.png or .exr.",
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="[NAME=]X,Y[,-][@FRAME]",
        help="A click; ',-' excludes. Repeatable.",
        rich_help_panel=_PROMPTS,
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="[NAME=]X0,Y0,X1,Y1[@FRAME]",
        help="A box around the object. Repeatable.",
        rich_help_panel=_PROMPTS,
    ),
]
Masks = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="[NAME=]FILE[@FRAME]",
        help="A rough mask picture, white on black. Repeatable.",
        rich_help_panel=_PROMPTS,
    ),
]
Trimaps = Annotated[
    list[str] | None,
    typer.Option(
        "--trimap",
        metavar="[NAME=]FILE[@FRAME]",
        help="A trimap picture: black, grey, white. Repeatable.",
        rich_help_panel=_PROMPTS,
    ),
]
PromptsFile = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE.json", help="Saved prompts.", rich_help_panel=_PROMPTS),
]
SavePrompts = Annotated[
    Path | None,
    typer.Option(
        "--save-prompts",
        metavar="FILE.json",
        help="Save the prompts of this command.",
        rich_help_panel=_PROMPTS,
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Which model; see 'pullmatte models list'.", rich_help_panel=_RUN
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="Where the model runs: auto, cpu, cuda, cuda:1, mps.", rich_help_panel=_RUN
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="Its precision: float32, bfloat16 or float16, if it has a choice.",
        rich_help_panel=_RUN,
    ),
]
SecondModel = Annotated[
    str | None,
    typer.Option(
        "--matter",
        metavar="NAME",
        help="A second model, for the edges of what the first has found: classical.",
        rich_help_panel=_RUN,
    ),
]
Tiles = Annotated[
    bool,
    typer.Option(
        "--tiles",
        help="Work out edges at full resolution, tile by tile; takes several times as long.",
        rich_help_panel=_RUN,
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="squash|pad",
        help="How a photo is brought to the model's square; squash is how it was trained.",
        rich_help_panel=_RUN,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="PIXELS",
        help="Side of the model's square, a multiple of 64; 512 is faster than 1024.",
        rich_help_panel=_RUN,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        metavar="N",
        min=1,
        help="Objects in one pass; more need more memory, and save time on a GPU.",
        rich_help_panel=_RUN,
    ),
]
Caption = Annotated[
    str | None,
    typer.Option(
        "--caption",
        metavar="TEXT",
        help="The object in words, beside the prompts, if the model reads them.",
        rich_help_panel=_PROMPTS,
    ),
]
OpacityName = Annotated[
    str,
    typer.Option("--opacity", help="The object: auto, opaque, transparent.", rich_help_panel=_RUN),
]
Json = Annotated[
    bool, typer.Option("--json", help="Report as JSON lines on stdout.", rich_help_panel=_RUN)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, only errors.", rich_help_panel=_RUN)
]
OnlyAlpha = Annotated[
    bool,
    typer.Option("--only-alpha", help="Write the alpha alone, in grey.", rich_help_panel=_OUTPUT),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--bg",
        metavar="COLOUR|checker|FILE",
        help="Composite over this instead of cutting out.",
        rich_help_panel=_OUTPUT,
    ),
]
LookFile = Annotated[
    Path | None,
    typer.Option(
        "--look",
        metavar="FILE.json",
        help="Edits of the edge, and what lies behind, as the studio or 'composite' saves them.",
        rich_help_panel=_OUTPUT,
    ),
]
Foreground = Annotated[
    bool,
    typer.Option(
        "--foreground/--no-foreground",
        help="Estimate the object's own colours, free of the old background.",
        rich_help_panel=_OUTPUT,
    ),
]
AlphaMode = Annotated[
    str | None,
    typer.Option(
        "--alpha-mode",
        metavar="straight|premultiplied",
        help="EXR is premultiplied, all else straight, unless given.",
        rich_help_panel=_OUTPUT,
    ),
]
Depth = Annotated[
    int | None,
    typer.Option("--bits", help="8 or 16 bits a channel; as the input.", rich_help_panel=_OUTPUT),
]
Sides = Annotated[
    str | None,
    typer.Option(
        "--side",
        metavar="trimap,mask,foreground,alpha",
        help="Further results to write beside the main one.",
        rich_help_panel=_OUTPUT,
    ),
]
Direction = Annotated[
    str,
    typer.Option(
        "--direction",
        help="Track both, forward or backward from the prompts.",
        rich_help_panel=_RUN,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with a run that was stopped.", rich_help_panel=_RUN),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec",
        help="prores, vp9, ffv1 or h264, where OUT leaves a choice.",
        rich_help_panel=_OUTPUT,
    ),
]
Audio = Annotated[
    bool, typer.Option("--audio/--no-audio", help="Copy the sound.", rich_help_panel=_OUTPUT)
]
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="FIRST-LAST",
        help="Write these frames alone, with their sound.",
        rich_help_panel=_OUTPUT,
    ),
]
StartFrame = Annotated[
    int | None,
    typer.Option(
        "--start-frame",
        help="First number of numbered pictures; as the input's.",
        rich_help_panel=_OUTPUT,
    ),
]

Project = Annotated[
    Path | None,
    typer.Option(
        "--project",
        metavar="DIR",
        help="Keep results there: the next command computes only what its prompts change.",
        rich_help_panel=_RUN,
    ),
]
Alphas = Annotated[
    list[str] | None,
    typer.Option(
        "--alpha",
        metavar="[NAME=]FILE[@FRAME]",
        help="A finished alpha of a frame, in grey, to go on from. Repeatable.",
        rich_help_panel=_PROMPTS,
    ),
]
FirstModel = Annotated[
    str | None,
    typer.Option(
        "--first",
        metavar="NAME",
        help="An image model for the prompted frames; --model goes on from its mattes.",
        rich_help_panel=_RUN,
    ),
]
Steady = Annotated[
    float,
    typer.Option(
        "--steady",
        metavar="0..1",
        help="Steady uncertain alpha in time, so strongly; 0 is off.",
        rich_help_panel=_OUTPUT,
    ),
]
SumToOne = Annotated[
    bool,
    typer.Option(
        "--sum-to-one",
        help="Objects that overlap share the pixel, for layers that add up.",
        rich_help_panel=_OUTPUT,
    ),
]
Lock = Annotated[
    list[str] | None,
    typer.Option(
        "--lock",
        metavar="[NAME=]FIRST[-LAST]",
        help="With --project: these frames never change again. Repeatable.",
        rich_help_panel=_RUN,
    ),
]
Unlock = Annotated[
    list[str] | None,
    typer.Option(
        "--unlock",
        metavar="[NAME=]FIRST[-LAST]",
        help="With --project: they may. Repeatable.",
        rich_help_panel=_RUN,
    ),
]
Forget = Annotated[
    list[str] | None,
    typer.Option(
        "--forget",
        metavar="[NAME=]FIRST[-LAST]",
        help="With --project: take back what was said there. Repeatable.",
        rich_help_panel=_RUN,
    ),
]
