"""The verbs of ``pullmatte train`` that make nano: its prompter, memory, second decoder, matter."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pullmatte.cli.train_verbs import (
    Cpu,
    DryRun,
    How,
    Json,
    Quiet,
    Resume,
    RunFolder,
    flags_of,
    read_flags,
    register,
    run_recipe,
)
from pullmatte.data.art_pool import Art, fine_scenes, moving_scenes, of_opacity, read_art, scenes
from pullmatte.data.moving_scenes import ClipSettings
from pullmatte.data.novm.categories import CATEGORIES
from pullmatte.data.novm.lessons import SOLID, THROUGH, CategoryClips
from pullmatte.data.scenes import SceneSettings, SceneSource
from pullmatte.train.nano import NanoRecipe, NanoSettings
from pullmatte.train.nano_alphas import (
    NanoAlphasRecipe,
    NanoAlphasSettings,
    with_alpha_memory,
)
from pullmatte.train.nano_clips import NanoClipRecipe, NanoClipSettings
from pullmatte.train.nano_judge import (
    NanoJudgeRecipe,
    NanoJudgeSettings,
    PhotoCrops,
    with_judge,
)
from pullmatte.train.nano_matter import NanoMatterRecipe, NanoMatterSettings
from pullmatte.train.nano_memory import (
    NanoMemoryRecipe,
    NanoMemorySettings,
    with_light_tracking,
)
from pullmatte.train.nano_see_through import (
    SeeThroughRecipe,
    SeeThroughSettings,
    SeeThroughSources,
    with_see_through,
)
from pullmatte.train.nano_start import Networks, start_nano
from pullmatte.train.recipe import Recipe
from pullmatte.train.settings import LoopSettings
from pullmatte.train.sources import MixedClips, MixedSource

SCENE_PX = 448
"""Side of the scenes that the matter's crops are cut from."""

ArtFolder = Annotated[
    Path,
    typer.Option("--art", metavar="FOLDER", help="What 'pullmatte data art' wrote."),
]
Start = Annotated[
    str, typer.Option("--start", metavar="MODEL|FOLDER", help="A nano to start with.")
]
Afresh = Annotated[
    bool,
    typer.Option("--afresh", help="Of what is trained here keep only the trunk, else nothing."),
]
# Grass and leaves need the most practice.
_OF_MATTER = (*CATEGORIES, *["plant"] * 4)
_LONG = 10
"""Frames of the clips in which alphas are remembered."""


