"""Self-contained HTML pages: template, style and script in one file without network requests.

The template engine escapes all text from data. Data for scripts is a JSON block in which nothing can close
the block. A Content-Security-Policy allows only the page's own script, by its hash.
"""

import base64
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.core.artefacts import whole

ASSETS = Path(__file__).parent / "assets"
SERVED = {"app"}
"""Pages that the server of `valaro app` shows; the others open from disk."""
SERVED_RULES = ("connect-src 'self'", "frame-src 'self'")
"""Their further rules of the Content-Security-Policy."""
_UNSAFE = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def write_page(path: Path, name: str, **content: Any) -> None:
    """Fill the template `<name>.html` and write the page atomically.

    The template gets `content`, and from the assets `style` (style.css), `script` (<name>.js) and `policy`.
    Bytes of a file name that aren't UTF-8 are written as escapes.

    Args:
        path: the page.
        name: name of the template.
        content: values for the template.
    """
    with whole(path) as partial:
        partial.write_bytes(page_text(name, **content).encode("utf-8", "backslashreplace"))


def page_text(name: str, **content: Any) -> str:
    """The filled template `<name>.html`, see `write_page`."""
    return _environment().get_template(f"{name}.html").render(**_inlined(name), **content)


def assets_of(name: str) -> dict[str, Path]:
    """Role -> file of the assets of a page, for the key of a cached page."""
    files = ("base.html", f"{name}.html", f"{name}.js", "style.css")
    return {f"asset {file}": ASSETS / file for file in files}


def data_block(content: Any) -> Markup:
    """JSON for a `<script type="application/json">`, in ASCII; nothing in it can close the block.

    Arrays become lists, NaN in them becomes null.
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, default=_plain)
    return Markup(text.translate(_UNSAFE))  # noqa: S704 - the characters of markup are escaped above


def link(target: Path, page: Path) -> str:
    """Relative URL of a file from a page, with the exact bytes of the file's name."""
    return address_of(os.path.relpath(target.absolute(), page.parent.absolute()))


def address_of(relative: str) -> str:
    """A relative path as URL: percent-encoded bytes."""
    return quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")


def rounded(values: Any, decimals: int = 3) -> list[Any]:
    """Numbers for JSON: rounded, None for NaN. Shape: (N,) or (N, C) -> lists."""
    array = np.round(np.asarray(values, dtype=np.float64), decimals)
    plain = np.where(np.isfinite(array), array, None)  # type: ignore[call-overload]
    return list(plain.tolist())


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _inlined(name: str) -> dict[str, Markup]:
    style, script = ((ASSETS / file).read_text(encoding="utf-8") for file in ("style.css", f"{name}.js"))
    script = f"\n{script}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "media-src 'self' file:",
        *(SERVED_RULES if name in SERVED else ()),
        "base-uri 'none'",
        "form-action 'none'",
    )
    inlined = {"style": style, "script": script, "policy": "; ".join(rules)}
    return {role: Markup(text) for role, text in inlined.items()}  # noqa: S704 - our own files


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return rounded(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't be written to a page")
