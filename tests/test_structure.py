"""The house rules that a reader relies on: which room may import which, sizes, names, docs."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import pullmatte

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "pullmatte"
FILES = sorted(SOURCE.rglob("*.py"))

# Everyone may import these; of them only prompts and matte import something: see LAZY.
COMMON = {"errors", "prompts", "matte"}
SESSIONS = {"sessions", "models"}
JOBS = {"jobs", "io", *SESSIONS}
EVAL = {"eval", "data", "io", *SESSIONS}
TRAIN = {"train", "data", "models", "nn"}
ENTRY = JOBS | EVAL | TRAIN | {"export"}
MAY_IMPORT = {
    "": {"errors", "io", "matte", "models", "prompts", "sessions"},
    "errors": set(),
    "prompts": {"prompts", "errors"},
    "matte": {"errors", "prompts"},
    "io": {"io", *COMMON},
    "nn": {"nn", "errors"},
    "models": {"models", "nn", "prompts", "errors"},
    "sessions": SESSIONS | COMMON,
    "jobs": JOBS | COMMON,
    "data": {"data", "io", *COMMON},
    "train": TRAIN | COMMON,
    "eval": EVAL | COMMON,
    "export": {"export", "models", "nn", *COMMON},
    "batch": {"batch", *JOBS, *COMMON},
    "web": {"web", *JOBS, *COMMON},
    "cli": {"cli", "web", "batch", *ENTRY, *COMMON},
}
# Saving is offered where the result is held: only when it is called.
LAZY = {"prompts": {"io"}, "matte": {"io"}}
FREE = {"testing"}


def room_of(module: str) -> str:
    """``pullmatte.io.image`` → ``io``; the package itself → ``""``."""
    return module.split(".")[1] if "." in module else ""


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[tuple[str, bool, int]]:
    """Yield room, whether it is inside a function, and line of every import of our own."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node, lazy in _imports(tree_of(path), lazy=False):
        for name in _imported(node, package):
            if name.partition(".")[0] == "pullmatte":
                yield room_of(name), lazy, node.lineno


def _imports(node: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _imports(child, lazy=lazy or inside)


def _imported(node: ast.Import | ast.ImportFrom, package: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
    module = ".".join(part for part in (base, node.module) if part)
    if module != "pullmatte":
        return [module]
    # Of the package itself: a room, or a public name that lives in one.
    homes = pullmatte._HOME
    names = [alias.name for alias in node.names if alias.name != "__version__"]
    return [homes.get(name, f"pullmatte.{name}") for name in names]


def broken_arrows(path: Path) -> list[str]:
    room = room_of(module_of(path))
    if room in FREE:
        return []
    assert room in MAY_IMPORT, f"{room} is no room of the design: add its arrows here"
    shown = path.relative_to(SOURCE)
    return [
        f"{shown}:{line}: {room} imports {target}"
        for target, lazy, line in imports_of(path)
        if target not in MAY_IMPORT[room] | (LAZY.get(room, set()) if lazy else set())
    ]


def test_arrows_point_one_way() -> None:
    assert FILES
    assert [broken for path in FILES for broken in broken_arrows(path)] == []


def test_arrow_test_sees_every_kind_of_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "pullmatte"
    (source / "io").mkdir(parents=True)
    monkeypatch.setitem(globals(), "SOURCE", source)
    path = source / "io" / "bad.py"
    path.write_text(
        "import pullmatte.jobs.image\n"
        "from pullmatte import load, sessions, __version__, PullmatteError\n"
        "from ..models import MODELS\n"
        "from . import png\n"
        "def f():\n    from pullmatte.eval import run\n"
        "class A:\n    async def g(self):\n        import pullmatte.cli as c\n"
    )
    assert [each.rpartition(" ")[2] for each in broken_arrows(path)] == [
        "jobs", "sessions", "sessions", "models", "eval", "cli"
    ]  # fmt: skip


def test_only_batch_imports_ray() -> None:
    users = {
        room_of(module_of(path))
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(
            name.partition(".")[0] == "ray"
            for name in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        )
    }
    assert users <= {"batch"}


@pytest.mark.parametrize(
    "room", ["io", "eval", "data", "jobs", "cli", "prompts", "errors", "matte"]
)
def test_room_is_free_of_torch_at_import(room: str) -> None:
    allowed = {"cli/doctor.py"}
    for path in FILES:
        shown = path.relative_to(SOURCE).as_posix()
        if room_of(module_of(path)) == room and shown not in allowed:
            assert "import torch" not in path.read_text(encoding="utf-8"), shown


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_have_at_most_400_lines() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert {p.relative_to(SOURCE).as_posix(): n for p, n in lengths.items() if n > 400} == {}


def test_functions_have_at_most_60_lines() -> None:
    long = [
        f"{path.relative_to(SOURCE)}:{node.lineno}: {node.name}"
        for path in FILES
        for node in functions_of(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > 60
    ]
    assert not long, "\n".join(long)


def public_parts(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield public classes, functions and methods, without what lies inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not child.name.startswith("_"):
                yield f"{prefix}{child.name}", child
                if isinstance(child, ast.ClassDef):
                    yield from public_parts(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try):
            yield from public_parts(child, prefix)


def is_property_setter(node: ast.AST) -> bool:
    return any(
        isinstance(d, ast.Attribute) and d.attr in ("setter", "deleter")
        for d in getattr(node, "decorator_list", [])
    )


def test_public_parts_are_documented() -> None:
    bare = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path in FILES
        for name, node in public_parts(tree_of(path), "")
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not ast.get_docstring(node)
        and not is_property_setter(node)
    ]
    undocumented = [str(p.relative_to(SOURCE)) for p in FILES if not ast.get_docstring(tree_of(p))]
    assert bare + undocumented == []


def test_functions_are_fully_annotated() -> None:
    bare = []
    for path in FILES:
        for node in functions_of(path):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [a for a in (node.args.vararg, node.args.kwarg) if a]
            named = [a for a in arguments if a.arg not in ("self", "cls")]
            if node.returns is None or any(a.annotation is None for a in named):
                bare.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {node.name}")
    assert not bare, "\n".join(bare)


BANNED_NAMES = {"pha", "fgr", "com", "aux", "trans"}


def identifiers_of(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(path)):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 0)


def test_names_are_whole_words() -> None:
    bad = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in FILES
        for name, line in identifiers_of(path)
        if BANNED_NAMES & set(name.lower().split("_"))
    ]
    assert not bad, "\n".join(bad)
    assert not [p.name for p in FILES if re.fullmatch(r"utils?\d*|helpers?\d*|misc", p.stem)]


# Spelled in parts, so that this file passes its own test.
MACHINE_PATH = re.compile(r"(?<![\w.}/])/(?:wo" r"rk|ho" r"me|Us" r"ers|ro" r"ot)/[\w.-]+")
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".cfg", ".yml", ".yaml", ".sh", ".csv", ".html", ""}
SKIPPED = {".git", ".venv", "build", "dist", "demo", "__pycache__"}


def repo_texts() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(p.endswith(("_cache", ".egg-info")) for p in parts)
        if path.is_file() and not hidden and not SKIPPED & set(parts) and path.suffix in TEXT:
            yield path


def test_no_text_names_a_path_of_one_machine() -> None:
    found = []
    for path in repo_texts():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in MACHINE_PATH.finditer(text)]
    assert not found, "\n".join(found)
