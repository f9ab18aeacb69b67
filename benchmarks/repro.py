"""A `dvc repro` that has nothing to do, against DVC's own floor: an equal DAG of stages that do nothing.

    python benchmarks/repro.py [--repository .] [--rounds 3]

The repository must be up to date (run `dvc repro` first). There are three floors, in all of which DVC starts,
reads, hashes and locks too. `bare` has as many stages in the same order, with one tiny file per stage. In
`equal` every stage has its dependencies, outputs and parameters as well, each one tiny file. In `filled` what
is a folder here is a folder there, with as many tiny files.
"""

import os
import subprocess
import tempfile
from functools import partial
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


def stages_of(repository: Path) -> dict[str, dict]:
    """What the lock files say of each stage, that of the sample corpus included."""
    locks = (repository / "data/sample/dvc.lock", repository / "dvc.lock")
    found = [yaml.safe_load(lock.read_text())["stages"] for lock in locks if lock.is_file()]
    return {name: stage for stages in found for name, stage in stages.items()}


def bare(stages: dict[str, dict]) -> dict[str, dict]:
    """One output a stage; it depends on the stages before it, the first ones on a source."""
    makers = {entry["path"]: name for name, stage in stages.items() for entry in stage.get("outs", [])}
    found = {}
    for name, stage in stages.items():
        before = {makers[entry["path"]] for entry in stage.get("deps", []) if entry["path"] in makers}
        found[name] = {"deps": [f"made/{_safe(maker)}" for maker in sorted(before)] or ["source"]}
        found[name]["outs"] = [f"made/{_safe(name)}"]
    return found


def equal(stages: dict[str, dict]) -> dict[str, dict]:
    """Every dependency, output and parameter of every stage."""
    return {
        name: {
            "deps": [f"made/{_safe(entry['path'])}" for entry in stage.get("deps", [])],
            "outs": [f"made/{_safe(entry['path'])}" for entry in stage.get("outs", [])],
            "params": list(stage.get("params", {}).get("params.yaml", {})),
        }
        for name, stage in stages.items()
    }


def files_of(stages: dict[str, dict]) -> dict[str, int]:
    """How many files each folder among the dependencies and outputs holds."""
    entries = (
        entry for stage in stages.values() for kind in ("deps", "outs") for entry in stage.get(kind, [])
    )
    return {f"made/{_safe(entry['path'])}": entry["nfiles"] for entry in entries if "nfiles" in entry}


def make(path: str, files: int | None) -> str:
    """The command that makes a tiny file, or a folder of so many."""
    if files is None:
        return f"echo {path} > {path}"
    return f"mkdir -p {path} && seq {files} | split -l 1 -a 4 - {path}/"


def lay_floor(stages: dict[str, dict], params: Path, files: dict[str, int]) -> Path:
    """A repository of such stages, up to date; `files`: of the paths that are folders, how many they hold."""
    folder = Path(tempfile.mkdtemp())
    (folder / "made").mkdir()
    (folder / "params.yaml").write_bytes(params.read_bytes())
    made = {path for stage in stages.values() for path in stage["outs"]}
    for path in {path for stage in stages.values() for path in stage["deps"]} - made:
        subprocess.run(["bash", "-c", make(path, files.get(path))], cwd=folder, check=True)
    empty = {
        _safe(name): stage | {"cmd": [make(path, files.get(path)) for path in stage["outs"]]}
        for name, stage in stages.items()
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": empty}))
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "repro", "-q"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def _safe(name: str) -> str:
    return name.replace("@", "_").replace(".", "_").replace("/", "_")


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, repository=".", rounds=3)
    os.environ["DVC_NO_ANALYTICS"] = "1"
    repository = Path(chosen.repository).resolve()
    stages, params = stages_of(repository), repository / "params.yaml"
    floors: dict[str, tuple[dict[str, dict], dict[str, int]]] = {
        "bare floor": (bare(stages), {}),
        "equal floor": (equal(stages), {}),
        "filled floor": (equal(stages), files_of(stages)),
    }
    folders = {"ours": repository}
    folders |= {name: lay_floor(floor, params, files) for name, (floor, files) in floors.items()}
    timings = take_turns({name: partial(no_op, folder) for name, folder in folders.items()}, chosen.rounds)
    ratio = {name: timings["ours"].fastest_s / timings[name].fastest_s for name in floors}
    effort = {name: min(timings["ours"].cores_s) / min(timings[name].cores_s) for name in floors}
    save(
        chosen,
        "repro",
        "A repro with nothing to do",
        [
            f"{len(stages)} stages. {machine()}",
            "",
            *table(timings, 1, "runs"),
            "",
            f"- **{ratio['bare floor']:.2f} x** the bare floor: as many stages, a tiny file each "
            f"({effort['bare floor']:.2f} x its processor time)",
            f"- **{ratio['equal floor']:.2f} x** the equal floor: dependencies, outputs, parameters too "
            f"({effort['equal floor']:.2f} x its processor time)",
            f"- **{ratio['filled floor']:.2f} x** the filled floor: as many files in every folder too "
            f"({effort['filled floor']:.2f} x its processor time)",
        ],
    )


if __name__ == "__main__":
    main()
