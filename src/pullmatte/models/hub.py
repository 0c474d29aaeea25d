"""Fetching released weights from the Hugging Face hub, whole or not at all.

The hub's own library knows addresses, tokens, caches and mirrors (``HF_HOME``, ``HF_ENDPOINT``,
``HF_TOKEN``, ``HF_HUB_OFFLINE``). Its downloads begin anew after an interruption, though, and
aren't compared with the hash that the hub states; for files of 12 GB we do both here, and leave
the result in its cache as it would have.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pullmatte.errors import DownloadError, PullmatteError, WriteError
from pullmatte.models import HubSource, ModelSpec
from pullmatte.models.weights import missing_extra, model_folder, unknown_name

if TYPE_CHECKING:
    from pullmatte.models.conversion_report import ConversionReport, ConvertOptions

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Fetched:
    """A file in the hub's cache.

    Attributes:
        path: Where it is.
        sha256: Its hash, compared with the hub's.
        verified: Whether the hub stated a hash to compare it with.
        downloaded: Whether it was fetched now; else it was in the cache already.
    """

    path: Path
    sha256: str
    verified: bool
    downloaded: bool

    @property
    def commit(self) -> str:
        """The hub's commit, after which the cache names the file's folder."""
        return self.path.parent.name


def fetch(source: HubSource, *, quiet: bool = False) -> Fetched:
    """Get the checkpoint, from the cache if it is there; an interrupted download goes on.

    Args:
        source: What to fetch.
        quiet: Without the hub library's progress bar.

    Raises:
        DownloadError: If it can't be had, or isn't what the hub says it is.
        MissingDependency: If huggingface_hub isn't installed.
    """
    hub = _library()
    cached = hub.try_to_load_from_cache(source.repo, source.filename, revision=source.revision)
    with _speaking_plainly(source), _bars(hub, quiet=quiet):
        if isinstance(cached, str):
            path, expected, downloaded = Path(cached), Path(cached).resolve().name, False
            sha256 = _hash(path)
        else:
            path, expected, sha256 = _download(hub, source)
            downloaded = True
    expected = source.sha256 or expected
    verified = _SHA256.fullmatch(expected) is not None
    if verified and sha256 != expected:
        raise DownloadError(
            f"{path}: sha256 is {sha256[:12]}..., the hub says {expected[:12]}...: delete it and "
            "pull again"
        )
    return Fetched(path, sha256, verified, downloaded)


def fetch_companion(source: HubSource, filename: str, commit: str) -> Path | None:
    """Get a small file of the same commit; None if there is none, or no connection.

    Raises:
        MissingDependency: If huggingface_hub isn't installed.
    """
    hub = _library()
    try:
        with _bars(hub, quiet=True):
            return Path(hub.hf_hub_download(source.repo, filename, revision=commit))
    except Exception:  # Whatever it is, the checkpoint's shapes tell the same.
        return None


def fetch_model(spec: ModelSpec, *, captions: bool = False, quiet: bool = False) -> Fetched:
    """Get a model's released checkpoint, and the small files that belong to it.

    Args:
        spec: The model.
        captions: Whether also what captions need.
        quiet: Without progress bars.

    Raises:
        UnknownModel: If the model has no weights, or none that can be fetched.
        DownloadError: If the checkpoint can't be had.
        WriteError: If the weights are there already, or there is no room.
        MissingDependency: If huggingface_hub isn't installed.
    """
    source = require_source(spec)
    check_absent(spec)
    fetched = fetch(source, quiet=quiet)
    for filename in source.configs + (source.tokenizer if captions else ()):
        fetch_companion(source, filename, fetched.commit)
    return fetched


def require_source(spec: ModelSpec) -> HubSource:
    """Return where a model's weights can be fetched.

    Raises:
        UnknownModel: If it has no weights, or none that can be fetched.
    """
    if spec.hub is None:
        raise unknown_name(spec.name)
    return spec.hub


def check_absent(spec: ModelSpec) -> None:
    """Refuse to fetch what is there.

    Raises:
        WriteError: If the model's folder is there already.
    """
    destination = model_folder(spec)
    if destination.exists():
        raise WriteError(f"{spec.name} is at {destination} already: remove that to fetch it again")


def install(
    spec: ModelSpec,
    fetched: Fetched,
    options: "ConvertOptions",
    *,
    keep_source: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> "ConversionReport":
    """Convert what was fetched into the folder for weights.

    Args:
        spec: The model.
        fetched: Its checkpoint.
        options: How to convert.
        keep_source: Leave the checkpoint in the hub's cache; one that was there before stays
            in any case.
        progress: Told how far it is.

    Raises:
        WeightsError: If the checkpoint can't be used.
        WriteError: If the weights are there already, or there is no room.
    """
    assert spec.hub is not None
    origin = f"{spec.hub.page} {fetched.commit}" + ("" if fetched.verified else " (unverified)")
    known = replace(options, source_sha256=fetched.sha256, origin=origin)
    destination = model_folder(spec)
    report: ConversionReport = converter(spec)(fetched.path, destination, spec, known, progress)
    if fetched.downloaded and not keep_source:
        blob = fetched.path.resolve()
        fetched.path.unlink()
        blob.unlink(missing_ok=True)
    return report


def converter(spec: ModelSpec) -> Callable[..., Any]:
    """Return the function that converts a model's released weights.

    Raises:
        UnknownModel: If it has none.
        MissingDependency: If what it needs isn't installed.
    """
    if not spec.converter:
        raise unknown_name(spec.name)
    module, _, function = spec.converter.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise missing_extra() from error
    return found


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise missing_extra() from error
    return huggingface_hub


def _download(hub: Any, source: HubSource) -> tuple[Path, str, str]:
    """Fetch into the cache, going on where an earlier try stopped.

    Returns:
        Where it is, the hash that the hub states, and its own.
    """
    from filelock import FileLock

    where = {"repo_id": source.repo, "filename": source.filename, "revision": source.revision}
    url = hub.hf_hub_url(**where)
    metadata = hub.get_hf_file_metadata(url)
    etag, size = metadata.etag or "", metadata.size
    found = ""
    if _SHA256.fullmatch(etag):
        cache, name = Path(hub.constants.HF_HUB_CACHE), f"models--{source.repo.replace('/', '--')}"
        blob, lock = cache / name / "blobs" / etag, cache / ".locks" / name / f"{etag}.lock"
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            if not blob.exists():
                _transfer(hub, url, blob, size)
                found = etag
    path = Path(hub.hf_hub_download(**where))
    return path, etag, found or _hash(path)


def _transfer(hub: Any, url: str, blob: Path, size: int | None) -> None:
    """Fetch a file; what is there of it already isn't fetched again."""
    from huggingface_hub.file_download import http_get

    partial = blob.with_name(f"{blob.name}.incomplete")
    done = partial.stat().st_size if partial.exists() else 0
    if size is not None and done > size:
        partial.unlink()
        done = 0
    free = shutil.disk_usage(blob.parent).free
    if size is not None and size - done > free:
        raise WriteError(
            f"can't write {blob.parent}: {(size - done) / 1e9:.1f} GB are to come, "
            f"{free / 1e9:.1f} GB are free; free some space, or set HF_HOME to another disk"
        )
    with partial.open("ab") as file:
        http_get(
            url,
            file,
            resume_size=done,
            headers=hub.utils.build_hf_headers(),
            expected_size=size,
        )
    found = _hash(partial)
    if found != blob.name:
        partial.unlink()
        raise DownloadError(
            f"{url}: what came has sha256 {found[:12]}..., the hub says {blob.name[:12]}...: it "
            "was thrown away; pull again"
        )
    os.replace(partial, blob)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _bars(hub: Any, *, quiet: bool) -> Iterator[None]:
    """Hide the library's progress bars for a while, unless they are hidden for good."""
    utils = hub.utils
    hide = quiet and not utils.are_progress_bars_disabled()
    if hide:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            utils.enable_progress_bars()


@contextmanager
def _speaking_plainly(source: HubSource) -> Iterator[None]:
    """Turn the library's errors, and those of whatever HTTP client it uses, into ours."""
    wanted = f"{source.repo} {source.filename}"
    try:
        yield
    except PullmatteError:
        raise
    except Exception as error:
        raise DownloadError(f"can't fetch {wanted}: {_reason(error, source)}") from error


def _reason(error: Exception, source: HubSource) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "OfflineModeIsEnabled" in names:
        return "HF_HUB_OFFLINE is set, and it isn't in the cache; unset it, or copy the cache here"
    if "Timeout" in names and "FileLock" not in names and type(error).__module__[:8] == "filelock":
        return "another process is fetching it; wait for that one"
    if "GatedRepoError" in names or status in (401, 403):
        return f"the hub wants a login or consent; see {source.page}, then set HF_TOKEN"
    if names & {"RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError"}:
        return f"the hub has no such file at revision {source.revision!r}; see {source.page}"
    if status is not None:
        return f"the hub answered with {status}; try again later"
    said = " ".join(str(error).split())[:160] or type(error).__name__
    return f"{said}; check the connection and pull again: what came is kept"
