"""The training sets that the two papers name: where they keep their files, and on what terms.

Source: SDMatte's data code and MAM2's section 4.1 and table 6 for which sets; each set's own page
or loader for its folders and its terms, as they were read in 2026. The terms that come with a
download are what counts.
"""

from dataclasses import dataclass
from typing import Literal

from pullmatte.data.samples import SampleOpacity
from pullmatte.data.transparent_samples import (
    COMPOSITION_1K_TRANSPARENT,
    DISTINCTIONS_646_TRANSPARENT,
)
from pullmatte.errors import DatasetError

Content = Literal["cutouts", "photos", "masks", "clips", "clip cutouts", "clip masks"]
Pairing = Literal["stem", "labels", "list", "instances", "objects", "annotations", "frame list"]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Terms:
    """On what terms a set may be used.

    Attributes:
        licence: as its makers state it.
        research_only: whether weights that learnt from it may not be sold.
    """

    licence: str
    research_only: bool


@dataclass(frozen=True)
class TrainingSet:
    """A training set of the papers.

    Attributes:
        name: a key of `TRAINING_SETS`.
        title: its own name.
        content: what its files are: foregrounds to be composed, photos with alpha, photos with
            masks, and the same as clips.
        forms: the layouts in use, below its root; each is pairs of folders of images and of
            alphas, all of which are there. Of a file in place of the alphas' folder, see `pairing`.
        terms: its licence.
        used_by: the recipes whose paper names it.
        pairing: how an alpha is found: by the image's stem; by RefMatte's label file; by a JSON
            list of paths; a folder of instances for each image; ids in palette pictures; run
            lengths in YouTubeVIS's JSON; VideoMatting108's list of frames.
        transparent: stems of the images whose object is transparent.
        opacity: of the others.
        repeats: how often SDMatte counts each sample in an epoch.
    """

    name: str
    title: str
    content: Content
    forms: tuple[Pairs, ...]
    terms: Terms
    used_by: tuple[str, ...]
    pairing: Pairing = "stem"
    transparent: frozenset[str] = frozenset()
    opacity: SampleOpacity = "opaque"
    repeats: int = 1

    @property
    def expected(self) -> str:
        """The first layout in words."""
        return " and ".join(f"{images} with {alphas}" for images, alphas in self.forms[0])


def _below(folders: Pairs, *roots: str) -> tuple[Pairs, ...]:
    return tuple(tuple((root + a, root + b) for a, b in folders) for root in roots)


_BY_REQUEST = Terms("by request to its authors, for research only", True)
_BY_NC = Terms("CC BY-NC 4.0", True)
_BY_NC_SA = Terms("CC BY-NC-SA 4.0", True)
_AM2K = Terms("MIT, in its release agreement; the pictures' owners keep their rights", False)

