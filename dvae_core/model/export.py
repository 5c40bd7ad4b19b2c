"""Takes a trained model out of a run: weights as safetensors, networks as ONNX."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import tomli_w
import torch
from torch import Tensor, nn

from dvae_core.errors import more_packages
from dvae_core.files import write_atomically
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.recipe.recipe import Recipe

OPSET = 18


class _Encoder(nn.Module):
    """Images to mean and log_var."""

    def __init__(self, model: GuidedVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.encode(images)


class _Decoder(nn.Module):
    """Latent points, and labels for a decoder that takes them, to images in [0, 1]."""

    def __init__(self, model: GuidedVAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.model.reconstruction.image(self.model.decode(z, labels))
        return images


def export(model: GuidedVAE, recipe: Recipe, run: str, folder: Path) -> list[Path]:
    """Write model.safetensors (with the recipe inside), encoder.onnx and decoder.onnx.

    `run` is the name of the run that trained it.

    The ONNX networks take any number of images [B, C, H, W] or latent points [B, D]; a conditional
    decoder labels [B] beside them, -1 for none.

    Raises:
        DvaeError: the packages that this needs are not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        from safetensors.torch import save
    except ImportError as error:
        raise more_packages("export", "export", error) from error

    folder.mkdir(parents=True, exist_ok=True)
    model = copy.deepcopy(model).to("cpu").eval()
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    about = {
        "recipe": tomli_w.dumps(recipe.to_table()),
        "run": run,
        "classes": json.dumps(model.classes),
        "image_shape": json.dumps(model.image_shape),
    }
    written = [folder / "model.safetensors", folder / "encoder.onnx", folder / "decoder.onnx"]
    write_atomically(written[0], save(weights, metadata=about))
    examples = {"images": torch.zeros(2, *model.image_shape)}
    _write_onnx(_Encoder(model), examples, written[1], ["mean", "log_var"])
    examples = {"z": torch.zeros(2, model.latent_dim)}
    if model.conditional:
        examples["labels"] = torch.tensor([0, -1])
    _write_onnx(_Decoder(model), examples, written[2], ["images"])
    return written


def _write_onnx(
    network: nn.Module, examples: dict[str, Tensor], file: Path, outputs: list[str]
) -> None:
    # The exporter warns of a name for a second input that must be as long as the first.
    sizes = [torch.export.Dim("batch"), *[torch.export.Dim.DYNAMIC] * (len(examples) - 1)]
    program = torch.onnx.export(
        network.eval(),
        tuple(examples.values()),
        input_names=list(examples),
        output_names=outputs,
        opset_version=OPSET,
        dynamic_shapes=tuple({0: size} for size in sizes),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    write_atomically(file, program.model_proto.SerializeToString())
