"""From a trained network to a folder that `pullmatte.load` reads."""

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pullmatte.models import MODELS
from pullmatte.models.mam2.config import SIZES
from pullmatte.models.mam2.lora import merge_lora
from pullmatte.models.mam2.network import MAM2Network
from pullmatte.models.weights import CONFIG, MANIFEST
from pullmatte.models.whole_folder import appearing
from pullmatte.train.settings import LoopSettings

_WEIGHTS = "model.safetensors"


def export_folder(
    folder: Path,
    model: str,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    settings: LoopSettings,
) -> None:
    """Write a model's folder; one that an earlier export left there is replaced.

    Args:
        folder: Where.
        model: A name of `MODELS`, for whose code the tensors are.
        config: The network's, as its `to_dict` gives it.
        weights: Its state dict.
        settings: What it was trained with; kept in the manifest.

    Raises:
        WriteError: If it can't be written.
    """
    from safetensors.torch import save_file

    spec = MODELS[model]
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    if (folder / MANIFEST).is_file():
        shutil.rmtree(folder)
    with appearing(folder, sum(value.nbytes for value in tensors.values())) as (place, _):
        save_file(tensors, place / _WEIGHTS, {"format": "pt", "model": model})
        digest = hashlib.sha256((place / _WEIGHTS).read_bytes()).hexdigest()
        manifest = {
            "version": 1,
            "model": model,
            "made_by": "pullmatte train",
            "dtype": str(next(iter(tensors.values())).dtype).removeprefix("torch."),
            "tensors": len(tensors),
            "parameters": sum(value.numel() for value in tensors.values()),
            "licence": spec.terms,
            "links": list(spec.links),
            "training": settings.to_dict(),
            "sha256": {_WEIGHTS: digest},
        }
        for name, record in ((CONFIG, config), (MANIFEST, manifest)):
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            (place / name).write_text(text, encoding="utf-8")
        (place / "LICENSE.md").write_text(
            f"# Licence of these weights\n\nTrained by `pullmatte train` from weights of "
            f"{spec.name}: {spec.terms}. Your own training data may add terms.\n",
            encoding="utf-8",
        )


def export_mam2(
    network: MAM2Network, weights: Mapping[str, Tensor], folder: Path, settings: LoopSettings
) -> None:
    """Write a MAM2 network with its LoRA merged; for the arguments see `export_folder`."""
    merged = copy.deepcopy(network)
    merged.load_state_dict(dict(weights))
    merge_lora(merged)
    export_folder(
        folder, _size_of(network), network.config.to_dict(), merged.state_dict(), settings
    )


def _size_of(network: MAM2Network) -> str:
    """Return the model whose size a network has; one of no known size counts as the least."""
    named = [name for name, size in SIZES.items() if size == network.config.sam2]
    return f"mam2-{(named or ['tiny'])[0].replace('_', '-')}"
