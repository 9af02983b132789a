"""What each model weighs and costs: `plumb bench --model`, one thread, one input at a time."""

from __future__ import annotations

from . import pictures
from .figures import table
from .program import Program

BUDGETS = {"ebike": ("15 ms a frame", "10 MB"), "verifier": ("2 ms a track and frame", "-")}


def run(program: Program) -> dict:
    """Measures the shipped models, and in the same minute their fp32 and int8 forms where training left them."""
    lines, figures = [], {}
    for name in ("ebike", "verifier"):
        forms = [("shipped", program)]
        for form in ("fp32", "int8"):
            file = pictures.TRIED / "precision" / form / f"{name}.onnx"
            if file.exists():
                forms.append((form, program.with_model(name, file)))
        for form, asked in forms:
            cost = asked.cost(name)
            figures[f"{name} {form}"] = cost
            lines.append([name, form, f"{cost['size_bytes'] / 1e6:.2f} MB", f"{cost['ms_p50']:.2f} ms", f"{cost['ms_p95']:.2f} ms", *BUDGETS[name], asked.model_hash(name)[:12]])
    return {"markdown": "`plumb bench --model NAME`: the model alone on one thread, one input at a time, processor time; what it takes hangs on the machine and on what else that does.\n\n"
            + table(["model", "form", "size", "median", "19 in 20 within", "time allowed", "size allowed", "SHA-256"], lines), "figures": figures}
