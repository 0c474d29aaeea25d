"""Two simple services' endpoints, so that their clients work unchanged: files only, no addresses.

- ``POST /v1.0/removebg``: remove.bg's fields, errors and headers; the token is the API key.
- ``POST /api/remove``: rembg's; the token goes into the address (``?token=``) or a header.

Nothing is prompted here: the whole picture is the box.
"""

import base64
import binascii
import json
import math
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from pullmatte.errors import PullmatteError
from pullmatte.io.image import encode_image, load_picture
from pullmatte.matte import Matte
from pullmatte.web.host import Full
from pullmatte.web.media import kind_of
from pullmatte.web.studio import Studio

_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "zip": "application/zip"}
_SIZES = {"preview": 0.25e6, "small": 0.25e6, "regular": 0.25e6, "medium": 1.5e6, "hd": 4e6}
_FULL = {"auto", "full", "4k", "original", "50MP"}
_YES = {"true", "1", "yes", "on"}


class Refused(PullmatteError):
    """A request that can't be done; `code` is remove.bg's word for why."""

    def __init__(self, message: str, code: str = "invalid_parameters") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Wish:
    """What a remove.bg client asks for.

    Attributes:
        image: The picture's bytes.
        form: "png", "jpg", "webp" or "zip".
        only_alpha: Channels "alpha".
        crop: Cut off what is empty.
        margin: Round the object when cropped, in pixels or percent of its size.
        colour: Behind the object; None leaves it out.
        plate: A picture behind it, as bytes.
        most_pixels: Of the result.
    """

    image: bytes
    form: str = "png"
    only_alpha: bool = False
    crop: bool = False
    margin: str = "0"
    colour: str | None = None
    plate: bytes | None = None
    most_pixels: float = float("inf")


def routes(studio: Studio) -> APIRouter:
    """Return the routes, for one studio."""
    router = APIRouter()

    @router.post("/v1.0/removebg")
    async def remove_bg(request: Request) -> Response:
        try:
            wish = _wish(await _fields(request))
            return await _removed(studio, wish, as_json=_wants_json(request))
        except Full as error:
            return _refusal(str(error), "rate_limit_exceeded", 429)
        except Refused as error:
            return _refusal(str(error), error.code, 400)
        except PullmatteError as error:
            return _refusal(str(error), "invalid_image", 400)

    @router.get("/v1.0/account")
    async def account() -> dict[str, Any]:
        nothing = {"total": 0, "subscription": 0, "payg": 0, "enterprise": 0}
        return {"data": {"attributes": {"credits": nothing, "api": {"free_calls": 0}}}}

    @router.post("/api/remove")
    async def rembg(request: Request) -> Response:
        fields = {**request.query_params, **await _fields(request)}
        image = _bytes_of(fields.get("file"))
        if image is None:
            raise PullmatteError("no picture came: send it as the form's field 'file'")
        colour = _rembg_colour(fields.get("bgc"))
        only_alpha = str(fields.get("om", "")).lower() in _YES
        data, _ = await _matted(studio, image, ".png", colour, only_alpha=only_alpha)
        model = (studio.host.model or {}).get("name", "")
        return Response(data, media_type="image/png", headers={"x-model": model})

    return router


