"""Profiles: complete parameter files in `profiles/`; `params.yaml` is a copy of one of them, or of none."""

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
    """What a change of profile did.

    Args:
        changes: one line per key, `key: old → new`.
        backup: copy of edits that are in no profile; None if there were none.
    """

    changes: list[str]
    backup: Path | None


def find_profiles(root: Path) -> dict[str, Path]:
    """The profiles of a repository by name.

    Raises:
        ValaroError: there are none.
    """
    found = {path.stem: path for path in sorted((root / "profiles").glob("*.yaml"))}
    if not found:
        raise ValaroError(f"{(root / 'profiles').absolute()} holds no profile. Run this from the repository.")
    return found


def first_comment(profile: Path) -> str:
    """The first comment line of a profile: what it is for."""
    lines = profile.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def active_profile(root: Path) -> str | None:
    """The profile that params.yaml is a copy of, comments included; None if it is edited or missing."""
    params = root / PARAMS_FILE
    if not params.is_file():
        return None
    content = params.read_bytes()
    return next((name for name, path in find_profiles(root).items() if path.read_bytes() == content), None)


def switch_profile(root: Path, name: str, *, force: bool = False) -> Switch:
    """Make a profile the active one. It is checked first; edits are replaced only with `force`.

    Args:
        root: the repository.
        name: of the profile.
        force: replace params.yaml even if it has edits that no profile has; params.yaml.bak keeps them.

    Raises:
        ValaroError: no such profile, one that isn't valid, or edits that would be lost.
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
            f"{params} holds edits that no profile has ({_edits(params, profiles)}). Save it as a profile of "
            f"its own (cp params.yaml profiles/mine.yaml), or use --force: they stay in {backup.name}."
        )
    changes = list(differences(_content(params), _content(profiles[name])))
    if backup:
        _copy(params, backup)
    _copy(profiles[name], params)
    return Switch(changes, backup)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """One line per key that differs, nested keys joined by dots."""
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}: {_plain(before)} → {_plain(after)}"


def _plain(value: Any) -> str:
    """A value as it stands in YAML, on one line."""
    if value == ABSENT:
        return ABSENT
    return yaml_text(value, flow=True)


def _edits(params: Path, profiles: dict[str, Path]) -> str:
    """What sets params.yaml apart from the profile it is nearest to."""
    content = _content(params)
    compared = {name: list(differences(_content(path), content)) for name, path in profiles.items()}
    name = min(compared, key=lambda name: len(compared[name]))
    if not compared[name]:
        return f"only comments or the layout differ from {name}"
    more = f" and {len(compared[name]) - 1} more" if len(compared[name]) > 1 else ""
    return f"against {name}: {compared[name][0]}{more}"


def _content(path: Path) -> dict[str, Any]:
    """The keys of a parameter file; none where it is missing or broken."""
    try:
        content = read_yaml(path)
    except ValaroError:
        return {}
    return content if isinstance(content, dict) else {}


def _free_backup(params: Path) -> Path:
    """A name for a copy that no earlier copy has."""
    names = ["bak", *(f"bak{number}" for number in range(2, 1000))]
    return next(p for name in names if not (p := params.with_name(f"{params.name}.{name}")).exists())


def _copy(source: Path, target: Path) -> None:
    with whole(target) as partial:
        partial.write_bytes(source.read_bytes())
