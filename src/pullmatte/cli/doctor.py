"""``pullmatte doctor``: what is here, what would fit, and what mends what is missing."""

import os
import platform
import shutil
import sys
import tempfile
import textwrap
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from pullmatte import __version__
from pullmatte.cli import console
from pullmatte.cli import options as o

_NEEDED = {
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pymatting": "pymatting",
    "pillow": "PIL",
    "av": "av",
    "OpenEXR": "OpenEXR",
    "OpenImageIO": "OpenImageIO",
    "typer": "typer",
    "rich": "rich",
    "torch": "torch",
    "transformers": "transformers",
    "safetensors": "safetensors",
}
"""Package → module."""
_OPTIONAL = {
    "pi-heif": ("pi_heif", "HEIC photos", "pip install 'pullmatte[heic]'"),
    "diffusers": ("diffusers", "SDMatte", "pip install 'pullmatte[models]'"),
    "peft": ("peft", "tuning MAM2", "pip install 'pullmatte[models]'"),
    "fastapi": ("fastapi", "the studio", "pip install 'pullmatte[web]'"),
    "uvicorn": ("uvicorn", "the studio", "pip install 'pullmatte[web]'"),
    "python-multipart": ("python_multipart", "the studio", "pip install 'pullmatte[web]'"),
}
_SLOW = frozenset({"pymatting", "torch", "transformers", "diffusers", "peft"})
"""Modules that are only looked for: importing them takes seconds."""
_ENCODERS = {
    "prores_ks": "ProRes 4444 (.mov)",
    "libvpx-vp9": "VP9 with alpha (.webm)",
    "ffv1": "FFV1 (.mkv)",
    "libx264": "H.264 without alpha (.mp4)",
}
_BYTES_PER_PIXEL = 120
"""Peak memory of a photo's matte per pixel of the photo, measured; see docs/results.md."""


Web = Annotated[bool, typer.Option("--web", help="Try the studio: start it, matte, export.")]


def doctor_command(as_json: o.Json = False, web: Web = False) -> int:
    """Check this installation: versions, devices, memory, codecs, and what is missing."""
    if web:
        return _try_studio(as_json=as_json)
    findings = examine()
    if as_json:
        console.emit(findings)
    else:
        _print(findings)
    return 1 if findings["missing"] else 0


def _try_studio(*, as_json: bool) -> int:
    """Have the studio do its work once; say each step, and what went wrong."""
    from pullmatte.cli.serve import studio_parts
    from pullmatte.errors import PullmatteError
    from pullmatte.models import DEFAULT_MODEL

    steps: list[str] = []

    def tell(step: str) -> None:
        steps.append(step)
        if not as_json:
            typer.echo(f"ok: {step}")

    problem = None
    try:
        studio_parts()
        from pullmatte.web.selftest import check_studio

        check_studio(DEFAULT_MODEL, tell)
    except PullmatteError as error:
        problem = str(error)
    if as_json:
        console.emit({"steps": steps, "problem": problem})
    else:
        typer.echo(f"FAILED: {problem}" if problem else "the studio works: pullmatte serve")
    return 1 if problem else 0


def examine() -> dict[str, Any]:
    """Look at the machine and the packages.

    Returns:
        Names and values, as ``--json`` prints them. ``missing`` lists what must be mended, each
        with its command; ``optional`` what may be.
    """
    packages, missing = _packages()
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
        "devices": _devices(has_torch=bool(packages["torch"])),
        "memory_bytes": memory,
        "free_disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "fits": _fits(memory),
        "optional": [
            {"what": f"{name}: {use}", "mend": mend}
            for name, (_, use, mend) in _OPTIONAL.items()
            if not packages[name]
        ],
        "missing": missing,
    }