TRAINING_SETS: dict[str, TrainingSet] = {
    each.name: each
    for each in (
        TrainingSet(
            "composition-1k",
            "Composition-1K (Deep Image Matting)",
            "cutouts",
            _below(
                (("combined_fg", "combined_alpha"),),
                "Training_set/",
                "Combined_Dataset/Training_set/",
                "",
            ),
            Terms("Adobe's agreement, by request, for research only", True),
            ("sdmatte", "mam2", "mematte"),
            transparent=COMPOSITION_1K_TRANSPARENT,
            repeats=3,
        ),
        TrainingSet(
            "distinctions-646",
            "Distinctions-646",
            "cutouts",
            _below((("FG", "GT"),), "Train/", "Distinctions-646/Train/"),
            _BY_REQUEST,
            ("sdmatte", "mam2", "mematte"),
            transparent=DISTINCTIONS_646_TRANSPARENT,
            repeats=3,
        ),
        TrainingSet(
            "am2k",
            "AM-2K",
            "photos",
            _below((("original", "mask"),), "train/"),
            _AM2K,
            ("sdmatte", "mam2", "mematte"),
        ),
        TrainingSet(
            "am2k-foregrounds",
            "AM-2K's foregrounds",
            "cutouts",
            _below((("fg", "mask"),), "train/"),
            _AM2K,
            ("sdmatte",),
            repeats=4,
        ),
        TrainingSet(
            "uhrsd",
            "UHRSD",
            "photos",
            (
                (("UHRSD_TR_2K/image", "UHRSD_TR_2K/mask"),
                 ("UHRSD_TE_2K/image", "UHRSD_TE_2K/mask")),
                (("UHRSD_TR_2K/image", "UHRSD_TR_2K/mask"),),
            ),
            Terms("not stated: taken as for research only", True),
            ("sdmatte",),
        ),
        TrainingSet(
            "refmatte",
            "RefMatte",
            "photos",
            _below((("img", "mask"),), "train/", "RefMatte/train/"),
            _BY_NC,
            ("sdmatte",),
            pairing="labels",
        ),
        TrainingSet(
            "coco-matte",
            "COCO-Matte (COCO-Matting)",
            "photos",
            ((("COCO_Matte.json", "COCO_Matte.json"),),),
            Terms("CC BY-NC 4.0, as SEMat's repository; COCO's pictures on Flickr's terms", True),
            ("sdmatte",),
            pairing="list",
        ),
        TrainingSet(
            "p3m-10k",
            "P3M-10k",
            "photos",
            _below((("blurred_image", "mask"),), "train/", "P3M-10k/train/"),
            Terms("MIT, in its release agreement; the pictures' owners keep their rights", False),
            ("mam2", "mematte"),
        ),
        TrainingSet(
            "transparent-460",
            "Transparent-460",
            "cutouts",
            _below((("fg", "alpha"),), "Train/", "Transparent-460/Train/"),
            _BY_REQUEST,
            ("mam2", "mematte"),
            opacity="transparent",
            repeats=5,
        ),
        TrainingSet(
            "i-him50k",
            "I-HIM50K",
            "photos",
            _below((("images", "alphas"),), "", "train/", "synthesized/"),
            Terms("not stated; made from HHM and BG-20K: taken as for research only", True),
            ("mam2",),
            pairing="instances",
        ),
        TrainingSet(
            "dis5k",
            "DIS5K",
            "masks",
            _below((("im", "gt"),), "DIS-TR/", "DIS5K/DIS-TR/"),
            Terms("its terms of use, for research and education only", True),
            ("mam2",),
        ),
        TrainingSet(
            "duts",
            "DUTS",
            "masks",
            _below((("DUTS-TR-Image", "DUTS-TR-Mask"),), "DUTS-TR/", ""),
            Terms("not stated; its pictures are ImageNet's: taken as for research only", True),
            ("mam2",),
        ),
        TrainingSet(
            "mose",
            "MOSE",
            "clip masks",
            _below((("JPEGImages", "Annotations"),), "train/", ""),
            _BY_NC_SA,
            ("mam2",),
            pairing="objects",
        ),
        TrainingSet(
            "youtube-vis",
            "YouTubeVIS",
            "clip masks",
            (
                (("train/JPEGImages", "train/instances.json"),),
                (("train/JPEGImages", "train.json"),),
                (("train/JPEGImages", "instances.json"),),
            ),
            Terms("its terms of use, for research only (annotations CC BY 4.0)", True),
            ("mam2",),
            pairing="annotations",
        ),
        TrainingSet(
            "videomatting108",
            "VideoMatting108 (VM108)",
            "clips",
            ((("FG_done", "BG_done"),),),
            Terms("for academic and non-commercial use only", True),
            ("mam2",),
            pairing="frame list",
        ),
        TrainingSet(
            "videomatte240k",
            "VideoMatte240K (VM240K)",
            "clip cutouts",
            _below((("fgr", "pha"),), "train/", ""),
            Terms("by agreement, for non-commercial use only", True),
            ("mam2",),
        ),
    )
}  # fmt: skip


def find_training_set(name: str) -> TrainingSet:
    """Look a set up.

    Args:
        name: a key of `TRAINING_SETS`.

    Raises:
        DatasetError: The name isn't known.
    """
    if name not in TRAINING_SETS:
        raise DatasetError(f"Unknown training set {name!r}. Known: {', '.join(TRAINING_SETS)}.")
    return TRAINING_SETS[name]


def terms_of(*names: str) -> str:
    """Say on what terms weights may be used that learn from some sets, a line for each.

    Args:
        names: keys of `TRAINING_SETS`.

    Returns:
        Each set's licence, and at last whether the weights may be sold.

    Raises:
        DatasetError: A name isn't known.
    """
    sets = [find_training_set(name) for name in names]
    lines = [f"{each.title}: {each.terms.licence}" for each in sets]
    barred = [each.title for each in sets if each.terms.research_only]
    verdict = f"weights for research only, because of {', '.join(barred)}" if barred else ""
    return "\n".join([*lines, verdict or "nothing here bars commercial use of the weights"])
