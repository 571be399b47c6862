"""What a run needs to go on: the trained weights, the optimizer's moments, the step. One file, whole or not there.

Nothing else is needed, because everything random in a step comes from (seed, step): batches, dropout, augmentation. A
run that was killed at any moment and goes on from its last state ends with the weights of a run that was not.

The frozen parts are not in it: a state of the 7B model's branch is 0.3 GB, not 20.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from minivl import atomic
from minivl.errors import InputError, WeightsError
from minivl.recipes import Recipe

FILE = "state.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0  # steps done
    seconds: float = 0.0
    loss: Tensor = field(default_factory=lambda: torch.empty(0))  # [step], float32


def save_state(
    accelerator: Accelerator, trained: nn.Module, optimizer: Any, progress: Progress, recipe: Recipe, folder: Path
) -> None:
    """Write the state of a run. To be called by all processes; the first one writes.

    Raises OSError (disk full, folder not writable); the state that was there stays.
    """
    # Also gathers what FSDP has spread over several GPUs.
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, moments = get_state_dict(trained, optimizer.optimizer, options=options)
    if not accelerator.is_main_process:
        return
    tensors: dict[str, Any] = {f"weight/{name}": tensor for name, tensor in weights.items()}
    states: dict[str, Any] = moments["state"]  # type: ignore[assignment]
    for name, values in states.items():
        tensors |= {f"{moment}/{name}": torch.as_tensor(values[moment]).cpu() for moment in MOMENTS}
    tensors["loss"] = progress.loss
    scaler = accelerator.scaler.state_dict() if accelerator.scaler else {}
    told = {"step": progress.step, "seconds": progress.seconds, "recipe": asdict(recipe), "scaler": scaler}
    metadata = {key: json.dumps(value) for key, value in told.items()}
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    atomic.replace(folder / FILE, lambda path: save_file(whole, path, metadata))


def load_state(accelerator: Accelerator, trained: nn.Module, optimizer: Any, recipe: Recipe, folder: Path) -> Progress:
    """Put the state of `folder` into the trained module and the optimizer; without one, a fresh start.

    Raises InputError if the folder holds a run with another recipe or branch, WeightsError for a damaged file.
    """
    file = folder / FILE
    if not file.is_file():
        return Progress()
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}
            told = {key: json.loads(value) for key, value in opened.metadata().items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{file} is damaged: delete it to start anew, or choose another folder.") from error
    if told["recipe"] != json.loads(json.dumps(asdict(recipe))):
        raise InputError(f"{folder} holds a run with another recipe: choose another folder, or delete {file}")
    parts = {part: _under(part, tensors) for part in ("weight", *MOMENTS)}
    options = StateDictOptions(full_state_dict=True)
    now, settings = get_state_dict(trained, optimizer.optimizer, options=options)
    if {k: v.shape for k, v in now.items()} != {k: v.shape for k, v in parts["weight"].items()}:  # type: ignore[union-attr]
        raise InputError(f"{folder} holds the run of another branch or model: choose another folder, or delete {file}")
    moments: Any = {name: {moment: parts[moment][name] for moment in MOMENTS} for name in parts["weight"]}
    state: Any = {"state": moments, "param_groups": settings["param_groups"]}
    weights: Any = parts["weight"]
    set_state_dict(trained, optimizer.optimizer, model_state_dict=weights, optim_state_dict=state, options=options)
    if accelerator.scaler and told["scaler"]:
        accelerator.scaler.load_state_dict(told["scaler"])
    return Progress(told["step"], told["seconds"], tensors["loss"])


def _under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