def _packages() -> tuple[dict[str, str | None], list[dict[str, str]]]:
    """Find each package's version, None where it is missing or broken, and what mends those."""
    found: dict[str, str | None] = {}
    missing = []
    for name, module in _NEEDED.items():
        problem = _problem(module)
        found[name] = None if problem else _version(name, module)
        if problem:
            again = "--force-reinstall " if problem != "not installed" else ""
            missing.append({"what": f"{name}: {problem}", "mend": f"pip install {again}{name}"})
    for name, (module, _, _) in _OPTIONAL.items():
        found[name] = None if _problem(module) else _version(name, module)
    return found, missing


def _problem(module: str) -> str | None:
    """Say why a module can't be used; installed ones can be broken, as by a missing library."""
    try:
        if find_spec(module) is None:
            return "not installed"
        if module not in _SLOW:
            import_module(module)
    except ModuleNotFoundError as error:
        return "not installed" if error.name == module else f"broken ({error})"
    except Exception as error:
        return f"broken ({' '.join(str(error).split())})"
    return None


def _version(package: str, module: str) -> str:
    """Return the version; another package may bring the same module, as opencv-python does."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(module), "__version__", "unknown version"))


def _codecs() -> dict[str, bool]:
    import av

    return {name: name in av.codecs_available for name in _ENCODERS}


def _devices(*, has_torch: bool) -> list[str]:
    """Name the devices; a graphics card is only looked for where torch is installed."""
    devices = [f"cpu ({_cpu_count()} cores)"]
    if not has_torch:
        return devices
    try:
        import torch

        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            devices.append(f"cuda:{number} ({facts.name}, {facts.total_memory / 2**30:.0f} GiB)")
        if torch.backends.mps.is_available():
            devices.append("mps")
    except (ImportError, OSError, RuntimeError) as error:
        devices.append(f"torch is broken: {' '.join(str(error).split())}")
    return devices


def _cpu_count() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> dict[str, int | None]:
    """Return total and available memory, None where the system doesn't say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
        available = _meminfo("MemAvailable") or page * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return {"total": None, "available": None}
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is not None and limit < total:
        # A container may have less than its machine.
        return {"total": limit, "available": min(available, max(limit - (used or 0), 0))}
    return {"total": total, "available": available}


def _meminfo(key: str) -> int | None:
    """Read a line of Linux' own account, which counts caches as free."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return None


def _cgroup(name: str) -> int | None:
    with suppress(OSError, ValueError):
        return int((Path("/sys/fs/cgroup") / name).read_text())
    return None


def _fits(memory: dict[str, int | None]) -> str:
    """Say in words how large a photo the classical engine can take."""
    available = memory["available"]
    if available is None:
        return "unknown: this system doesn't say how much memory is free"
    pixels = available / _BYTES_PER_PIXEL
    return (
        f"classical: photos up to about {pixels / 1e6:.0f} megapixels; "
        "video needs memory for a few frames, whatever its length"
    )


def _print(findings: dict[str, Any]) -> None:
    total, free = findings["memory_bytes"]["total"], findings["memory_bytes"]["available"]
    lines = {
        "pullmatte": findings["pullmatte"],
        "python": f"{findings['python']} on {findings['system']}",
        "devices": ", ".join(findings["devices"]),
        "memory": f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free" if total else "unknown",
        "fits": findings["fits"],
        "disk": f"{findings['free_disk_bytes'] / 2**30:.0f} GiB free for temporary files",
        **{name: found or "MISSING" for name, found in findings["packages"].items()},
        **{name: "yes" if there else "MISSING" for name, there in findings["encoders"].items()},
    }
    for item in findings["optional"]:
        lines[item["what"].partition(":")[0]] = "not installed"
    for name, text in lines.items():
        typer.echo(
            textwrap.fill(text, 78, initial_indent=f"{name:<24}", subsequent_indent=" " * 24)
        )
    for kind, lead in (("optional", "optional"), ("missing", "MISSING")):
        for item in findings[kind]:
            typer.echo(f"{lead}: {item['what']} → {item['mend']}")
    if not findings["missing"]:
        typer.echo("all that is needed is here")
