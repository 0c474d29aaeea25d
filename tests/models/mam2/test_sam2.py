"""What is used of `transformers` is there, in the one version that pyproject allows."""

import ast
import tomllib
from functools import reduce
from importlib.metadata import version
from pathlib import Path

import torch
from packaging.requirements import Requirement
from transformers import Sam2VideoModel

from pullmatte.models.mam2 import sam2
from pullmatte.models.mam2.config import MINIATURE
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.mam2.transformers_config import transformers_config

ROOT = Path(__file__).resolve().parents[3]


def test_private_names_exist_at_transformers() -> None:
    with torch.device("meta"):
        model = Sam2VideoModel(transformers_config(MINIATURE.sam2))
    names = sam2.PRIVATE_NAMES.split()
    assert len(names) > 30
    for name in names:
        assert reduce(getattr, name.split("."), model) is not None, name


def test_every_attribute_of_a_model_that_is_used_is_listed() -> None:
    """A dotted name that starts at `model.` or at a part of it leads into `transformers`."""
    listed = {part for name in sam2.PRIVATE_NAMES.split() for part in name.split(".")}
    tree = ast.parse(Path(sam2.__file__).read_text(encoding="utf-8"))
    roots = {"model", "encoder", "decoder", "attention"}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in roots
    }
    public = {"config", "memory_attention", "memory_encoder", "prompt_encoder"}
    assert used - listed - public == set()


def test_installed_version_is_in_the_range_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = project["project"]["dependencies"]
    needed = next(r for r in map(Requirement, lines) if r.name == "transformers")
    assert needed.specifier.contains(version("transformers"))
    assert not needed.specifier.contains("5.24.0"), "private names may have changed"


def test_only_one_file_imports_private_modules() -> None:
    folder = Path(sam2.__file__).parent
    users = [p.name for p in folder.glob("*.py") if "modeling_sam2" in p.read_text("utf-8")]
    assert users == ["sam2.py"]


def test_constants_are_restored_after_meta() -> None:
    fresh = MAM2Network(MINIATURE)
    with torch.device("meta"):
        empty = MAM2Network(MINIATURE)
    empty.load_state_dict(fresh.state_dict(), assign=True)
    sam2.restore_constants(empty.sam2)
    pairs = zip(empty.named_buffers(), fresh.named_buffers(), strict=True)
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


def test_bfloat16_leaves_clicks_and_rotary_code_exact(make_network) -> None:
    network = make_network()
    network.run_in(torch.bfloat16)
    kinds = {name: value.dtype for name, value in network.named_buffers()}
    assert network.dtype == torch.bfloat16
    assert kinds.pop("sam2.memory_attention.position_ids") == torch.int64
    assert set(kinds.values()) == {torch.float32}
    assert network.decoder.iou_token.weight.dtype == torch.float32
    frame = network.encode(torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)))
    assert (frame.top.dtype, frame.fine.dtype) == (torch.bfloat16, torch.float32)


def test_gradients_reach_everything_but_constants(make_network) -> None:
    network = make_network().requires_grad_(True)
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    decoded = network(image, torch.tensor([[[90.0, 80.0]]]), torch.tensor([[1]]))
    (decoded.mask_logits.mean() + decoded.trimap_logits.square().mean()).backward()
    parts = (network.sam2.vision_encoder, network.decoder.trimap_branch)
    assert all(p.grad is not None for part in parts for p in part.parameters())
