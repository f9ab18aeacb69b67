"""The stages of `dvc repro`, each with its time, disk and memory: unit costs times the corpus.

1. Stages over videos: seconds of one core, shared out among the workers; those that look at pictures grow
   with the pixels.
2. Networks: on a GPU by published rates, or by readers of images if these are slower; on a CPU by the threads
   of one process.
3. Training: an epoch passes the labelled images of train once, forwards and backwards, and those of
   validation forwards. It stops `patience` epochs after the best one, which isn't known before: `best_epoch`
   is assumed.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stages.core.optimisation import OptimSettings
from stages.core.params import Params
from stages.core.voices import VOICES
from valaro.planning.costs import (
    FROM_MEGAPIXELS,
    ON_GPU,
    PEAK_MB,
    TORCH_MB,
    forward_core_s,
    network,
    sound_core_s,
    value,
)
from valaro.planning.items import Item, Plan, Where
from valaro.planning.machine import Machine
from valaro.planning.totals import Totals

BEST_EPOCH = 10
READERS = 8
"""Processes, or threads, that read images beside a GPU: `batches.MOST_WORKERS`, `prefetch.MOST_THREADS`."""
MEGA = 1e6
EMBEDDING_BYTES = (256 + 2) * 4
KINDS = 4
"""In which `degrade` makes validation worse."""
SMALL_STAGES = 15.0
"""Seconds of those that take a few each: inputs, speech, smooth, intervals, evaluate, tables, submission."""
SMALL_COUNT = 11
"""How many they are."""
WITH_NETWORKS = ("pretrain", "finetune", "embed", "train", "predict", "degrade", "seeds", "refit")
"""How the names of the stages begin that load a network's libraries."""
MAP_CHANNELS, MAP_STRIDE = 13, 4
"""Of the heat maps that are kept of a picture; its pixels per one of theirs."""


def make_plan(params: Params, totals: Totals, machine: Machine, best_epoch: int = BEST_EPOCH) -> Plan:
    """What a plain `dvc repro` of these parameters will take, from nothing.

    Args:
        params: the active parameters.
        totals: the corpus.
        machine: where.
        best_epoch: at which training is assumed to reach its best score.
    """
    planner = _Planner(params, totals, machine, best_epoch)
    assumed = [
        *totals.guessed,
        f"training reaches its best after {best_epoch} epochs (--best-epoch)",
        f"someone speaks {value('speaking'):.0%} of the time",
        f"a face is {value('face'):.0%} of the picture's height, and always there",
    ]
    return Plan(list(planner.items()), totals, machine, assumed)


