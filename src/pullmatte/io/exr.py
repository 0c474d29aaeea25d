"""OpenEXR: scene-linear, half float, premultiplied, mattes as named channels."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullmatte.errors import ReadError, WriteError
from pullmatte.io.atomic import replacing, shown
from pullmatte.io.color import premultiply, srgb_to_linear

Array = NDArray[np.float32]

MAGIC = b"\x76\x2f\x31\x01"
_HALF_MAX = 65504.0
_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_RESERVED = {"channels", "compression", "dataWindow", "displayWindow", "lineOrder", "type", "name"}
_RESERVED |= {"pixelAspectRatio", "screenWindowCenter", "screenWindowWidth", "chunkCount", "tiles"}


@dataclass(frozen=True)
class LinearPicture:
    """What an EXR file holds, as it is stored: linear, colours multiplied by alpha.

    Attributes:
        image: `H W 3` float32, linear, unbounded; None if the file holds mattes only.
        alpha: `H W` float32 as stored, or None.
        mattes: Other channels by name (``torch.A``), each `H W` float32.
        associated: Whether the colours are multiplied by alpha (True unless the file, being ours,
            says otherwise).
    """

    image: Array | None
    alpha: Array | None
    mattes: dict[str, Array] = field(default_factory=dict)
    associated: bool = True


def write_exr(
    destination: str | PathLike[str],
    *,
    image: Array | None = None,
    alpha: Array | None = None,
    mattes: Mapping[str, Array] | None = None,
    premultiplied: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write half floats with ZIP compression.

    Args:
        destination: Where to; it appears whole or not at all.
        image: `H W 3` float32, sRGB-encoded and straight (values above 1 stay highlights); it is
            made linear here. None: a file of mattes only.
        alpha: `H W` float32 in [0, 1], the channel ``A``; None: no such channel.
        mattes: Alphas by object name, `H W` float32; object ``torch`` becomes channel
            ``torch.A``, which compositing programs show as a layer of its own.
        premultiplied: Whether to multiply the linear colours by ``alpha``, as EXR expects.
        metadata: Text attributes to add.

    Raises:
        WriteError: The arrays don't fit together, a name can't be stored, or the disk refuses.
    """
    name = shown(destination)
    data = encode_exr(
        image=image,
        alpha=alpha,
        mattes=mattes,
        premultiplied=premultiplied,
        metadata=metadata,
        name=name,
    )
    with replacing(Path(destination)) as temporary:
        temporary.write_bytes(data)


def encode_exr(
    *,
    image: Array | None = None,
    alpha: Array | None = None,
    mattes: Mapping[str, Array] | None = None,
    premultiplied: bool = True,
    metadata: Mapping[str, str] | None = None,
    name: str = "the EXR file",
) -> bytes:
    """Make the bytes that `write_exr` writes.

    Args:
        image: As for `write_exr`.
        alpha: As for `write_exr`.
        mattes: As for `write_exr`.
        premultiplied: As for `write_exr`.
        metadata: As for `write_exr`.
        name: What to call the file in messages.

    Returns:
        The file's bytes.

    Raises:
        WriteError: The arrays don't fit together, or a name can't be stored.
    """
    import OpenEXR

    channels = _name_mattes(mattes or {}, name)
    if alpha is not None:
        channels["A"] = alpha
    _check(image, channels, name)
    if image is not None:
        linear = srgb_to_linear(image)
        if alpha is not None and premultiplied:
            linear = premultiply(linear, alpha)
        channels |= {key: linear[..., index] for index, key in enumerate("RGB")}
    header = _header(_alpha_kind(image, alpha, premultiplied), metadata, name)
    buffer = BytesIO()
    try:
        halves = {key: _half(value) for key, value in channels.items()}
        OpenEXR.File({**header, "compression": OpenEXR.ZIP_COMPRESSION}, halves).write(buffer)
    except (RuntimeError, ValueError, TypeError) as error:
        raise WriteError(f"can't write {name}: {_one_line(error)}") from error
    return buffer.getvalue()


