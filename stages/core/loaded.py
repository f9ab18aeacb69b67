"""What was loaded from a file, remembered while the file stays as it is."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

Loaded = TypeVar("Loaded")
Options = ParamSpec("Options")


def remembered(
    load: Callable[Concatenate[Path, Options], Loaded],
) -> Callable[Concatenate[Path, Options], Loaded]:
    """Load a file once for every set of options, and again when it has changed.

    A process that lives on, such as the app's, so never answers by a model that was trained anew. The former
    content is let go.
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