async def _fields(request: Request) -> dict[str, Any]:
    """Read a form, or JSON with the same names."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            found = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            raise Refused("the body isn't JSON: send an object") from error
        if not isinstance(found, dict):
            raise Refused("the body isn't a JSON object: send one")
        return found
    from starlette.exceptions import HTTPException

    try:
        form = await request.form(max_files=4, max_fields=60, max_part_size=64 << 20)
    except HTTPException as error:
        raise Refused(f"the form can't be read: {error.detail}") from error
    return {
        name: await value.read() if isinstance(value, UploadFile) else value
        for name, value in form.items()
    }


def _bytes_of(value: Any) -> bytes | None:
    if isinstance(value, bytes):
        return value
    # A form's text field may hold a file, too, if a client forgot its name.
    return value.encode("latin-1", "replace") if isinstance(value, str) and value else None


def _wish(fields: dict[str, Any]) -> Wish:
    """Read remove.bg's parameters.

    Raises:
        Refused: If one of them can't be done.
    """
    if fields.get("image_url"):
        raise Refused("image_url: addresses aren't fetched here; send image_file", "unsupported")
    image = _bytes_of(fields.get("image_file"))
    text = fields.get("image_file_b64")
    if image is None and isinstance(text, str | bytes):
        packed = text.encode() if isinstance(text, str) else text
        try:
            image = base64.b64decode(packed.split(b",")[-1], validate=True)
        except (ValueError, binascii.Error) as error:
            raise Refused("image_file_b64 isn't base64: send a picture so encoded") from error
    if not image:
        raise Refused("no image given: send image_file or image_file_b64", "missing_source")
    form = str(fields.get("format", "auto")).lower()
    colour, plate = fields.get("bg_color") or None, _bytes_of(fields.get("bg_image_file"))
    if form == "auto":
        form = "png"
    if form not in _TYPES:
        raise Refused(f"format {form!r}: give one of auto, {', '.join(_TYPES)}")
    channels = str(fields.get("channels", "rgba")).lower()
    if channels not in ("rgba", "alpha"):
        raise Refused(f"channels {channels!r}: give rgba or alpha")
    size = str(fields.get("size", "auto"))
    if size not in {*_SIZES, *_FULL}:
        raise Refused(f"size {size!r}: give one of {', '.join(sorted({*_SIZES, *_FULL}))}")
    return Wish(
        image,
        form,
        channels == "alpha",
        str(fields.get("crop", "")).lower() in _YES,
        str(fields.get("crop_margin", "0")),
        None if colour is None else _colour(str(colour)),
        plate,
        _SIZES.get(size, float("inf")),
    )


def _colour(text: str) -> str:
    """Read a colour as remove.bg has it: hexadecimal with or without mark, or a name."""
    from PIL import ImageColor

    digits = text.lstrip("#")
    name = f"#{digits}" if all(c in "0123456789abcdefABCDEF" for c in digits) else text
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise Refused(f"bg_color {text[:40]!r}: give a name, or rrggbb") from error
    return f"#{red:02x}{green:02x}{blue:02x}"


def _rembg_colour(text: Any) -> str | None:
    """Read ``r,g,b,a``; a colour that can't be seen is none."""
    if not text:
        return None
    try:
        values = [int(part) for part in str(text).replace("(", "").replace(")", "").split(",")]
        red, green, blue, alpha = (*values, 255)[:4]
        assert all(0 <= v <= 255 for v in (red, green, blue, alpha))
    except (ValueError, AssertionError) as error:
        raise PullmatteError(f"bgc {str(text)[:40]!r}: give four numbers, r,g,b,a") from error
    return f"#{red:02x}{green:02x}{blue:02x}" if alpha else None


async def _matted(
    studio: Studio, image: bytes, suffix: str, colour: str | None, *, only_alpha: bool
) -> tuple[bytes, tuple[int, int]]:
    import asyncio

    if kind_of(image[:512]) != "image":
        raise PullmatteError("the file is no picture: give PNG, JPEG, WebP, TIFF, EXR or HEIC")
    arguments = {"source": image, "suffix": suffix, "background": colour, "only_alpha": only_alpha}
    found: tuple[bytes, tuple[int, int]] = await asyncio.wrap_future(
        studio.host.call("remove", arguments)
    )
    return found


async def _removed(studio: Studio, wish: Wish, *, as_json: bool) -> Response:
    """Matte, then cut, shrink and encode as was asked."""
    import asyncio

    cutout, _ = await _matted(studio, wish.image, ".png", None, only_alpha=False)
    loop = asyncio.get_running_loop()
    data, facts = await loop.run_in_executor(None, _finished, cutout, wish)
    if as_json:
        shown = {"result_b64": base64.b64encode(data).decode()}
        sides = ("top", "left", "width", "height")
        more = {f"foreground_{side}": facts[f"x-foreground-{side}"] for side in sides}
        body = json.dumps({"data": {**shown, **{k: int(v) for k, v in more.items()}}})
        return Response(body, media_type="application/json", headers=facts)
    return Response(data, media_type=_TYPES[wish.form], headers=facts)


