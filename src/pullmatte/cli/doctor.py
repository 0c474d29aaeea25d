"""``pullmatte doctor``: what is here, what would fit, and what mends what is missing."""

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pullmatte import __version__
from pullmatte.cli import console
from pullmatte.cli import options as o

_NEEDED = (
    "numpy",
    "opencv-python-headless",
    "pymatting",
    "pillow",
    "av",
    "OpenEXR",
    "OpenImageIO",
    "typer",
    "rich",
)
_OPTIONAL = {
    "pi-heif": ("HEIC photos", "pip install 'pullmatte[heic]'"),
    "torch": ("learned models", "pip install 'pullmatte[torch]'"),
}
_ENCODERS = {
    "prores_ks": "ProRes 4444 (.mov)",
    "libvpx-vp9": "VP9 with alpha (.webm)",
    "ffv1": "FFV1 (.mkv)",
    "libx264": "H.264 without alpha (.mp4)",
}
_BYTES_PER_PIXEL = 900
"""Peak memory of closed-form matting per unknown pixel, measured; see docs/results.md."""


def doctor_command(as_json: o.Json = False) -> int:
    """Check this installation: versions, devices, memory, codecs, and what is missing."""
    findings = examine()
    if as_json:
        console.emit(findings)
    else:
        _print(findings)
    return 1 if findings["missing"] else 0


def examine() -> dict[str, Any]:
    """Look at the machine and the packages.

    Returns:
        Names and values, as ``--json`` prints them. ``missing`` lists what must be mended, each
        with its command; ``optional`` what may be.
    """
    packages = {name: _version(name) for name in (*_NEEDED, *_OPTIONAL)}
    missing = [
        {"what": name, "mend": f"pip install {name}"} for name in _NEEDED if not packages[name]
    ]
    codecs = _codecs() if packages["av"] else {}
    missing += [
        {"what": f"encoder {name}: {use}", "mend": "pip install --force-reinstall av"}
        for name, use in _ENCODERS.items()
        if codecs and not codecs[name]
    ]
    memory = _memory_bytes()
    return {
        "pullmatte": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "encoders": codecs,
        "devices": _devices(),
        "memory_bytes": memory,
        "free_disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "fits": _fits(memory),
        "optional": [
            {"what": f"{name}: {use}", "mend": mend}
            for name, (use, mend) in _OPTIONAL.items()
            if not packages[name]
        ],
        "missing": missing,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _codecs() -> dict[str, bool]:
    import av

    return {name: name in av.codecs_available for name in _ENCODERS}


def _devices() -> list[str]:
    """Name the devices; a graphics card is only looked for where torch is installed."""
    devices = [f"cpu ({os.cpu_count()} cores)"]
    if _version("torch"):
        import torch

        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            devices.append("mps")
    return devices


def _memory_bytes() -> dict[str, int | None]:
    """Return total and available memory, None where the system doesn't say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return {
            "total": page * os.sysconf("SC_PHYS_PAGES"),
            "available": page * os.sysconf("SC_AVPHYS_PAGES"),
        }
    except (ValueError, OSError, AttributeError):
        return {"total": None, "available": None}


def _fits(memory: dict[str, int | None]) -> str:
    """Say in words how large an unknown band the classical engine can take at once."""
    available = memory["available"]
    if available is None:
        return "unknown: this system doesn't say how much memory is free"
    pixels = available / _BYTES_PER_PIXEL
    return (
        f"classical: about {pixels / 1e6:.0f} million unknown pixels at once; "
        "larger bands are solved in tiles; video needs memory for a few frames, whatever its length"
    )


def _print(findings: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Console(file=sys.stdout, highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_row("pullmatte", findings["pullmatte"])
    table.add_row("python", f"{findings['python']} on {findings['system']}")
    table.add_row("devices", ", ".join(findings["devices"]))
    total, free = findings["memory_bytes"]["total"], findings["memory_bytes"]["available"]
    if total:
        table.add_row("memory", f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free")
    table.add_row("fits", findings["fits"])
    table.add_row("disk", f"{findings['free_disk_bytes'] / 2**30:.0f} GiB free for temporary files")
    for name, found in findings["packages"].items():
        table.add_row(name, found or "not installed")
    for name, there in findings["encoders"].items():
        table.add_row(name, "yes" if there else "missing")
    out.print(table)
    for kind, lead in (("optional", "optional"), ("missing", "MISSING")):
        for item in findings[kind]:
            out.print(f"{lead}: {item['what']} → {item['mend']}", soft_wrap=True, markup=False)
    if not findings["missing"]:
        out.print("all that is needed is here")