def _nano(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    source = scenes(art, SceneSettings(size_px, settings.seed, scale=(0.25, 1.7)))
    return NanoRecipe(*networks, source, settings)


def _clips(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    stills = SceneSettings(size_px, settings.seed, scale=(0.25, 1.3), least_seen=0.5)
    source = moving_scenes(art, ClipSettings(scenes=replace(stills, occluder_chance=0.25)))
    return NanoClipRecipe(*networks, source, settings)


def _matter(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    stills = SceneSettings(
        SCENE_PX,
        settings.seed,
        scale=(0.45, 1.9),
        most_distractors=1,
        made_chance=0.5,
        absent_chance=0.0,
        occluder_chance=0.05,
        shadow_chance=0.2,
        defocus_chance=0.5,
        harm=0.3,
    )
    seed = settings.seed
    categories = CategoryClips(art.backgrounds, size_px=SCENE_PX, seed=seed, categories=_OF_MATTER)
    source = MixedSource([(fine_scenes(art, stills), 0.6), (categories, 0.4)], seed)
    network, matter = networks
    return NanoMatterRecipe(matter, network, source, categories, settings)


def _see_through(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    seed, (network, matter) = settings.seed, networks
    through, opaque = _clips_by_opacity(seed, art, size_px)
    stills = _through_scenes(seed, art, size_px)
    sources = SeeThroughSources(MixedSource([(through, 3.0), (stills, 1.0)], seed), through, opaque)
    return SeeThroughRecipe(with_see_through(network), matter, sources, settings)


def _judge(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    seed, (network, matter) = settings.seed, networks
    through, solid = _categories(seed, art, size_px)
    opaque = scenes(
        of_opacity(art, "opaque"), SceneSettings(size_px, seed, scale=(0.3, 1.7)), "opaque"
    )
    made = _through_scenes(seed, art, size_px)
    source = MixedSource([(through, 3.0), (made, 1.2), (opaque, 3.0), (solid, 1.0)], seed)
    judged = with_judge(with_see_through(network), settings.width)
    photos = PhotoCrops(art.backgrounds, size_px, seed)
    return NanoJudgeRecipe(judged, matter, source, photos, settings)


def _alphas(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    seed, (network, matter) = settings.seed, networks
    categories = CategoryClips(art.backgrounds, size_px=size_px, frames=_LONG, seed=seed)
    stills = SceneSettings(size_px, seed, scale=(0.25, 1.3), least_seen=0.5, occluder_chance=0.25)
    moving = moving_scenes(art, ClipSettings(frames=_LONG, scenes=stills))
    source = MixedClips([(categories, 2.0), (moving, 1.0)], seed)
    return NanoAlphasRecipe(with_alpha_memory(network, settings.width), matter, source, settings)


def _through_scenes(seed: int, art: Art, size_px: int) -> SceneSource:
    """Return scenes of what one can see through."""
    made = SceneSettings(size_px, seed, scale=(0.3, 1.5), made_chance=0.8, absent_chance=0.0)
    return scenes(of_opacity(art, "transparent"), made, "transparent")


def _categories(seed: int, art: Art, size_px: int) -> list[CategoryClips]:
    """Return clips of the benchmark's categories, of what one can see through and of all else."""
    return [
        CategoryClips(art.backgrounds, size_px=size_px, seed=seed, categories=categories)
        for categories in (THROUGH, SOLID)
    ]


def _memory(settings: Any, art: Art, networks: Networks, size_px: int) -> Recipe:
    network, matter = networks
    clips = _clips_by_opacity(settings.seed, art, size_px)
    light = with_light_tracking(with_see_through(network))
    return NanoMemoryRecipe(light, matter, *clips, settings)


def _clips_by_opacity(seed: int, art: Art, size_px: int) -> tuple[CategoryClips, MixedClips]:
    """Return clips of what one can see through, and of all else."""
    stills = SceneSettings(size_px, seed, scale=(0.25, 1.3), least_seen=0.5, occluder_chance=0.25)
    through, solid = _categories(seed, art, size_px)
    others = moving_scenes(of_opacity(art, "opaque"), ClipSettings(scenes=stills), "opaque")
    return through, MixedClips([(others, 3.0), (solid, 1.0)], seed)


def _add(
    name: str,
    settings: LoopSettings,
    make: Callable[[Any, Art, Networks, int], Recipe],
    purpose: str,
) -> None:
    def verb(
        run: RunFolder,
        art: ArtFolder,
        start: Start = "nano",
        afresh: Afresh = False,
        size_px: Annotated[
            int, typer.Option("--size", help="Side of the square in pixels, a multiple of 32.")
        ] = 320,
        resume: Resume = False,
        dry_run: DryRun = False,
        cpu: Cpu = False,
        as_json: Json = False,
        quiet: Quiet = False,
        **given: Any,
    ) -> int:
        told = read_flags(settings, given)
        networks = start_nano(start, size_px, afresh_seed=told.seed if afresh else None)
        recipe = make(told, read_art(art), networks, size_px)
        return run_recipe(recipe, How(run, resume, dry_run, cpu, as_json, quiet))

    register(name, verb, flags_of(settings), purpose)


def add_verbs() -> None:
    """Add nano's verbs to ``pullmatte train``."""
    _add("nano", NanoSettings(), _nano, "nano's prompter, on composed scenes.")
    _add("nano-clips", NanoClipSettings(), _clips, "nano's memory, on composed clips.")
    _add(
        "nano-see-through",
        SeeThroughSettings(),
        _see_through,
        "nano's second decoder, for what one can see through.",
    )
    _add(
        "nano-memory",
        NanoMemorySettings(),
        _memory,
        "nano's memory alone, on clips of both decoders' kinds.",
    )
    _add(
        "nano-judge",
        NanoJudgeSettings(),
        _judge,
        "nano's judge of whether one can see through an object.",
    )
    _add(
        "nano-alphas",
        NanoAlphasSettings(),
        _alphas,
        "nano's memory of alphas, on clips that it mattes itself.",
    )
    _add("nano-matter", NanoMatterSettings(), _matter, "nano's matter, on crops of scenes.")