def _finished(cutout: bytes, wish: Wish) -> tuple[bytes, dict[str, str]]:
    import cv2

    picture = load_picture(cutout)
    alpha = np.ones(picture.image.shape[:2], np.float32) if picture.alpha is None else picture.alpha
    image = picture.image
    rows, columns = np.nonzero(alpha > 1 / 255)
    top, left, bottom, right = 0, 0, *alpha.shape
    if rows.size:
        top, left = int(rows.min()), int(columns.min())
        bottom, right = int(rows.max()) + 1, int(columns.max()) + 1
    box = [top, left, bottom - top, right - left]
    if wish.crop:
        upper, beside = _margins(wish.margin, box[2], box[3])
        y0, x0 = max(0, top - upper), max(0, left - beside)
        part = np.s_[y0 : bottom + upper, x0 : right + beside]
        image, alpha = image[part], alpha[part]
        box[0], box[1] = top - y0, left - x0
    share = min(1.0, (wish.most_pixels / alpha.size) ** 0.5)
    if share < 1:
        size = [max(1, round(side * share)) for side in alpha.shape[::-1]]
        both = cv2.resize(
            np.dstack([image * alpha[..., None], alpha]), size, interpolation=cv2.INTER_AREA
        )
        alpha = both[..., 3].clip(0, 1)
        image = (both[..., :3] / np.maximum(alpha[..., None], 1e-4)).astype(np.float32)
        box = [round(side * share) for side in box]
    facts = {"x-width": str(alpha.shape[1]), "x-height": str(alpha.shape[0])}
    names = ("top", "left", "height", "width")
    facts |= {f"x-foreground-{n}": str(side) for n, side in zip(names, box, strict=True)}
    facts |= {"x-type": "other", "x-credits-charged": "0"}
    image = np.ascontiguousarray(image, np.float32).clip(0, 1)
    alpha = np.ascontiguousarray(alpha, np.float32)
    return _encoded(image, alpha, wish), facts


def _encoded(image: Any, alpha: Any, wish: Wish) -> bytes:
    if wish.only_alpha:
        return encode_image(f".{_plain(wish.form)}", image=None, alpha=alpha)
    plate: Any = wish.colour
    if wish.plate is not None:
        from pullmatte.jobs.blending import fit_plate

        plate = fit_plate(load_picture(wish.plate).image, alpha.shape)
    if plate is None and wish.form == "jpg":
        plate = "white"
    if wish.form == "zip":
        packed = BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("color.jpg", encode_image(".jpg", image=image))
            archive.writestr("alpha.png", encode_image(".png", image=None, alpha=alpha))
        return packed.getvalue()
    if plate is not None:
        return encode_image(f".{wish.form}", image=Matte(alpha, image).composite(plate))
    return encode_image(f".{wish.form}", image=image, alpha=alpha)


def _plain(form: str) -> str:
    return "png" if form == "zip" else form


def _margins(text: str, height: int, width: int) -> tuple[int, int]:
    """Read ``30px``, ``10%``, or two of them, vertical first."""
    found = []
    for part, side in zip((text.split() * 2)[:2], (height, width), strict=False):
        try:
            value = float(part.rstrip("px%"))
            if not math.isfinite(value):
                raise ValueError(part)
        except ValueError as error:
            raise Refused(f"crop_margin {text[:40]!r}: give pixels (30px) or percent") from error
        found.append(max(0, round(side * value / 100 if part.endswith("%") else value)))
    return (*found, 0, 0)[0], (*found, 0, 0)[1]


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _refusal(message: str, code: str, status: int) -> Response:
    errors = [{"title": " ".join(message.split()), "code": code}]
    headers = {"retry-after": "2"} if status == 429 else {}
    return Response(json.dumps({"errors": errors}), status, headers, "application/json")
