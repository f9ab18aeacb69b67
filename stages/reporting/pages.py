"""Self-contained HTML pages: templates, styles and scripts in one file that asks no network for anything.

What comes from data is escaped by the template engine; data for scripts travel as a JSON block that can't end
early; a Content-Security-Policy runs no script but the page's own, known by its hash.
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
"""Pages that a server on this machine shows; the others open from disk."""
SERVED_RULES = ("connect-src 'self'", "frame-src 'self'")
_UNSAFE = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def write_page(path: Path, name: str, **content: Any) -> None:
    """Fill the template `<name>.html` and write the page whole.

    The template gets `content`, and of the assets `style` (style.css), `script` (<name>.js) and `policy`.
    A byte of a file name that is no character is written as an escape.
    """
    with whole(path) as partial:
        partial.write_bytes(page_text(name, **content).encode("utf-8", "backslashreplace"))


def page_text(name: str, **content: Any) -> str:
    """The filled template `<name>.html`, see `write_page`."""
    return _environment().get_template(f"{name}.html").render(**_inlined(name), **content)


def assets_of(name: str) -> dict[str, Path]:
    """The files that decide how a page looks, by role: for keys of what is remembered."""
    files = ("base.html", f"{name}.html", f"{name}.js", "style.css")
    return {f"asset {file}": ASSETS / file for file in files}


def data_block(content: Any) -> Markup:
    """JSON for a `<script type="application/json">`: plain ASCII, and nothing in it can end the block.

    Arrays become lists, NaN becomes null.
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, default=_plain)
    return Markup(text.translate(_UNSAFE))  # noqa: S704 - the characters of markup are escaped above


def link(target: Path, page: Path) -> str:
    """The relative, percent-encoded address of a file as seen from a page; byte for byte the file's name."""
    return address_of(os.path.relpath(target.absolute(), page.parent.absolute()))


def address_of(relative: str) -> str:
    """A relative path, percent-encoded byte for byte."""
    return quote(os.fsencode(relative.replace(os.sep, "/")), safe="/")


def rounded(values: Any, decimals: int = 3) -> list[Any]:
    """Numbers as JSON takes them: rounded, None for NaN. Shape: (N,) or (N, C) -> lists."""
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
    raise TypeError(f"{type(value).__name__} has no place in a page")
