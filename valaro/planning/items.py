"""A plan: its items, one per run of a stage, and what they add up to."""

from dataclasses import dataclass, field
from typing import Literal

from valaro.planning.machine import Machine
from valaro.planning.totals import Totals

Where = Literal["CPU", "GPU"]


@dataclass(frozen=True)
class Item:
    """One run of one stage.

    Args:
        stage: as `dvc repro` takes it, `finetune@efficientnet_b1`.
        seconds: that it is likely to take.
        at_most_s: if no training stops early; None: as `seconds`.
        where: what does most of the work.
        basis: what the unit costs are: measured on a CPU, published for a GPU, or estimated.
        disk_bytes: that it leaves behind, or needs meanwhile.
        memory_bytes: of all its workers together, at the peak.
        gpu_bytes: GPU memory at the peak; None: none is used, or it is unknown.
        only_for: the table whose row alone needs it; "" where the submitted system does.
    """

    stage: str
    seconds: float
    where: Where = "CPU"
    basis: str = "CPU"
    at_most_s: float | None = None
    disk_bytes: float = 0.0
    memory_bytes: float = 0.0
    gpu_bytes: float | None = None
    only_for: str = ""

    @property
    def longest_s(self) -> float:
        """If no training stops early."""
        return self.seconds if self.at_most_s is None else self.at_most_s


@dataclass(frozen=True)
class Plan:
    """All items in the order of the pipeline, what they are computed from, and what was assumed."""

    items: list[Item]
    totals: Totals
    machine: Machine
    assumed: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(item.seconds for item in self.items)

    @property
    def at_most_s(self) -> float:
        """If no training stops early."""
        return sum(item.longest_s for item in self.items)

    @property
    def table_only_s(self) -> float:
        """Of what rows of tables alone need."""
        return sum(item.seconds for item in self.items if item.only_for)

    @property
    def disk_bytes(self) -> float:
        """That the run leaves behind."""
        return sum(item.disk_bytes for item in self.items)

    @property
    def memory_bytes(self) -> float:
        """The peak of the stage that needs the most memory."""
        return max(item.memory_bytes for item in self.items)

    @property
    def gpu_bytes(self) -> float | None:
        """Likewise of the GPU, as far as it is known."""
        return max((item.gpu_bytes for item in self.items if item.gpu_bytes is not None), default=None)

    def largest(self, count: int = 3) -> list[Item]:
        """The items that take longest, longest first."""
        return sorted(self.items, key=lambda item: -item.seconds)[:count]

    def shortages(self) -> list[str]:
        """What the machine lacks, in words; empty where it suffices."""
        machine = self.machine
        rows = (
            (
                "disk",
                self.disk_bytes,
                machine.free_bytes,
                "lower decode.max_side_px or decode.fps_hz",
            ),
            ("memory", self.memory_bytes, machine.memory_bytes, "lower compute.jobs"),
            ("GPU memory", self.gpu_bytes, machine.gpu_bytes, "lower finetune.images_at_once or batch_size"),
        )
        return [
            f"{name}: {needed / 1e9:,.0f} GB needed, {there / 1e9:,.0f} GB there; {remedy}"
            for name, needed, there, remedy in rows
            if needed is not None and there is not None and needed > there
        ]
