"""Profiles: complete parameter files in `profiles/`; `params.yaml` is a copy of one, or edited."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.artefacts import whole
from stages.core.errors import ValaroError
from stages.core.params import PARAMS_FILE, load_params
from stages.core.yaml_text import read_yaml, yaml_text

ABSENT = "(absent)"


@dataclass(frozen=True)
class Switch:
    """The result of switching to a profile.

    Args:
        changes: one line per key, `key: old → new`.
        backup: copy of the former params.yaml, if it had edits; None otherwise.
    """

    changes: list[str]
    backup: Path | None


def find_profiles(root: Path) -> dict[str, Path]:
    """Name -> file of the profiles of a repository.

    Raises:
        ValaroError: there is no profile.
    """
    found = {path.stem: path for path in sorted((root / "profiles").glob("*.yaml"))}
    if not found:
        raise ValaroError(f"{(root / 'profiles').absolute()} has no profile. Run this from the repository.")
    return found


def first_comment(profile: Path) -> str:
    """The first comment line of a profile, which says what it is for."""
    lines = profile.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def active_profile(root: Path) -> str | None:
    """The profile of which params.yaml is an exact copy; None if it is edited or missing."""
    params = root / PARAMS_FILE
    if not params.is_file():
        return None
    content = params.read_bytes()
    return next((name for name, path in find_profiles(root).items() if path.read_bytes() == content), None)


def switch_profile(root: Path, name: str, *, force: bool = False) -> Switch:
    """Copy a profile to params.yaml, after checking it.

    Args:
        root: the repository.
        name: name of the profile.
        force: replace params.yaml even if it has edits; a backup (params.yaml.bak) keeps them.

    Raises:
        ValaroError: there is no such profile, it isn't valid, or edits would be lost without `force`.
    """
    profiles = find_profiles(root)
    if name not in profiles:
        raise ValaroError(f"no profile {name!r}; there are {', '.join(profiles)}.")
    load_params(profiles[name])
    params = root / PARAMS_FILE
    edited = params.is_file() and active_profile(root) is None
    backup = _free_backup(params) if edited else None
    if backup and not force:
        raise ValaroError(
            f"{params} has edits that no profile has ({_edits(params, profiles)}). Save it as a new profile "
            f"(cp params.yaml profiles/mine.yaml), or use --force: {backup.name} then keeps them."
        )
    changes = list(differences(_content(params), _content(profiles[name])))
    if backup:
        _copy(params, backup)
    _copy(profiles[name], params)
    return Switch(changes, backup)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield `key: old → new` for every difference; nested keys are joined by dots."""
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}: {_plain(before)} → {_plain(after)}"


def _plain(value: Any) -> str:
    """A value as YAML on one line."""
    if value == ABSENT:
        return ABSENT
    return yaml_text(value, flow=True)


def _edits(params: Path, profiles: dict[str, Path]) -> str:
    """The differences of params.yaml to the most similar profile."""
    content = _content(params)
    compared = {name: list(differences(_content(path), content)) for name, path in profiles.items()}
    name = min(compared, key=lambda name: len(compared[name]))
    if not compared[name]:
        return f"only comments or layout differ from {name}"
    more = f" and {len(compared[name]) - 1} more" if len(compared[name]) > 1 else ""
    return f"against {name}: {compared[name][0]}{more}"


def _content(path: Path) -> dict[str, Any]:
    """The content of a parameter file; empty if it is missing or invalid."""
    try:
        content = read_yaml(path)
    except ValaroError:
        return {}
    return content if isinstance(content, dict) else {}


def _free_backup(params: Path) -> Path:
    """An unused name for a backup."""
    names = ["bak", *(f"bak{number}" for number in range(2, 1000))]
    return next(p for name in names if not (p := params.with_name(f"{params.name}.{name}")).exists())


def _copy(source: Path, target: Path) -> None:
    with whole(target) as partial:
        partial.write_bytes(source.read_bytes())
