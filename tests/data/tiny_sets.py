"""Made-up data sets of a few small pictures, laid out as the published ones."""

import json

import numpy as np
from PIL import Image

from pullmatte.data.training_sets import TRAINING_SETS

SIZE = (40, 30)


def disc(shift=0):
    """Return an alpha with a soft rim, and a hole of no alpha around it."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    reach = 11 - np.hypot(rows - 15, columns - 18 - shift)
    return (np.clip(reach / 4, 0, 1) * 255).astype(np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def save_backgrounds(folder, count=2):
    for at in range(count):
        save(folder / f"room {at}.png", picture(90 + at))
    return folder


def save_pairs(root, images, alphas, suffix="jpg"):
    for at, stem in enumerate(("one", "two")):
        save(root / images / f"{stem}.{suffix}", picture(at))
        save(root / alphas / f"{stem}.png", disc(at))


def build_stills(name, root, form=0):
    """Build a set of pictures in one of its layouts; each has two samples a folder."""
    known = TRAINING_SETS[name]
    for images, alphas in known.forms[form]:
        if known.pairing == "stem":
            save_pairs(root, images, alphas, "png" if known.content == "cutouts" else "jpg")
        elif known.pairing == "labels":
            save(root / images / "p.jpg", picture(1))
            for at in range(2):
                save(root / alphas / f"p_{at}.png", disc(at))
            labels = {f"p_{at}": {"image_name": "p", "expressions": ["x"]} for at in range(2)}
            path = (root / images).parent / "refmatte_train_label.json"
            path.write_text(json.dumps(labels))
        elif known.pairing == "list":
            save_pairs(root, "train2017", "alpha")
            entries = [
                {"image_path": f"train2017/{stem}.jpg", "alpha_path": f"alpha/{stem}.png"}
                for stem in ("one", "two")
            ]
            (root / images).write_text(json.dumps(entries))
        else:
            save(root / images / "a.jpg", picture(1))
            for at in range(2):
                save(root / alphas / "a" / f"{at}.png", disc(at))
    return root


def save_frames(folder, make, suffix, frames=6):
    for at in range(frames):
        save(folder / f"{at:05d}.{suffix}", make(at))


def run_lengths(mask):
    """Write a mask as YouTubeVIS does: columns first, beginning with empty ground."""
    flat = (mask.T.ravel() > 127).astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if flat[0] == 0 else [0, *counts]}


def save_youtube_vis(root, path):
    save_frames(root / "train/JPEGImages/v", picture, "jpg")
    runs = [run_lengths(disc(at)) for at in range(5)] + [None]
    document = {
        "videos": [{"id": 7, "file_names": [f"v/{at:05d}.jpg" for at in range(6)]}],
        "annotations": [{"video_id": 7, "category_id": 1, "segmentations": runs}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def save_videomatting108(root):
    for at in range(6):
        save(root / f"FG_done/cat/c/{at:04d}.png", np.dstack([picture(at), disc(at)]))
        save(root / f"BG_done/b/{at:04d}.png", picture(50 + at))
    pairs = {f"cat/c/{at:04d}.png": f"b/{at:04d}.jpg" for at in range(6)}
    (root / "frame_corr.json").write_text(json.dumps(pairs))
    (root / "train_videos.txt").write_text("cat/c\n")


def build_clips(name, root, form=0):
    """Build a set of clips in one of its layouts: one clip of six frames."""
    known = TRAINING_SETS[name]
    images, alphas = known.forms[form][0]
    if known.pairing == "objects":
        save_frames(root / images / "v", picture, "jpg")
        for at in range(6):
            numbers = Image.fromarray((disc(at) > 127).astype(np.uint8) * 3).convert("P")
            path = root / alphas / "v" / f"{at:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            numbers.save(path)
    elif known.pairing == "annotations":
        save_youtube_vis(root, root / alphas)
    elif known.pairing == "frame list":
        save_videomatting108(root)
    else:
        save_frames(root / images / "0001", picture, "jpg")
        save_frames(root / alphas / "0001", disc, "jpg")
    return root