def channel_name(name: str) -> str:
    """Make the EXR channel name of an object's matte.

    Args:
        name: The object's name.

    Returns:
        ``<name>.A``; characters other than ASCII letters, digits, ``_`` and ``-`` become ``_``,
        because a dot starts a new layer and compositing programs dislike the others.

    Raises:
        WriteError: The name is empty or longer than EXR's 255 characters.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    plain = f"_{plain}" if plain[:1].isdigit() else plain
    if not 1 <= len(plain) <= 250:
        raise WriteError(f"object name {name[:40]!r} can't name a channel: use 1 to 250 characters")
    return f"{plain}.A"


def read_exr(
    source: str | PathLike[str] | bytes, *, max_pixels: int = 400_000_000, name: str | None = None
) -> LinearPicture:
    """Read the first part of an EXR file, linear and with associated alpha, as stored.

    Colours are the channels R G B, those of the only layer that has all three, or Y; a lone
    channel of any other name counts as a matte. The result has the size of the display window.

    Args:
        source: A path or the file's bytes.
        max_pixels: Refuse windows of more pixels.
        name: What to call the source in messages.

    Returns:
        The picture.

    Raises:
        ReadError: Missing, damaged, deep or too large; NaN or infinity in it; no known colours.
    """
    label = name or ("the EXR data" if isinstance(source, bytes) else shown(source))
    if not isinstance(source, bytes):
        try:
            source = Path(source).read_bytes()
        except OSError as error:
            raise ReadError(f"can't read {label}: {error.strerror}; check the path") from error
    channels, attributes = _read_channels(source, label, max_pixels)
    for key, values in channels.items():
        if not np.isfinite(values).all():
            raise ReadError(
                f"can't read {label}: channel {key} holds NaN or infinity, expected finite "
                "values; repair it where it was rendered"
            )
    straight = attributes.get("pullmatte:alpha") == "straight"
    return _sort_channels(channels, label, associated=not straight)


def _alpha_kind(image: Array | None, alpha: Array | None, premultiplied: bool) -> str:
    if image is None or alpha is None:
        return "none"
    return "premultiplied" if premultiplied else "straight"


def _name_mattes(mattes: Mapping[str, Array], name: str) -> dict[str, Array]:
    channels: dict[str, Array] = {}
    for key, matte in mattes.items():
        channel = channel_name(key)
        if channel in channels:
            raise WriteError(f"can't write {name}: two objects named {channel!r}; rename one")
        channels[channel] = matte
    return channels


def _check(image: Array | None, channels: dict[str, Array], name: str) -> None:
    planes = dict(channels)
    if image is not None:
        if image.ndim != 3 or image.shape[2] != 3:
            raise WriteError(f"can't write {name}: image of shape {image.shape}, expected H W 3")
        planes |= {key: image[..., index] for index, key in enumerate("RGB")}
    if not planes:
        raise WriteError(f"can't write {name}: no image, alpha or matte was given")
    shapes = {plane.shape for plane in planes.values()}
    if len(shapes) > 1 or len(min(shapes)) != 2 or 0 in min(shapes):
        known = ", ".join(map(str, sorted(shapes)))
        raise WriteError(
            f"can't write {name}: its channels have the shapes {known}, expected one H W"
        )
    if not all(np.isfinite(plane).all() for plane in planes.values()):
        raise WriteError(f"can't write {name}: NaN or infinity in it, expected finite values")


def _half(channel: Array) -> NDArray[np.float16]:
    return np.ascontiguousarray(np.clip(channel, -_HALF_MAX, _HALF_MAX), dtype=np.float16)


def _header(alpha_kind: str, metadata: Mapping[str, str] | None, name: str) -> dict[str, Any]:
    header: dict[str, Any] = {}
    for key, value in (metadata or {}).items():
        if key in _RESERVED or not key.isascii() or not key.isprintable() or not 0 < len(key) < 255:
            raise WriteError(
                f"can't write {name}: {key!r} can't name an EXR text attribute; rename it"
            )
        header[key] = str(value)
    return {
        **header,
        "software": "pullmatte",
        "comments": f"scene-linear, BT.709 primaries; alpha: {alpha_kind}",
        "pullmatte:alpha": alpha_kind,
        "chromaticities": _BT709,
        "colorInteropID": "lin_rec709_scene",
    }


def _read_channels(
    data: bytes, label: str, max_pixels: int
) -> tuple[dict[str, Array], dict[str, str]]:
    import OpenImageIO as oiio

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.exr")
        path.write_bytes(data)
        source = oiio.ImageInput.open(str(path))
        if source is None:
            raise ReadError(
                f"can't read {label}: not a whole EXR file ({_problem(oiio.geterror())})"
            )
        try:
            spec = source.spec()
            _check_spec(spec, label, max_pixels)
            pixels = source.read_image(0, 0, 0, spec.nchannels, oiio.FLOAT)
            if pixels is None or source.has_error:
                raise ReadError(
                    f"can't read {label}: truncated or damaged ({_problem(source.geterror())})"
                )
        finally:
            source.close()
    framed = _to_display_window(pixels.reshape(spec.height, spec.width, spec.nchannels), spec)
    channels = {key: framed[..., index] for index, key in enumerate(spec.channelnames)}
    return channels, {"pullmatte:alpha": str(spec.getattribute("pullmatte:alpha"))}


def _check_spec(spec: Any, label: str, max_pixels: int) -> None:
    if spec.deep:
        raise ReadError(f"can't read {label}: deep EXR, expected flat pixels; flatten it first")
    pixels = max(spec.width * spec.height, spec.full_width * spec.full_height)
    if not 0 < pixels <= max_pixels:
        raise ReadError(
            f"can't read {label}: it declares {pixels:,} pixels, expected 1 to {max_pixels:,}; "
            "shrink it, or raise max_pixels"
        )


def _to_display_window(pixels: Array, spec: Any) -> Array:
    """Place the data window in the display window: pad with 0, cut what lies outside."""
    window = (spec.x - spec.full_x, spec.y - spec.full_y)
    if window == (0, 0) and (spec.width, spec.height) == (spec.full_width, spec.full_height):
        return pixels
    framed = np.zeros((spec.full_height, spec.full_width, spec.nchannels), np.float32)
    x0, y0 = max(window[0], 0), max(window[1], 0)
    x1 = min(window[0] + spec.width, spec.full_width)
    y1 = min(window[1] + spec.height, spec.full_height)
    if x0 < x1 and y0 < y1:
        framed[y0:y1, x0:x1] = pixels[
            y0 - window[1] : y1 - window[1], x0 - window[0] : x1 - window[0]
        ]
    return framed


def _sort_channels(channels: dict[str, Array], label: str, *, associated: bool) -> LinearPicture:
    rest = dict(channels)
    layer = _colour_layer(rest)
    if layer is not None:
        image = np.stack([rest.pop(layer + letter) for letter in "RGB"], axis=-1)
        return LinearPicture(image, rest.pop(layer + "A", None), rest, associated)
    if "Y" in rest and not {"RY", "BY"} & rest.keys():
        grey = rest.pop("Y")
        image = np.repeat(grey[..., None], 3, axis=2)
        return LinearPicture(image, rest.pop("A", None), rest, associated)
    if "A" in rest or len(rest) == 1:
        key = "A" if "A" in rest else next(iter(rest))
        return LinearPicture(None, rest.pop(key), rest, associated)
    if all(key.endswith(".A") for key in rest):
        return LinearPicture(None, None, rest, associated)
    raise ReadError(
        f"can't read {label}: its channels are {', '.join(channels)[:120]}, "
        "expected R G B, Y or A; write those from the program that made it"
    )


def _colour_layer(channels: dict[str, Array]) -> str | None:
    """Find the layer prefix (``""`` for plain R G B) that has all three colours."""
    prefixes = {key[:-1] for key in channels if key == "R" or key.endswith(".R")}
    whole = sorted(p for p in prefixes if {p + "G", p + "B"} <= channels.keys())
    if "" in whole:
        return ""
    return whole[0] if len(whole) == 1 else None


def _problem(message: str) -> str:
    """Keep the last clause of a library's message, free of the temporary path."""
    last = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return _one_line(re.sub(r"\S*picture\.exr\S*\s*", "", last))[:120]


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
