"""What each model weighs and costs: `plumb bench --model`, one thread, one input at a time."""

from __future__ import annotations

from . import pictures
from .figures import table
from .program import Program

BUDGETS = {"ebike": (15.0, "a frame", 10e6), "verifier": (2.0, "a track and frame", None)}  # milliseconds, bytes


def run(program: Program) -> dict:
    """Measures the shipped models, and in the same minute their fp32 and int8 forms where training left them."""
    lines, aims = [], []
    for name, (budget_ms, each, budget_bytes) in BUDGETS.items():
        forms = [("shipped", program)]
        for form in ("fp32", "int8"):
            file = pictures.TRIED / "precision" / form / f"{name}.onnx"
            if file.exists():
                forms.append((form, program.with_model(name, file)))
        for form, asked in forms:
            cost, size = asked.cost(name), asked.model_file(name).stat().st_size
            lines.append([name, form, f"{size / 1e6:.2f} MB", f"{cost['ms_p50']:.2f} ms", f"{cost['ms_p95']:.2f} ms", asked.model_hash(name)[:12]])
            if form == "shipped":
                aims.append([f"{name}: processor time {each}", f"at most {budget_ms:.0f} ms", f"{cost['ms_p50']:.1f} ms", "met" if cost["ms_p50"] <= budget_ms else "**missed**"])
                if budget_bytes:
                    aims.append([f"{name}: size", f"at most {budget_bytes / 1e6:.0f} MB", f"{size / 1e6:.1f} MB", "met" if size <= budget_bytes else "**missed**"])
    return {"markdown": "`plumb bench --model NAME`: the model alone on one thread, one input at a time, processor time; it hangs on the machine and on what else that does.\n\n"
            + table(["model", "form", "size", "median", "19 in 20 within", "SHA-256"], lines), "aims": aims}
