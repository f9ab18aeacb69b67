"""Cache what is loaded from a file until the file changes."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

Loaded = TypeVar("Loaded")
Options = ParamSpec("Options")


def remembered(
    load: Callable[Concatenate[Path, Options], Loaded],
) -> Callable[Concatenate[Path, Options], Loaded]:
    """Decorate a loading function: a file is loaded once per set of options, and again after it has changed.

    So a long-running process, such as the app, never uses an outdated model. The content before the change is
    released.
    """
    known: dict[object, tuple[object, Loaded]] = {}

    @wraps(load)
    def loaded(path: Path, /, *args: Options.args, **options: Options.kwargs) -> Loaded:
        key = (path.absolute(), args, tuple(sorted(options.items())))
        found = path.stat()
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if key not in known or known[key][0] != state:
            known[key] = state, load(path, *args, **options)
        return known[key][1]

    return loaded
