"""What every page must satisfy in a real browser."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from stages.core.corpus import Workspace

from .run import HOSTILE
from .webdriver import Browser

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
FOCUSABLE = """
return [...document.querySelectorAll('a[href], button, summary, input, select, video[controls], [tabindex="0"]')]
  .filter((element) => !element.disabled && element.getClientRects().length && element.checkVisibility()).map(%s);
"""
NAMED = "(e) => e.textContent.trim() || e.getAttribute('aria-label') || e.title || ''"


def settled(chromium: Browser, page: Path, width: int = 1280) -> None:
    """Open a page and wait for it and what it draws."""
    chromium.size(width, 900)
    chromium.open(page)
    chromium.wait("document.readyState === 'complete'")
    chromium.wait(
        "!document.getElementById('video') || document.getElementById('video').readyState > 1"
        " || document.body.dataset.player === 'clock'"
    )


@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_loads_without_a_word_and_asks_nobody(chromium: Browser, page: Path, width: int) -> None:
    chromium.messages()
    chromium.requests()
    settled(chromium, page, width)
    assert chromium.messages() == []
    own = {"file", "data", "chrome", "chrome-untrusted"}  # the last two: a new tab's own page, as it starts
    assert {address.split(":")[0] for address in chromium.requests()} <= own
    assert chromium.run("return [...document.images].filter((image) => !image.naturalWidth).length") == 0


def test_a_hostile_subject_is_a_name_in_the_report_and_on_its_page(chromium: Browser, run: Workspace) -> None:
    folder = run.metrics("report")
    settled(chromium, folder / "index.html")
    assert HOSTILE in chromium.run("return document.getElementById('videos').innerText")
    assert chromium.run("return document.scripts.length") == 1
    assert chromium.run("return document.querySelectorAll('[onload]').length") == 0
    link = "[...document.querySelectorAll('#videos a')].find((a) => a.textContent === arguments[0])"
    address = chromium.run(f"return {link}.getAttribute('href')".replace("arguments[0]", json.dumps(HOSTILE)))
    assert folder / unquote(address) == folder / "videos" / f"{HOSTILE}.html"
    settled(chromium, folder / unquote(address))
    assert chromium.run("return document.querySelector('h1').textContent") == HOSTILE
    assert chromium.run("return document.scripts.length") == 2, "the data, and the page's own script"


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_sideways(chromium: Browser, page: Path, width: int) -> None:
    settled(chromium, page, width)
    assert chromium.run("return document.documentElement.scrollWidth") <= width
    cut = chromium.run("""
        const scrolls = (e) => e && (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
        return [...document.querySelectorAll("h1, h2, h3, p, td, th, dd, dt, button, svg, li")]
          .filter((e) => e.getClientRects().length && !scrolls(e))
          .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)
          .map((e) => e.outerHTML.slice(0, 200));
    """)
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(chromium: Browser, page: Path, scheme: str) -> None:
    chromium.colours(scheme)
    settled(chromium, page)
    found: list[dict[str, Any]] = chromium.run(CONTRAST)
    assert len(found) > 10, "the page has text to measure"
    faint = [text for text in found if text["ratio"] < (3 if text["large"] else 4.5)]
    assert faint == []


def test_the_tab_key_reaches_everything_and_shows_where_it_is(chromium: Browser, page: Path) -> None:
    settled(chromium, page)
    wanted = chromium.run(FOCUSABLE % "(e, k) => { e.dataset.stop = k; return k; }")
    visited: set[int] = set()
    outlined: set[int] = set()
    for _ in range(3 * len(wanted) + 30):  # a video's own controls are stops within a stop
        chromium.press("tab")
        stop, drawn = chromium.run("""
            const on = document.activeElement, style = getComputedStyle(on);
            return [on.dataset.stop ?? null, on.matches(':focus-visible') && style.outlineStyle !== 'none'];
        """)
        if stop is None and len(visited) == len(wanted):
            break
        if stop is not None:
            visited.add(int(stop))
            outlined |= {int(stop)} if drawn else set()
    missed = set(wanted) - visited
    elements = (
        "return arguments[0].map((k) => document.querySelector(`[data-stop='${k}']`).outerHTML.slice(0, 200))"
    )
    assert not missed, chromium.run(elements, sorted(missed))
    assert outlined == visited


def test_a_page_says_what_it_is(chromium: Browser, page: Path) -> None:
    settled(chromium, page)
    assert (
        chromium.run("return document.title") and chromium.run("return document.documentElement.lang") == "en"
    )
    assert chromium.run("return document.querySelectorAll('h1').length") == 1
    assert chromium.run("return [...document.images].filter((i) => !i.hasAttribute('alt')).length") == 0
    assert all(chromium.run(FOCUSABLE % NAMED)), "a name for everything that takes the focus"
    levels = chromium.run(
        "return [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))"
    )
    assert all(after <= before + 1 for before, after in pairwise(levels))
