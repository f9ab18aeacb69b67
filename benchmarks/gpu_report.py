"""The findings of the GPU check, and its report."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Finding:
    """One figure.

    Args:
        what: is measured.
        value: in words, with its unit.
        target: in words; "": none.
        met: whether the target is; None: it isn't judged.
    """

    what: str
    value: str
    target: str = ""
    met: bool | None = None


@dataclass
class Report:
    """Findings by section, seconds and memory of each, and what broke."""

    device: str
    judged: bool
    sections: dict[str, list[Finding]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    costs: dict[str, str] = field(default_factory=dict)

    def run(self, title: str, measure: Callable[[], Iterator[Finding]]) -> None:
        """Run one section; an error is reported, and the others go on."""
        began = time.perf_counter()
        found = self.sections.setdefault(title, [])
        on_gpu = self.device.startswith("cuda")
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            for finding in measure():
                found.append(finding)
                print(f"{title}: {finding.what}: {finding.value} {finding.target}", flush=True)
        except Exception as error:  # whatever broke is what this check is for
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
            self.broken.append(
                f"{title}: {type(error).__name__} at {place}: {' '.join(str(error).split())[:300]}"
            )
            print(f"BROKEN {self.broken[-1]}", flush=True)
            traceback.print_exc()
        memory = f", at most {torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the GPU" if on_gpu else ""
        self.costs[title] = f"{time.perf_counter() - began:.0f} s{memory}"

    @property
    def missed(self) -> list[str]:
        """A line for every missed target."""
        if not self.judged:
            return []
        return [
            f"{title}: {one.what}: {one.value}, target {one.target}"
            for title, found in self.sections.items()
            for one in found
            if one.met is False
        ]

    def lines(self) -> list[str]:
        """Markdown."""
        lines = [self._machine(), ""]
        lines += [f"- **BROKEN** {line}" for line in self.broken]
        lines += [f"- **MISSED** {line}" for line in self.missed]
        if self.judged and not self.broken and not self.missed:
            lines.append("- every target is met")
        for title, found in self.sections.items():
            lines += [
                "",
                f"## {title} ({self.costs[title]})",
                "",
                "| | measured | target | |",
                "|---|---|---|---|",
            ]
            marks = {True: "met", False: "missed", None: ""}
            lines += [
                f"| {one.what} | {one.value} | {one.target} | {marks[one.met] if self.judged else ''} |"
                for one in found
            ]
        return lines

    def _machine(self) -> str:
        import numpy

        gpu = "no GPU"
        if self.device.startswith("cuda"):
            facts = torch.cuda.get_device_properties(0)
            gpu = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
        versions = f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {numpy.__version__}"
        scale = "" if self.judged else "; tiny sizes: only shows that every line runs"
        return f"{gpu}; {versions}{scale}."
