"""A `dvc repro` that has nothing to do, against DVC's own floor: an equal DAG of stages that do nothing.

    python benchmarks/repro.py [--repository .] [--rounds 3]

The repository must be up to date (run `dvc repro` first). The floor has as many stages, in the same order,
each with one tiny file per edge; DVC starts, reads, hashes and locks there too.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import yaml
from measure import arguments, machine, save, table, take_turns


def no_op(folder: Path) -> None:
    """`dvc repro`, which must find everything up to date."""
    done = subprocess.run(["dvc", "repro"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or "Data and pipelines are up to date" not in done.stdout:
        raise SystemExit(
            f"{folder}: dvc repro had something to do:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def lay_floor(stages: dict[str, dict], folder: Path) -> None:
    """A repository with the same DAG, of tiny files."""
    makers = {entry["path"]: name for name, stage in stages.items() for entry in stage.get("outs", [])}
    (folder / "source").write_text("source")
    empty = {}
    for number, (name, stage) in enumerate(stages.items()):
        before = {makers[entry["path"]] for entry in stage.get("deps", []) if entry["path"] in makers}
        deps = [f"made/{_safe(maker)}" for maker in sorted(before)] or ["source"]
        out = f"made/{_safe(name)}"
        empty[_safe(name)] = {"cmd": f"echo {number} > {out}", "deps": deps, "outs": [out]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": empty}))
    (folder / "made").mkdir()
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "repro", "-q"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _safe(name: str) -> str:
    return name.replace("@", "_").replace(".", "_")


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, repository=".", rounds=3)
    os.environ["DVC_NO_ANALYTICS"] = "1"
    repository, floor = Path(chosen.repository).resolve(), Path(tempfile.mkdtemp())
    stages = yaml.safe_load((repository / "dvc.lock").read_text())["stages"]
    lay_floor(stages, floor)
    timings = take_turns({"ours": lambda: no_op(repository), "floor": lambda: no_op(floor)}, chosen.rounds)
    ratio = timings["ours"].fastest_s / timings["floor"].fastest_s
    save(
        chosen,
        "repro",
        "A repro with nothing to do",
        [
            f"{len(stages)} stages. {machine()}",
            "",
            *table(timings, 1, "runs"),
            "",
            f"- **{ratio:.2f} x** the floor, which is DVC itself on an equal DAG of empty stages",
        ],
    )


if __name__ == "__main__":
    main()
