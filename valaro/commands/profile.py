"""`valaro profile`: the complete parameter files, and which of them is active."""

from pathlib import Path

import typer

from stages.core.profiles import active_profile, find_profiles, first_comment, switch_profile
from valaro.commands.terminal import result
from valaro.suggestions import unknown


def list_profiles(root: Path = Path()) -> None:
    """Say which profiles there are, what each is for, and which one params.yaml is."""
    active = active_profile(root)
    for known, path in find_profiles(root).items():
        result(f"{'*' if known == active else ' '} {known:12} {first_comment(path)}")
    if active is None:
        result("params.yaml is missing, or has edits that no profile has.")


def switch(name: str, *, force: bool = False, root: Path = Path()) -> None:
    """Make a profile the active parameters, and say what changed.

    Raises:
        typer.BadParameter: no such profile.
        ValaroError: edits of params.yaml would be lost, and `force` isn't set.
    """
    profiles, active = find_profiles(root), active_profile(root)
    if name not in profiles:
        raise typer.BadParameter(unknown("profile", name, profiles), param_hint="NAME")
    switched = switch_profile(root, name, force=force)
    for change in switched.changes:
        result(change)
    if switched.backup:
        result(f"The edits are kept in {switched.backup}.")
    result(f"params.yaml {'was' if active == name else 'is now'} profile {name}.")
