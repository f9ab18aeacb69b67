"""What the console shows: bars on a terminal, a few lines elsewhere, tables that line up."""

import os
import pty
import re
import subprocess
import sys

import pytest

from stages.engine.progress import Progress, frames_per_second, plain_table, say_table

HEAD = ["system", "protocol", "mean"]
ROWS = [["dynamic", "validation", "0.930"], ["微笑", "out_of_fold", "-0.01"]]


def test_elsewhere_a_stage_says_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("decode", 20, 10) as progress:
        for k in range(10):
            progress.step(f"video {k}", 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == ["decode: 15 of 20"]
    assert re.fullmatch(r"decode: 10 computed in \d+\.\d s, 10 remembered \([\d,]+ frames/s\)", lines[-1])


def test_without_frames_there_is_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("kelm", 1, 0) as progress:
        progress.step("kelm")
    assert capsys.readouterr().err.endswith("0 remembered\n")


@pytest.mark.parametrize(
    ("frames", "seconds", "words"),
    [(0, 1.0, ""), (5, 2.0, "2.5 frames/s"), (12_340, 10.0, "1,234 frames/s"), (1, 0.0, "1,000 frames/s")],
)
def test_rates(frames: int, seconds: float, words: str) -> None:
    assert frames_per_second(frames, seconds) == words


def test_a_plain_table_lines_up_wide_letters_too() -> None:
    assert plain_table(HEAD, ROWS, best=1) == [
        "system   protocol      mean",
        "dynamic  validation   0.930",
        "微笑     out_of_fold  -0.01  <- best",
    ]


def test_off_a_terminal_a_table_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(HEAD, ROWS)
    assert capsys.readouterr().err.splitlines() == plain_table(HEAD, ROWS)


def on_terminal(code: str, columns: int) -> str:
    """What a program writes to a terminal of some width."""
    master, slave = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=slave, env=environment)
    os.close(slave)
    found = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux's word for the end
            break
        found += part
    os.close(master)
    assert process.wait() == 0
    return found.decode()


STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("columns", [30, 80])
def test_a_drawn_table_stays_within_the_terminal(columns: int) -> None:
    code = f"from stages.engine.progress import say_table; say_table({HEAD}, {ROWS}, 1)"
    shown = on_terminal(code, columns)
    assert "\x1b[" in shown
    lines = [line.rstrip() for line in STYLE.sub("", shown).splitlines()]
    assert max(map(len, lines)) <= columns
    assert "0.930" in STYLE.sub("", shown)


@pytest.mark.parametrize("columns", [40, 100])
def test_a_bar_takes_one_line_and_leaves_the_closing_one(columns: int) -> None:
    code = (
        "from stages.engine.progress import Progress\n"
        "with Progress('decode', 2, 1) as progress: progress.step('a [b]name[/] ' + 'x' * 200, 50)"
    )
    shown = on_terminal(code, columns)
    assert "2/2" in shown
    lines = [line for line in STYLE.sub("", shown).replace("\r", "\n").splitlines() if line.strip()]
    assert max(map(len, lines[:-1])) <= columns
    assert lines[-1].startswith("decode: 1 computed")
    if columns == 100:
        assert "a [b]name[/]" in shown  # names are no markup
        assert "frames/s" in lines[-2]
