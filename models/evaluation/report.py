"""Writes models/EVALUATION.md out of what the sections left, so that one can be measured again without the others."""

from __future__ import annotations

import json
from pathlib import Path

from .figures import table
from .program import ROOT, Program

HEAD = """# Evaluation
Written by `make eval` (models/evaluation); every figure comes from the built program: `plumb replay`, `plumb detect`, `plumb bench`. The material is generated
from seeds that no training uses, and so is the same for everybody; real material is used where it lies beside the checkout, and is no part of the project. What the
figures mean for who uses the models stands in README.md beside this file."""
SECTIONS = {"falls": "Falling objects", "ebike": "E-bikes on pictures", "rides": "E-bikes on whole rides", "models": "Size and time"}
# Which shipped models a section's figures hang on.
MODELS_OF = {"falls": ("verifier",), "ebike": ("ebike",), "rides": ("ebike",), "models": ("ebike", "verifier")}


def keep(work: Path, name: str, section: dict, program: Program) -> None:
    """Keeps a section with the hashes of the models that it was measured with, and prints it."""
    folder = work / "sections"
    folder.mkdir(parents=True, exist_ok=True)
    section["models"] = {model: program.model_hash(model) for model in MODELS_OF[name]}
    (folder / f"{name}.json").write_text(json.dumps(section, indent=1))
    print(f"\n## {SECTIONS[name]}\n{section['markdown']}\n", flush=True)


def write(work: Path, program: Program, out: Path) -> None:
    """Joins the sections that there are."""
    texts, aims = [], []
    for name, title in SECTIONS.items():
        path = work / "sections" / f"{name}.json"
        if not path.exists():
            continue
        section = json.loads(path.read_text())
        older = [m for m, known in section["models"].items() if known != program.model_hash(m)]
        note = f"\n**Measured with another {' and '.join(older)} model than the one above.**\n" if older else ""
        texts.append(f"## {title}{note}\n{section['markdown']}")
        aims += section["aims"]
    files = [[program.model_file(m).name, program.model_hash(m)] for m in ("ebike", "verifier")]
    head = [HEAD, table(["model", "SHA-256"], files), "## Aims\nBy the rate measured; the interval says how sure that is.\n\n" + table(["what", "aim", "measured", ""], aims)]
    out.write_text("\n\n".join(head + texts) + "\n")
    print(f"wrote {out.relative_to(ROOT) if out.is_relative_to(ROOT) else out}")
