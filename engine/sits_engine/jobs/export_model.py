"""A model for other programs: ONNX with its card, and a STAC item that describes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import Job, JobResult, claim_outputs, existing
from sits_engine.jobs.map_outputs import check_suffix


class ExportModel(Job):
    """Write the network of a model as ONNX, checked against PyTorch, and its card as STAC item on wish."""

    title: ClassVar[str] = "Export model"

    model: Path = Field(description="model (.safetensors)")
    output: Path = Field(description="network (.onnx) with the card in its metadata")
    stac: Path | None = Field(None, description="STAC item (.json) with the MLM extension")
    fast: bool = Field(False, description="the fast network that the model file holds beside the full one")

    def run(self, ctx: JobContext) -> JobResult:
        """Read the model, export it, compare, describe."""
        from sits_engine.models.export.mlm import mlm_item
        from sits_engine.models.export.onnx_export import export_onnx
        from sits_engine.models.model_file import load_fast, load_model
        from sits_engine.outputs import atomic

        existing(self.model, "Model")
        output = _with_ending(self.output, ".onnx")
        stac = None if self.stac is None else _with_ending(self.stac, ".json")
        claim_outputs((output, stac), (self.model,))
        ctx.progress(0.02, "Reading the model")
        module, card = (load_fast if self.fast else load_model)(self.model)
        exported = export_onnx(output, module, card, tick=ctx.part(0.1, 0.95, "Exporting and comparing"))
        for port in (*exported.form.inputs, exported.form.output):
            sizes = zip(port.axes, port.shape, strict=True)
            shape = ", ".join(axis if length < 0 else f"{axis} {length}" for axis, length in sizes)
            what = "Output" if port is exported.form.output else "Input"
            ctx.info(f"{what} '{port.name}' ({port.data_type}; {shape}): {port.meaning}.")
        size = output.stat().st_size
        ctx.info(
            f"{output.name}: {size / 1e6:.2f} MB, operators of version {exported.opset}. ONNX Runtime "
            f"and PyTorch differ by {exported.difference:.1g} at most on {exported.tries} random inputs."
        )
        outputs = {"output": str(output)}
        if stac is not None:
            with atomic(stac) as temporary:
                item = mlm_item(stac, output, self.model, card, exported)
                text = json.dumps(item, ensure_ascii=False, indent=1)
                temporary.write_text(text + "\n", encoding="utf-8")
            outputs["stac"] = str(stac)
        ctx.progress(1.0, "Done")
        return JobResult(
            outputs=outputs,
            scores={
                "difference": exported.difference,
                "opset": exported.opset,
                "parameters": exported.parameters,
                "bytes": size,
                "inputs": ", ".join(port.name for port in exported.form.inputs),
            },
        )


def _with_ending(path: Path, ending: str) -> Path:
    """`path`, with the ending where it has none; InputError where it has another one."""
    if not path.suffix:
        return path.with_name(path.name + ending)
    check_suffix(path, ending)
    return path
