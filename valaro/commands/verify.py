"""`valaro verify`: whether all artefacts here are as the stages wrote them.

Three questions, of every stage that `dvc.lock` knows:

1. Do its outputs have the bytes that DVC recorded? What differs, is missing, or was written by no stage?
2. Does every artefact keep its contract (`valaro/commands/contracts.py`): arrays, types, lengths that agree?
3. Do the bytes remembered for later (DVC's cache, the memo) still hash to their names?

Nothing is changed, unless `--repair` asks to forget damaged memories and leftovers; a rerun makes them anew.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.core.artefacts import PARTIAL, files_of, read_json, remove
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.engine.fingerprint import md5_of
from stages.engine.memo import RECORD, dvc_cache
from valaro.commands.contracts import Lengths, contract_of, faults_of
from valaro.commands.origin import other_origin
from valaro.commands.terminal import detail, note, result
from valaro.runs import locked_stages

LOCK = Path("dvc.lock")
HOME = Path(".valaro")


@dataclass(frozen=True)
class Finding:
    """Something that isn't as it should be.

    Args:
        stage: whose it is; empty for what is remembered.
        path: the file.
        problem: what is wrong with it.
        forget: a cache entry, or a leftover, that should be removed.
    """

    stage: str
    path: Path
    problem: str
    forget: bool = False


def verify(repair: bool = False) -> bool:
    """Check all artefacts here; print what is wrong, and the command that repairs it. True: nothing is wrong.

    Raises:
        ValaroError: nothing has run here.
    """
    stages = _locked()
    cache = dvc_cache(Path())
    listed = {stage: {path: _listing(cache, path, md5) for path, md5 in outs} for stage, outs in stages}
    findings = [f for stage, outs in stages for f in _bytes(stage, dict(outs), listed[stage])]
    findings += _contracts(listed)
    findings += _memories(
        cache, {md5 for outs in listed.values() for files in outs.values() for md5 in files.values()}
    )
    for finding in findings:
        forgotten = repair and finding.forget
        if forgotten:
            remove(finding.path)
        result(f"{finding.path}: {finding.problem}{' (forgotten)' if forgotten else ''}")
    for sentence in other_origin(Workspace()):
        note(f"note: {sentence}")
    _advise(findings, repair)
    return not findings


def _locked() -> list[tuple[str, list[tuple[Path, str]]]]:
    """The stages that have run and still are in dvc.yaml, with the MD5 of each output."""
    if not LOCK.is_file():
        raise ValaroError(f"{LOCK.absolute()} is missing: nothing has run here. Run `dvc repro` first.")
    return [
        (stage, [(Path(out["path"]), out["md5"]) for out in entry.get("outs", [])])
        for stage, entry in locked_stages(Path()).items()
    ]


def _listing(cache: Path, path: Path, md5: str) -> dict[Path, str]:
    """MD5 of every file of an output, as recorded; nothing where DVC keeps no list (metrics, lost cache)."""
    if not md5.endswith(".dir"):
        return {path: md5}
    try:
        entries = json.loads((cache / md5[:2] / md5[2:]).read_text(encoding="utf-8"))
        return {path / entry["relpath"]: entry["md5"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def md5_of_folder(folder: Path) -> str:
    """DVC's name for a folder: the MD5 of its list of files."""
    names = sorted(path.relative_to(folder).as_posix() for path in files_of(folder))  # "a.b/c" before "a/c"
    entries = [{"md5": md5_of(folder / name), "relpath": name} for name in names]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _bytes(stage: str, outs: dict[Path, str], listed: dict[Path, dict[Path, str]]) -> Iterator[Finding]:
    """What differs from the record, is missing, or was written by no stage."""
    for out, files in listed.items():
        detail(f"{stage}: {out}")
        if not out.exists():
            yield Finding(stage, out, "missing")
            continue
        if not files and md5_of_folder(out) != outs[out]:
            yield Finding(stage, out, f"other files or bytes than {stage} wrote")
        for path, md5 in files.items():
            if not path.is_file():
                yield Finding(stage, path, "missing")
            elif md5_of(path) != md5:
                yield Finding(stage, path, f"other bytes than {stage} wrote ({path.stat().st_size} now)")
        for path in set(files_of(out)) - files.keys() if files else ():
            if any(part.startswith(PARTIAL) for part in path.parts):
                yield Finding("", path, "left by a killed run", forget=True)
            else:
                yield Finding(stage, path, f"not written by {stage}")


def _contracts(listed: dict[str, dict[Path, dict[Path, str]]]) -> Iterator[Finding]:
    """Artefacts whose arrays don't fit, whatever DVC thinks of their bytes."""
    lengths, data = Lengths(), Workspace().folder()
    in_video: dict[str, list[str]] = {}
    if Workspace().corpus_file.is_file():
        try:
            for subject in Workspace().corpus().subjects:
                in_video.setdefault(subject.video, []).append(subject.name)
        except (ValueError, KeyError, TypeError):
            yield Finding("index", Workspace().corpus_file, "not the index's list of subjects")
    for stage, outs in listed.items():
        for out in outs:
            for path in files_of(out) if out.is_dir() else ():
                if path.suffix != ".h5" or data not in path.parents or path.name.startswith("."):
                    continue
                folder = path.parent.relative_to(data)
                if contract := contract_of(folder):
                    subjects = in_video.get(path.stem, []) if folder == Path("decode") else [path.stem]
                    for problem in faults_of(path, contract, subjects, lengths):
                        yield Finding(stage, path, problem)


def _memories(cache: Path, recorded: set[str]) -> Iterator[Finding]:
    """Bytes kept for later that don't hash to their name, and records that can't be read."""
    kept = [cache / md5[:2] / md5[2:] for md5 in sorted(recorded)]
    for path in [*kept, *(HOME / "blobs").glob("??/[!.]*")]:
        if path.is_file() and md5_of(path) != path.parent.name + path.name:
            yield Finding("", path, "its bytes don't hash to its name", forget=True)
    for path in (HOME / "memo").glob("**/*.json"):
        try:
            RECORD.validate_python(read_json(path))
        except (OSError, ValueError):
            yield Finding("", path, "not a record", forget=True)


def _advise(findings: list[Finding], repair: bool) -> None:
    stages = list(dict.fromkeys(finding.stage for finding in findings if finding.stage))
    damaged = any(finding.forget for finding in findings)
    if not findings:
        note("Everything is what the stages wrote.")
    if damaged and not repair:
        note("No stage uses damaged memories, but DVC uses its cache. First: valaro verify --repair")
    if stages:
        note(
            f"Then: dvc repro {' '.join(stages)}"
            if damaged and not repair
            else f"Run: dvc repro {' '.join(stages)}"
        )
