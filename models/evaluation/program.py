"""Runs the program under test and remembers what it said.

Every number of the evaluation comes through this file: the built binary is asked and its JSON lines are kept. An answer is
kept under a hash of all that it hangs on (binary, model and its table, clip or picture, scene, options), so that a run which
was stopped goes on where it was, and a changed model is asked again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES_A_CALL = 64
SECONDS_A_CALL = 1800
MODEL_OF_KIND = {"facade": "verifier", "elevator": "ebike"}


class Failed(Exception):
    """The program said no, or took too long."""


@functools.lru_cache(maxsize=None)
def _digest_of(path: Path, size: int, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex; read once while it stays as it is."""
    state = path.stat()
    return _digest_of(path, state.st_size, state.st_mtime_ns)


class Program:
    """A built `plumb` with a folder of models, and the answers that it gave before."""

    def __init__(self, binary: Path, models: Path, work: Path, jobs: int) -> None:
        self.binary, self.models, self.work, self.jobs = binary.resolve(), models.resolve(), work, jobs
        if not self.binary.exists():
            raise SystemExit(f"{binary} is not there: run `make build`")
        self.table = tomllib.loads((self.models / "models.toml").read_text())

    def model_file(self, name: str) -> Path:
        return self.models / self.table[name]["file"]

    def model_hash(self, name: str) -> str:
        return digest(self.model_file(name))

    def threshold(self) -> float:
        """The score from which on an e-bike makes an alarm."""
        return float(self.table["ebike"]["settings"]["thresholds"]["ebike"]["alarm"])

    def with_model(self, name: str, file: Path) -> Program:
        """The same program with another file for one model. A models.toml beside the file describes it; without one it is
        described as the shipped one is."""
        folder = self.work / "models" / f"{name}-{digest(file)[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        beside = file.parent / "models.toml"
        text = (beside if beside.exists() else self.models / "models.toml").read_text()
        for other, entry in tomllib.loads(text).items():
            source = file if other == name else self.model_file(other)
            shutil.copyfile(source, folder / entry["file"])
            text = re.sub(rf'(\[{other}\]\n(?:(?!\[).*\n)*?sha256 = ")[0-9a-f]*"', rf'\g<1>{digest(source)}"', text)
        (folder / "models.toml").write_text(text)
        return Program(self.binary, folder, self.work, self.jobs)

    def replay(self, clip: Path, kind: str, scene: Path | None, options: tuple[str, ...] = ()) -> dict:
        """What `plumb replay` says of a clip: {"alarms": [...], "summary": {...}}."""
        model = MODEL_OF_KIND[kind]
        key = self._key(model, "replay", kind, digest(clip), digest(scene) if scene else "", *options)
        kept = self._kept(key)
        if kept is None:
            command = ["replay", str(clip), "--kind", kind, "--json", *(["--scene", str(scene)] if scene else []), *options]
            records = self._ask(command)
            kept = {"alarms": [r for r in records if r["record"] == "alarm"], "summary": next(r for r in records if r["record"] == "summary")}
            self._keep(key, kept)
        return kept

    def replays(self, jobs: list[tuple[Path, str, Path | None, tuple[str, ...]]], what: str) -> list[dict]:
        """The answers to many replays, in order; says how far it is."""
        done = []
        with ThreadPoolExecutor(self.jobs) as pool:
            for answer in pool.map(lambda job: self.replay(*job), jobs):
                done.append(answer)
                if len(done) % 20 == 0:
                    print(f"{what}: {len(done)} of {len(jobs)} replays", flush=True)
        return done

    def detect(self, pictures: list[Path], least: float) -> list[list[dict]]:
        """What `plumb detect` finds on each picture from the score `least` on."""
        keys = [self._key("ebike", "detect", f"{least}", digest(p)) for p in pictures]
        kept = {k: v for k in set(keys) if (v := self._kept(k)) is not None}
        missing = list({k: p for k, p in zip(keys, pictures) if k not in kept}.items())
        parts = [missing[i:i + PICTURES_A_CALL] for i in range(0, len(missing), PICTURES_A_CALL)]

        def ask(part: list[tuple[str, Path]]) -> dict[str, list[dict]]:
            records = self._ask(["detect", "--model", "ebike", "--json", "--min-score", f"{least}", *(str(p) for _, p in part)])
            found = {r["path"]: r["detections"] for r in records if r["record"] == "image"}
            for key, path in part:
                self._keep(key, found[str(path)])
            return {key: found[str(path)] for key, path in part}

        with ThreadPoolExecutor(self.jobs) as pool:
            for answers in pool.map(ask, parts):
                kept.update(answers)
        return [kept[k] for k in keys]

    def cost(self, name: str) -> dict:
        """What `plumb bench --model` measures; never kept, for it hangs on the machine."""
        return self._ask(["bench", "--model", name, "--json"])[0]

    def _ask(self, arguments: list[str]) -> list[dict]:
        environment = os.environ | {"PLUMB_MODELS": str(self.models)}
        run = subprocess.run([str(self.binary), *arguments], capture_output=True, text=True, env=environment, timeout=SECONDS_A_CALL)
        if run.returncode != 0:
            raise Failed(f"plumb {' '.join(arguments[:4])} … failed: {run.stderr.strip()[-800:]}")
        return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]

    def _key(self, model: str, *parts: str) -> str:
        described = json.dumps(self.table[model], sort_keys=True)
        return hashlib.sha256("\n".join([digest(self.binary), self.model_hash(model), described, *parts]).encode()).hexdigest()

    def _path(self, key: str) -> Path:
        return self.work / "answers" / key[:2] / f"{key}.json"

    def _kept(self, key: str):
        path = self._path(key)
        return json.loads(path.read_text()) if path.exists() else None

    def _keep(self, key: str, answer) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        partial.write_text(json.dumps(answer))
        partial.rename(path)
