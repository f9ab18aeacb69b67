"""`valaro plan`: how long `dvc repro` will take, stage by stage, and how much disk and memory it needs."""

from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.params import Params, load_params
from stages.core.voices import VOICES
from stages.engine.progress import plain_table
from valaro.commands.terminal import note, result
from valaro.planning.costs import COSTS, MEASURED_ON, NETWORKS, TIMM
from valaro.planning.items import Item, Plan
from valaro.planning.machine import Machine, this_machine
from valaro.planning.plan import make_plan
from valaro.planning.totals import Totals, find_totals, known_totals

COLUMNS = ("stage", "on", "likely", "at most", "disk", "memory", "GPU memory", "unit cost", "only for")
GIGA = 1e9


def plan(
    *,
    hours: float | None,
    height: int,
    device: str | None,
    cores: int | None,
    gpu_speed: float,
    best_epoch: int,
    explain: bool,
) -> None:
    """Print the plan of the active parameters.

    Args:
        hours: of a corpus that isn't here, in the proportions of Aff-Wild2; None: the corpus at hand.
        height: of its pictures.
        device: `cpu` or `cuda`; None: as here.
        cores: processors; None: those here.
        gpu_speed: of the GPU against an RTX 3090.
        best_epoch: at which training is assumed to reach its best score.
        explain: also print every unit cost, and where it was measured.

    Raises:
        ValaroError: there is neither a corpus nor `hours`, or the parameters aren't legal.
    """
    params = load_params()
    machine = this_machine(params.compute, device, cores, gpu_speed)
    totals = known_totals(hours, height) if hours else _here(params)
    for line in lines_of(make_plan(params, totals, machine, best_epoch)):
        result(line)
    if explain:
        for line in explained():
            result(line)
    else:
        note("`valaro plan --explain` prints the unit costs, and where each was measured.")


def _here(params: Params) -> Totals:
    try:
        return find_totals(params, Workspace())
    except ValaroError as error:
        raise ValaroError(f"{error} Or describe a corpus: valaro plan --corpus-hours 28.6") from None


def lines_of(made: Plan) -> list[str]:
    """The plan as lines: the corpus, a table, sums, what is short, what was assumed."""
    totals = made.totals
    rows = [_cells(item) for item in made.items]
    return [
        f"corpus: {totals.source}: {totals.videos} videos, {totals.video_s / 3600:.1f} h, "
        f"{totals.megapixels:.2f} megapixels",
        f"machine: {machine_words(made.machine)}",
        "",
        *plain_table(COLUMNS, rows),
        "",
        *_sums(made),
        *made.shortages(),
        f"assumed: {'; '.join(made.assumed)}",
    ]


def _cells(item: Item) -> tuple[str, ...]:
    return (
        item.stage,
        item.where,
        duration(item.seconds),
        duration(item.longest_s) if item.longest_s > item.seconds else "",
        size(item.disk_bytes),
        size(item.memory_bytes),
        size(item.gpu_bytes or 0.0),
        {"CPU": "measured"}.get(item.basis, item.basis) if item.where == "CPU" else item.basis,
        item.only_for,
    )


def _sums(made: Plan) -> list[str]:
    sums = f"in all: {duration(made.seconds)}, at most {duration(made.at_most_s)}"
    lines = [f"{sums}; disk {size(made.disk_bytes)}, memory {size(made.memory_bytes)}"]
    largest = ", ".join(f"{item.stage} {duration(item.seconds)}" for item in made.largest())
    lines.append(f"largest: {largest}")
    for table in sorted({item.only_for for item in made.items if item.only_for}):
        only = [item for item in made.items if item.only_for == table]
        names = ", ".join(item.stage for item in only)
        lines.append(f"for rows of {table} alone: {duration(sum(item.seconds for item in only))}, {names}")
    lines.append(f"unit costs: measured on {MEASURED_ON}; another processor's seconds differ")
    if made.machine.gpu:
        lines.append(f"GPU figures: {TIMM}, and estimates; nothing here has been measured on a GPU yet")
    return lines


def machine_words(machine: Machine) -> str:
    """The machine in one line."""
    gpu = f"a GPU of {machine.gpu_speed:g} x an RTX 3090" if machine.gpu else "no GPU"
    threads = f"{machine.threads} threads a network (OMP_NUM_THREADS)"
    return f"{machine.cores} cores, {machine.jobs} videos at a time, {threads}, {gpu}"


def explained() -> list[str]:
    """Every unit cost and its source."""
    rows = [
        (name, f"{cost.value:.3g}", cost.unit, cost.basis.lower(), cost.source)
        for name, cost in COSTS.items()
    ]
    rows += [
        (f"voice {name}", f"{voice.core_s:.3g}", "core s per s of sound", "cpu", "stages/core/voices.py")
        for name, voice in VOICES.items()
        if voice.core_s
    ]
    rows += [
        (
            name,
            f"{net.trained_per_s:g}, {net.seen_per_s:g}",
            f"images/s trained, seen, {net.size_px} px",
            "published",
            TIMM,
        )
        for name, net in NETWORKS.items()
    ]
    return ["", *plain_table(("cost", "value", "unit", "basis", "source"), rows)]


def duration(seconds: float) -> str:
    """Two figures: `40 s`, `12 min`, `3.4 h`.

    >>> [duration(s) for s in (0.2, 40, 720, 12240, 360000)]
    ['< 1 s', '40 s', '12 min', '3.4 h', '100 h']
    """
    if seconds < 1:
        return "< 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def size(count: float) -> str:
    """Bytes in gigabytes, nothing for next to nothing.

    >>> [size(b) for b in (0, 4e6, 2.4e8, 1.2e10, 2e11)]
    ['', '', '0.2 GB', '12 GB', '200 GB']
    """
    if count < 5e7:
        return ""
    return f"{count / GIGA:.1f} GB" if count < 9.95 * GIGA else f"{count / GIGA:.0f} GB"
