"""A checkpoint as its authors released it: a pickle that must not run code, or safetensors.

Pickles of trainers hold objects of classes that need not be installed here, nor should they run.
torch reads them with ``weights_only=True``, which builds tensors and plain containers alone; what
it doesn't know is replaced by inert stand-ins of the same name. Only code names that a harmless
checkpoint has no use for make us refuse the file.
"""

import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from pullmatte.errors import WeightsError
from pullmatte.models.shards import header_fault, read_header, tensor_fault

if TYPE_CHECKING:
    from torch import Tensor

_NESTS = ("model", "state_dict", "model_state_dict", "module")
_FILLING = re.compile("SETITEM|append|extend")
_COMMAND_MODULES = frozenset((
    "os", "posix", "nt", "sys", "subprocess", "pty", "socket", "shutil", "runpy", "importlib",
    "webbrowser", "ctypes", "code", "pdb", "asyncio", "multiprocessing", "signal", "pickle",
    "_pickle", "cloudpickle", "dill",
    "commands", "popen2", "cPickle",  # as Python 2, whose names torch.save writes, called them
))  # fmt: skip
# The number 0x1950a86a20f9469cfc6c, pickled, with which torch.save began before version 1.6.
_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"
_HEAD_BYTES = 64
_SHOWN = 6
_COMMAND_NAMES = frozenset(("eval", "exec", "compile", "__import__", "breakpoint"))


class _Inert:
    """Takes the place of any object; whatever is done with it does nothing."""

    def __new__(cls, *given: object, **named: object) -> "_Inert":
        return object.__new__(cls)

    def __init__(self, *given: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


# What torch lets a pickle fill with items is exactly these.
_CONTAINERS: dict[str, type[Any]] = {
    "collections.defaultdict": OrderedDict,
    "collections.deque": list,
}


class ReleasedFile:
    """A released checkpoint, mapped into memory and never read as a whole.

    Attributes:
        path: The file.
        shapes: The shape of each tensor, by the name that it has in the file.
        faults: Why a tensor can't be a weight; empty where it can.
    """

    def __init__(self, path: Path) -> None:
        """Look what is in it.

        Raises:
            WeightsError: If it can't be read, holds no weights, or code that could do harm.
        """
        self.path = path
        if not path.is_file():
            raise WeightsError(f"{path}: no such file; give the checkpoint that you downloaded")
        if path.suffix == ".safetensors":
            header = {n: entry for n, entry in read_header(path).items() if n[:2] != "__"}
            self.shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
            self.faults = {name: header_fault(entry) for name, entry in header.items()}
        else:
            with self._pickled() as tensors:
                self.faults = {name: tensor_fault(value) for name, value in tensors.items()}
                self.shapes = {n: _shape(value) for n, value in tensors.items()}
        if not self.shapes:
            raise WeightsError(f"{path}: holds no tensors; give a checkpoint")

    @contextmanager
    def open(self) -> Iterator[Mapping[str, "Tensor"]]:
        """Map the tensors; opened once more for each shard, so that read pages are given back.

        Yields:
            Tensors by the names that they have in the file; don't keep them.
        """
        if self.path.suffix == ".safetensors":
            from safetensors import SafetensorError, safe_open

            try:
                with safe_open(self.path, framework="pt") as file:
                    yield _Lazy(file, self.shapes)
            except SafetensorError as error:
                said = " ".join(str(error).split())
                raise WeightsError(f"{self.path}: can't be read: {said}; fetch it again") from error
        else:
            with self._pickled() as tensors:
                yield tensors

    @contextmanager
    def _pickled(self) -> Iterator[dict[str, "Tensor"]]:
        tensors = _find_weights(_unpickle(self.path), self.path)
        try:
            yield tensors
        finally:
            tensors.clear()


class _Lazy(Mapping[str, "Tensor"]):
    """Tensors of a safetensors file, each read when it is asked for."""

    def __init__(self, file: Any, names: Mapping[str, object]) -> None:
        self._file, self._names = file, names

    def __getitem__(self, name: str) -> "Tensor":
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _unpickle(path: Path) -> object:
    """Read a pickle with ``weights_only``; nothing of what it names is imported or called."""
    import torch

    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if _MAGIC in file.read(_HEAD_BYTES):
                raise WeightsError(
                    f"{path}: the form that torch.save wrote before version 1.6: load and save it "
                    "once with torch >= 1.6, then convert what you saved"
                )
        raise WeightsError(
            f"{path}: no checkpoint that torch.save wrote in its present form, or cut short; "
            "compare its size with the original's"
        )
    try:
        unknown = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        _refuse_commands(unknown, path)
        return _build(path, unknown)
    except (UnpicklingError, RuntimeError, ValueError, LookupError, TypeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: no checkpoint that can be read safely: {reason}") from error
    except (OSError, AttributeError, AssertionError) as error:
        raise WeightsError(f"{path}: can't be read: {' '.join(str(error).split())}") from error


def _build(path: Path, unknown: Sequence[str]) -> object:
    """Load with stand-ins; those that turn out to be containers become plain ones."""
    import torch

    kinds = {name: _CONTAINERS[name] for name in unknown if name in _CONTAINERS}
    while True:
        stand_ins = [_stand_in(name, kinds.get(name)) for name in unknown]
        try:
            with torch.serialization.safe_globals(stand_ins):
                loaded: object = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except UnpicklingError as error:
            said = str(error)
            name = next((n for n in unknown if f"'{n}'" in said and n not in kinds), None)
            if name is None or not _FILLING.search(said):
                raise
            kinds[name] = OrderedDict if "SETITEM" in said else list
        else:
            return loaded


def _refuse_commands(names: Sequence[str], path: Path) -> None:
    for name in names:
        module, _, last = name.rpartition(".")
        builtin = module in ("builtins", "__builtin__")
        if module.partition(".")[0] in _COMMAND_MODULES or (builtin and last in _COMMAND_NAMES):
            raise WeightsError(
                f"{path}: names {name}, which can run commands and has no place in a checkpoint: "
                "nothing was run; get the file from its authors"
            )


def _stand_in(full_name: str, container: type[Any] | None) -> Any:
    """Make what torch takes for the thing of that name: inert, or an empty plain container."""
    module, _, name = full_name.rpartition(".")
    whose: dict[str, Any] = {"__module__": module, "__qualname__": name}
    if container is not None:
        whose["__new__"] = lambda cls, *given: container()
    return type(name, (_Inert,), whose)


def _find_weights(loaded: object, path: Path) -> dict[str, "Tensor"]:
    """Unwrap ``{"model": ...}`` and its like."""
    from torch import Tensor

    for _ in range(3):
        if not isinstance(loaded, Mapping):
            break
        inner = next((loaded[n] for n in _NESTS if isinstance(loaded.get(n), Mapping)), None)
        if inner is None:
            found = {str(n): v for n, v in loaded.items() if isinstance(v, Tensor)}
            if not found:
                raise WeightsError(
                    f"{path}: holds no tensors by name where they should be, nor under "
                    f"{', '.join(_NESTS)}; it holds {_listed(loaded)}: save the part that has them"
                )
            return found
        loaded = inner
    raise WeightsError(f"{path}: expected tensors by name, found {type(loaded).__name__}")


def _listed(loaded: Mapping[object, object]) -> str:
    keys = [repr(key)[:40] for key in list(loaded)[:_SHOWN]]
    return ", ".join([*keys, "..."] if len(loaded) > _SHOWN else keys) or "nothing"


def _shape(values: "Tensor") -> tuple[int, ...]:
    return () if values.is_nested else tuple(values.shape)