class _Planner:
    """The corpus in units of work, and the stages' items."""

    def __init__(self, params: Params, totals: Totals, machine: Machine, best_epoch: int) -> None:
        self.params, self.totals, self.machine, self.best_epoch = params, totals, machine, best_epoch
        self.where: Where = "GPU" if machine.gpu else "CPU"
        self.fps_hz = params.decode.fps_hz
        self.frames = totals.video_s * self.fps_hz
        self.crops = totals.all_subjects_s * self.fps_hz
        self.megapixels = self._kept_megapixels()
        side = value("face") * (self.megapixels * MEGA * 9 / 16) ** 0.5 + 2 * params.faces.pad_px
        self.crop_pixels = side**2
        self.images = {split: s * self.fps_hz for split, s in totals.labelled_s.items()}

    def _kept_megapixels(self) -> float:
        """Of a decoded frame, after decode.max_side_px."""
        whole, most = self.totals.megapixels, self.params.decode.max_side_px
        side = (whole * MEGA * 16 / 9) ** 0.5
        return whole if most is None or side <= most else whole * (most / side) ** 2

    def items(self) -> Iterator[Item]:
        """All stages, in their order, and what starting them takes."""
        stages = [*self._stages()]
        loading = sum(item.stage.startswith(WITH_NETWORKS) for item in stages)
        starting = value("stage start") * (len(stages) + SMALL_COUNT) + value("network start") * loading
        return iter([*stages, Item("the others", SMALL_STAGES), Item("starting all", starting)])

    def _stages(self) -> Iterator[Item]:
        yield Item(
            "index",
            self._by_workers(value("index") * self.totals.all_subjects_s),
            memory_bytes=self._peak("index"),
        )
        yield self._decode()
        yield self._faces()
        mesh = value("mesh") * self.crops + value("mesh start") * self.totals.videos
        yield Item("mouth", self._by_workers(mesh), memory_bytes=self._peak("mouth"))
        yield self._voice()
        yield from self._at_once(list(self._pretrain()))
        yield from self._at_once([self._finetune(backbone) for backbone in self.params.finetune.compare])
        if self.params.embed.folds:
            yield self._finetune_folds()
        yield self._embed()
        yield self._small_training(
            "train_dynamic", self.params.dynamic.optimisation, self.params.dynamic.window_s
        )
        yield self._kelm(len(self.params.kelm.compare))
        yield from self._at_once([self._train_audio(version) for version in self.params.audio.compare])
        yield self._predict()
        yield self._small_training(
            "train_cross_attention",
            self.params.cross_attention.optimisation,
            self.params.cross_attention.window_s,
        )
        yield self._fuse()
        yield self._degrade()
        yield from self._repeated()

    def _at_once(self, trainings: list[Item]) -> Iterator[Item]:
        """Trainings side by side: each counts the memory of all, and the time that it takes alone."""
        most = self.params.compute.trainings_at_once or (1 if self.machine.gpu else self.machine.cores)
        count = min(most, len(trainings))
        for item in trainings:
            gpu_bytes = None if item.gpu_bytes is None else item.gpu_bytes * count
            yield replace(item, memory_bytes=item.memory_bytes * count, gpu_bytes=gpu_bytes)

    def _by_workers(self, core_s: float) -> float:
        return core_s / min(self.machine.jobs, self.machine.cores)

    def _by_threads(self, core_s: float) -> float:
        return core_s / self.machine.threads

    def _by_network(self, core_s: float) -> float:
        """A network without a published rate on a GPU."""
        if self.machine.gpu:
            return core_s / (value("gpu") * self.machine.gpu_speed)
        return self._by_threads(core_s)

    def _network_basis(self) -> str:
        return "estimated" if self.machine.gpu else "CPU"

    def _peak(self, stage: str, workers: int | None = None) -> float:
        torch_mb = TORCH_MB if self.machine.gpu and stage in ON_GPU else 0.0
        return (PEAK_MB[stage] + torch_mb) * MEGA * (workers or self.machine.jobs)

    @property
    def _native(self) -> float:
        """Seconds of video, as though all of it were 640 x 480."""
        return self.totals.megapixel_s / (640 * 480 / MEGA)

    def _decode(self) -> Item:
        size = "large frame bytes" if self.megapixels > FROM_MEGAPIXELS else "frame bytes"
        kept = self.params.decode.keep_frames
        frames = self.frames * self.megapixels * MEGA * value(size) if kept else 0.0
        sound = self.totals.video_s * self.params.decode.audio_rate_hz * value("sample bytes")
        core_s = value("decode") * self._native if kept else value("grid") * self.totals.video_s
        return Item(
            "decode",
            self._by_workers(core_s),
            disk_bytes=frames + sound,
            memory_bytes=self._peak("decode"),
        )

    def _faces(self) -> Item:
        kept = self.params.decode.keep_frames
        read = value("jpeg") * self.megapixels * self.frames if kept else value("pictures") * self._native
        read += value("crop") * self.crops
        search = value("detector") * self.megapixels * self.frames
        gpu = self.machine.gpu
        seconds = (
            self._by_workers(read) + self._by_network(search) if gpu else self._by_workers(read + search)
        )
        return Item(
            "faces",
            seconds,
            basis=self._network_basis(),
            disk_bytes=self.crops * self.crop_pixels * value("crop bytes"),
            memory_bytes=self._peak("faces"),
        )

    def _voice(self) -> Item:
        backend = VOICES[self.params.voice.backend]
        disk = self.totals.video_s * self.params.voice.rate_hz * 2
        core_s = backend.core_s * self.totals.video_s
        if backend.on_gpu:
            seconds, basis = self._by_network(core_s), self._network_basis()
            return Item("voice", seconds, self.where, basis, None, disk, self._peak("voice", 1))
        shared = self._by_threads(core_s) if backend.all_cores else self._by_workers(core_s)
        return Item("voice", shared, disk_bytes=disk, memory_bytes=self._peak("voice", 1))

    def _epochs(self, settings: OptimSettings) -> tuple[int, int]:
        """Likely, and at most."""
        return min(settings.epochs, self.best_epoch + settings.patience), settings.epochs

    def _image_epoch_s(self, backbone: str, train: float, validation: float, precision: str) -> float:
        """Seconds of one epoch over images."""
        described = self.params.finetune.backbones[backbone]
        net, _ = network(described.architecture, described.image_size)
        frozen = described.architecture == "pose_hrnet"
        if not self.machine.gpu:
            forward = forward_core_s(described.architecture, described.image_size)
            trained = forward if frozen else forward * (1 + value("backward"))
            return self._by_threads(trained * train + forward * validation)
        slower = value("full precision") if precision == "no" else 1.0
        rate = net.seen_per_s if frozen else net.trained_per_s
        computing = (train / rate + validation / net.seen_per_s) * slower / self.machine.gpu_speed
        readers = max(1, min(READERS, self.machine.cores - 1))
        square = value("load image") + value("load") * described.image_size**2 / MEGA
        whole = value("jpeg") * self.megapixels if described.input != "face" else 0.0
        return max(computing, (square + whole) * (train + validation) / readers)

    def _static(
        self,
        stage: str,
        backbone: str,
        train: float,
        validation: float,
        settings: OptimSettings,
        at_once: int,
    ) -> Item:
        described = self.params.finetune.backbones[backbone]
        net, basis = network(described.architecture, described.image_size)
        epoch = self._image_epoch_s(backbone, train, validation, settings.mixed_precision)
        likely, most = self._epochs(settings)
        frozen, draws = described.architecture == "pose_hrnet", self.params.finetune.frozen_draws
        kept = 0.0
        if frozen and draws:  # the trunk alone counts, and sees each picture so often
            epoch = self._image_epoch_s(backbone, draws * train, validation, settings.mixed_precision)
            likely = most = 1
            values = MAP_CHANNELS * (described.image_size / MAP_STRIDE) ** 2 * (draws * train + validation)
            kept = values * (4 if settings.mixed_precision == "no" else 2)
        image = net.seen_bytes if frozen else net.trained_bytes
        used = self.params.embed.backbone == backbone
        return Item(
            f"{stage}@{backbone}",
            likely * epoch,
            self.where,
            basis.lower() if self.machine.gpu else "estimated",
            most * epoch,
            net.parameters * 4 + kept,
            self._peak("finetune", 1),
            net.parameters * 16 + image * at_once if self.machine.gpu else None,
            "" if used else "table 3",
        )

    def _finetune(self, backbone: str, share: float = 1.0) -> Item:
        """Of one backbone, on a share of training."""
        settings = self.params.finetune
        train = min(share * self.images["train"], settings.max_frames_per_epoch or float("inf"))
        at_once = min(settings.batch_size, settings.images_at_once or settings.batch_size)
        return self._static(
            "finetune", backbone, train, self.images["validation"], settings.optimisation, at_once
        )

    def _pretrain(self) -> Iterator[Item]:
        """Where corpora for it lie; without any, the weights pass through unchanged, which takes seconds."""
        settings = self.params.pretrain
        if not has_corpora(Path(settings.corpora)):
            return
        train = float(settings.max_images_per_epoch or 400_000)
        validation = float(settings.max_validation_images or train * settings.validation_share)
        for backbone in self.params.finetune.compare:
            yield self._static(
                "pretrain", backbone, train, validation, settings.optimisation, settings.batch_size
            )

    def _embed(self) -> Item:
        settings = self.params.embed
        described = self.params.finetune.backbones[settings.backbone]
        net, basis = network(described.architecture, described.image_size)
        trained = self.totals.subject_s["train"] * self.fps_hz
        looks = self.crops + (self.crops - trained if settings.mirrored else 0)
        seconds = self._image_epoch_s(settings.backbone, 0.0, looks, settings.mixed_precision)
        return Item(
            "embed",
            seconds,
            self.where,
            basis.lower() if self.machine.gpu else "CPU",
            disk_bytes=self.crops * EMBEDDING_BYTES,
            memory_bytes=self._peak("embed", 1),
            gpu_bytes=net.parameters * 4 + net.seen_bytes * settings.batch_size if self.machine.gpu else None,
        )

    def _small_training(self, stage: str, settings: OptimSettings, window_s: float) -> Item:
        """A temporal model of some 2.4 million weights, each used once a step."""
        train, validation = self.images["train"], self.images["validation"]
        section = self.params.cross_attention if "attention" in stage else self.params.dynamic
        if self.machine.gpu:
            steps = (train + validation) / (window_s * self.fps_hz * section.batch_size)
            epoch, basis = steps * value("gpu step"), "estimated"
        else:
            core_s = 12 * 256**2 * 3 * (train * (1 + value("backward")) + validation) / value("macs")
            epoch, basis = self._by_threads(core_s), "estimated"
        likely, most = self._epochs(settings)
        return Item(stage, likely * epoch, self.where, basis, most * epoch)

    def _kelm(self, sets: int) -> Item:
        """So many sets of functionals, one after the other."""
        settings = self.params.kelm
        windows = self.totals.labelled_s["train"] / settings.window_s
        exact = windows <= settings.max_exact_windows
        size = windows if exact else float(settings.landmarks)
        search = settings.folds * len(settings.gamma_scale) * min(windows, settings.landmarks) ** 3
        core_s = value("solve") * (size**3 + search)
        return Item("kelm", self._by_threads(sets * core_s), memory_bytes=4 * size**2)

    def _train_audio(self, version: str) -> Item:
        settings, speech = self.params.audio, self.params.speech
        spoken = value("speaking") * speech.window_s / speech.hop_s
        train, validation = (spoken * self.totals.labelled_s[split] for split in ("train", "validation"))
        opened = settings.versions[version].trainable_layers  # type: ignore[index]
        share = 1.0 if opened == "all" else min(1.0, opened / 12)
        core_s = sound_core_s(settings.backbone) * (train * (1 + value("backward") * share) + validation)
        epoch = self._by_network(core_s)
        likely, most = self._epochs(settings.optimisation)
        return Item(
            f"train_audio@{version}",
            likely * epoch,
            self.where,
            "estimated",
            most * epoch,
            memory_bytes=self._peak("train_audio", 1),
            only_for="" if version == settings.version else "table 2",
        )

    def _predict(self) -> Item:
        speech = self.params.speech
        heard = self.totals.video_s * speech.window_s / speech.inference_hop_s
        return Item(
            "predict",
            self._by_network(sound_core_s(self.params.audio.backbone) * heard),
            self.where,
            self._network_basis(),
            disk_bytes=self.crops * (256 + 256) * 4,
            memory_bytes=self._peak("predict", 1),
        )

    def _finetune_folds(self) -> Item:
        """One extractor more per fold of training."""
        folds, backbone = self.params.embed.folds, self.params.embed.backbone
        one = self._finetune(backbone, share=1 - 1 / folds)
        return replace(
            one,
            stage="finetune_folds",
            seconds=one.seconds * folds,
            at_most_s=one.longest_s * folds,
            disk_bytes=one.disk_bytes * folds,
        )

    def _degrade(self) -> Item:
        """Validation, made worse in several ways, through the systems again; sound is left as it is."""
        crops = KINDS * self.totals.subject_s["validation"] * self.fps_hz
        settings = self.params.embed
        looks = crops * (1 + settings.mirrored)
        embedded = self._image_epoch_s(settings.backbone, 0.0, looks, settings.mixed_precision)
        return Item("degrade", embedded, self.where, "estimated", disk_bytes=crops * EMBEDDING_BYTES)

    def _repeated(self) -> Iterator[Item]:
        """The temporal model with further seeds; systems fitted again on both splits, for test."""
        dynamic = self.params.dynamic
        if (seeds := self.params.evaluate.seeds) > 1:
            one = self._small_training("seeds", dynamic.optimisation, dynamic.window_s)
            yield replace(one, seconds=one.seconds * seeds, at_most_s=one.longest_s * seeds)
        if self.params.submission.refit != "none":
            again = [
                self._small_training("train_dynamic", dynamic.optimisation, dynamic.window_s),
                self._kelm(1),
                self._train_audio(self.params.audio.version),
            ]
            more = 1 + self.images["validation"] / max(1.0, self.images["train"])
            seconds = more * sum(item.seconds for item in again)
            most = more * sum(item.longest_s for item in again)
            yield Item("refit", seconds, self.where, "estimated", most)

    def _fuse(self) -> Item:
        settings = self.params.fuse
        rate = min(settings.rows_hz or 30.0, 30.0)
        rows = self.totals.labelled_s["validation"] * rate
        growths = len(settings.min_leaf) * len(settings.max_samples)
        trees = max(settings.trees) * growths * settings.folds * (settings.folds + 1) * 2
        grown = value("tree") * rows * (1 - 1 / settings.folds) * trees
        return Item("fuse", grown / self.machine.cores + value("draw") * settings.draws)


def has_corpora(folder: Path) -> bool:
    """Whether a folder for pre-training holds any corpus."""
    return folder.is_dir() and any(
        each.is_dir() and not each.name.startswith(".") for each in folder.iterdir()
    )
