"""Pre-train a static model on the gathered corpora: emotions, valence and arousal together.

    python -m stages.pretrain efficientnet_b1          (dvc repro pretrain)

Reads   data/gather/<corpus>/<shard>.h5                       face crops and their labels
        the weights that finetune.backbones names             of ImageNet, or of COCO's joints
        the model that pretrain.start names                   made by this stage before: training goes on
Writes  models/pretrained_static/<backbone>.safetensors       the best weights by `score`
        metrics/pretrain/<backbone>/                          metrics.json, plots/: training curves
Params  pretrain; finetune: backbones, dropout, tanh_output

Paper, sections 3.2.1 and 4.1. The loss is log-cosh on valence and arousal plus a focal loss, weighted by
inverse frequency, on the emotions; a label that an image lacks is no part of it. Ours, by parameters: CCC in
place of log-cosh; the shares of the votes for each emotion, where they are published, in place of the winner;
valence and arousal derived from these votes (`corpora.votes`); a moving average of the weights.

`score` decides which epoch is kept and when to stop: the mean of the CCC of valence and arousal and of the
balanced accuracy of the emotions, rescaled so that chance is 0. Both are 0 at chance and 1 at best, and
neither gains by preferring what is frequent, as an RMSE or a plain accuracy would. Where one kind of label is
missing, it is the other.

A picture that stands in a later part of its corpus too (train, validation, test) is left out of the earlier
one. A corpus with a test part, FER+, is scored on it once, at the end: whole, as published figures are, and
without the pictures that stand in another part.

Without any corpus, and for models that don't look at a face (their trunk stays as published), the stage
passes on the model that it would start from, and reports that.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import write_json
from stages.core.corpus import Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note
from stages.core.params import FinetuneParams, PretrainParams, Section, Statistics, load_params
from stages.corpora.emotion_scores import emotion_scores
from stages.corpora.labelled_faces import LabelledFaces, emotion_counts, gathered
from stages.corpora.table import EMOTIONS, NO_EMOTION
from stages.engine.device import torch_device
from stages.engine.launch import trainings_at_once
from stages.engine.progress import say
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.vision.backbones import OF_FACES, describe, pretrained_weights, static_config

NO_CORPORA = "no pre-training corpus is there"
NO_FACE = "it doesn't look at a face: its trunk stays as published"


class Settings(Section):
    """What decides the result: the section `pretrain`, and the model from the section `finetune`."""

    pretrain: PretrainParams
    config: dict[str, Any]
    statistics: Statistics | None = None


def train(unit: Unit, settings: Settings) -> list[Note]:
    """Pre-train one model, or pass its initial weights on unchanged."""
    import torch

    from stages.vision.architectures import new_static, start_config

    options, faces = settings.pretrain, _faces(unit, settings.pretrain)
    torch.manual_seed(options.optimisation.seed)
    weights = unit.reads.get("weights")
    statistics = settings.statistics.model_dump() if settings.statistics else None
    config = start_config(settings.config, weights, statistics)
    settings = settings.model_copy(update={"config": config})
    model = new_static(config, weights)
    if "start" in unit.reads:
        _go_on_from(unit.reads["start"], model)
    if reason := unit.facts["reason"] or (None if len(faces.target) else NO_CORPORA):
        _hand_on(unit, settings, model, reason)
    else:
        _learn(unit, settings, model, faces)
    return []


def _go_on_from(start: Path, model: Any) -> None:
    """Take all weights, those of the added layers too, from a model that this stage made before."""
    from stages.training.checkpoints import load_model
    from stages.vision.architectures import build_static

    try:
        model.load_state_dict(load_model(start, build_static).state_dict())
    except RuntimeError as mismatch:
        raise BadInput(
            start,
            f"it isn't a model like the one to train: {mismatch}",
            "Describe the same backbone in finetune.backbones, or set pretrain.start: null",
        ) from None


def _hand_on(unit: Unit, settings: Settings, model: Any, reason: str) -> None:
    """The initial weights are the result; a table of no epochs replaces the curves."""
    from stages.training.checkpoints import save_model
    from stages.training.curves import write_no_epochs

    save_model(unit.writes["model"], model, settings.config)
    start = unit.facts["start"]
    say(f"pretrain {unit.name}: {reason}; {start} pass through unchanged")
    write_json(unit.writes["metrics"], {"corpora": {}, "reason": reason, "start": start})
    write_no_epochs(unit.writes["plots"])


def _learn(unit: Unit, settings: Settings, model: Any, faces: LabelledFaces) -> None:
    from stages.training.checkpoints import save_model
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.vision.batches import training_batches

    options = settings.pretrain
    seed, most = options.optimisation.seed, options.max_validation_images
    validation = _images(faces, sample_of(faces.of("validation"), most, seed), settings)
    course = Course(options, settings.config["image_size"])
    with Curves(f"pretrain {unit.name}", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            _loss(faces, options, course),
            training_batches(
                _images(faces, faces.of("train"), settings, training=True),
                options.batch_size,
                options.max_images_per_epoch,
            ),
            lambda net: _score(net, validation, options),
            options.optimisation,
            stop_on="score",
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            groups=model.layer_groups(),
            before_epoch=course.begin,
            after_epoch=curves,
        )
        save_model(unit.writes["model"], fitted.restore(model, "score"), settings.config)
        facts: dict[str, Any] = {"corpora": faces.counts(), "start": unit.facts["start"]}
        chosen = fitted.history[fitted.best["score"].epoch - 1].scores
        if tested := _test_scores(model, faces, settings):
            facts["test"] = tested
        curves.deliver(fitted, unit.writes["plots"], unit.writes["metrics"], scores=chosen, **facts)


def sample_of(chosen: Flags, most: int | None, seed: int) -> Flags:
    """At most so many of the images chosen, drawn once; all of them for None. Shape: (N,) -> (N,)."""
    there = np.flatnonzero(chosen)
    if most is None or len(there) <= most:
        return chosen
    drawn = np.zeros(len(chosen), bool)
    drawn[np.random.default_rng(seed).choice(there, most, replace=False)] = True
    return drawn


class Course:
    """How pictures in memory are changed, from phase to phase of the training.

    Small pictures cost a fraction, and coarse features are learnt from them as well (progressive resizing:
    Howard 2018; Tan & Le 2021, whose augmentation grows too); distortions gone at the end leave the last
    epochs to pictures as they are in use (He et al. 2019).

    Args:
        options: its `batch_augmentation`, and the phases; epochs beyond those are as the former says.
        size_px: the model's own.
    """

    def __init__(self, options: PretrainParams, size_px: int) -> None:
        self._options, self._size_px = options, size_px
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Go to the phase that an epoch, from 0, is in."""
        self.image_size, self.changes = self._size_px, self._options.batch_augmentation
        for phase in self._options.phases:
            if epoch < phase.epochs:
                self.image_size = phase.image_size or self._size_px
                if self.changes:
                    self.changes = self.changes.times(phase.augmentation)
                return
            epoch -= phase.epochs

    def pictures(self, image: Any) -> Any:
        """A batch as it is trained on. Shape: (B, C, S, S) uint8 -> (B, C, image_size, image_size) uint8."""
        from stages.vision.batch_augmentation import augment_batch, scaled

        return image if self.changes is None else scaled(augment_batch(image, self.changes), self.image_size)


def _loss(faces: LabelledFaces, options: PretrainParams, course: Course) -> Any:
    """The loss of one batch; pictures in memory are changed here, all of a batch at once."""
    import torch

    from stages.training.losses import balanced_weights, class_probability, multi_task_loss

    weights = None
    if options.class_weights == "balanced":
        counts = torch.from_numpy(emotion_counts(faces.target[faces.of("train")], len(EMOTIONS)))
        weights = balanced_weights(counts).to(torch_device())

    def loss(net: Any, batch: Any) -> Any:
        output = net(course.pictures(batch.image))
        emotion, shares = batch.target[:, 2].long(), batch.target[:, 3:]
        return multi_task_loss(
            output.valence_arousal,
            batch.target[:, :2],
            output.emotion,
            class_probability(emotion, shares, options.emotion_labels == "votes"),
            weights,
            emotion_weight=options.emotion_weight,
            focusing=options.focal_gamma,
            concordance=options.regression_loss == "ccc",
        )

    return loss


def _faces(unit: Unit, options: PretrainParams) -> LabelledFaces:
    """The table of all corpora; nothing of it is read where nothing is learnt."""
    shards: dict[str, list[Path]] = {}
    for role in sorted(unit.reads):
        if role.startswith("faces/"):
            shards.setdefault(role.split("/")[1], []).append(unit.reads[role])
    derive = options.derive_valence_arousal
    return gathered(shards, options.validation_share, options.optimisation.seed, derive)


def _images(faces: LabelledFaces, chosen: Flags, settings: Settings, *, training: bool = False) -> Any:
    """Some of the images; their target is valence, arousal, emotion, and the shares of the votes.

    Args:
        faces: all of them.
        chosen: (N,) bool.
        settings: the size, and whether they are kept in memory (changed one by one, they aren't).
        training: change them at random.
    """
    from stages.vision.augmentation import build_augmentation
    from stages.vision.cached_images import CachedImages
    from stages.vision.face_images import FaceImages

    if chosen.sum() < 2:
        raise ValaroError(
            "the pre-training corpora hold too few speakers for a speaker-independent split: "
            f"{int(chosen.sum())} images on one side; see data/gather/notes.json"
        )
    options, size_px = settings.pretrain, settings.config["image_size"]
    target = np.column_stack([faces.target, faces.shares])[chosen]
    rows = (faces.file_index[chosen], faces.crop_index[chosen], target)
    if options.in_memory and not (training and options.augmentation.names):
        return CachedImages(faces.files, *rows, size_px, settings.config.get("pixels") == "grey")
    changes = options.augmentation
    augment = build_augmentation(changes.names, changes.probability) if training else None
    return FaceImages(faces.files, *rows, size_px, augment)


def _test_scores(model: Any, faces: LabelledFaces, settings: Settings) -> dict[str, Any]:
    """Corpus -> scores on its test part: all of it, and without pictures that stand elsewhere too."""
    found: dict[str, Any] = {}
    for corpus in sorted(faces.speakers):
        official = faces.of("test") & (faces.corpus == corpus)
        subsets = {"official": official, "without_copies": official & ~faces.repeated}
        if official.sum() > 1:
            found[corpus] = {
                name: {"images": int(chosen.sum())}
                | _score(model, _images(faces, chosen, settings), settings.pretrain)
                for name, chosen in subsets.items()
            }
    return found


def _score(model: Any, images: Any, options: PretrainParams) -> dict[str, float]:
    """RMSE and CCC over the images with valence and arousal, accuracy and F1 over those with an emotion."""
    import torch

    from stages.vision.batches import scoring_batches

    device = next(model.parameters()).device
    truth, estimated, logits = [], [], []
    for batch in scoring_batches(images, options.batch_size):
        with torch.no_grad():
            output = model(batch.image.to(device))
        truth.append(batch.target.numpy())
        estimated.append(output.valence_arousal.float().cpu().numpy())
        logits.append(output.emotion.float().cpu().numpy())
    return scores_of(np.concatenate(truth), np.concatenate(estimated), np.concatenate(logits))


def scores_of(truth: Floats, valence_arousal: Floats, logits: Floats) -> dict[str, float]:
    """All scores that the labels allow; `score` among them (see the module).

    Shape: truth (N, 3) valence, arousal, emotion; valence_arousal (N, 2); logits (N, classes).

    Raises:
        ValaroError: they allow none.
    """
    from stages.vision.batches import image_scores

    rated = ~np.isnan(truth[:, :2]).any(axis=1)
    scores = image_scores(truth[rated, :2], valence_arousal[rated]) if rated.any() else {}
    rows = truth[:, 2] != NO_EMOTION
    if len(np.unique(truth[rows, 2])) > 1:
        scores |= emotion_scores(truth[rows, 2].astype(int), logits[rows].argmax(axis=1))
    parts = [scores[name] for name in ("mean_ccc", "informedness") if name in scores]
    if not parts:
        raise ValaroError(
            "the validation images have neither valence and arousal nor two different emotions; "
            "raise pretrain.validation_share or add a corpus"
        )
    return scores | {"score": float(np.mean(parts))}


def unit_of(workspace: Workspace, backbone: str, settings: FinetuneParams, first: str | None = None) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    description = describe(settings, backbone)
    weights = pretrained_weights(description)
    reads = {"weights": weights} if weights else {}
    if first:
        reads["start"] = workspace.root / first
        if not reads["start"].is_file():
            raise BadInput(reads["start"], "no such file", "Set pretrain.start to a model, or to null")
    reason = None if description.input in OF_FACES else NO_FACE
    if reason is None:
        root = workspace.folder("gather")
        for path in sorted(root.glob("*/*.h5")):
            reads[f"faces/{path.relative_to(root).with_suffix('').as_posix()}"] = path
    writes = {
        "model": workspace.model(f"pretrained_static/{backbone}.safetensors"),
        "plots": workspace.metrics(f"pretrain/{backbone}/plots"),
        "metrics": workspace.metrics(f"pretrain/{backbone}/metrics.json"),
    }
    start = f"the weights of {weights.name}" if weights else "weights drawn at random"
    if first:
        start = f"the model {Path(first).name}"
    return Unit(backbone, reads, writes, {"reason": reason, "start": start})


def pretrain(backbone: str) -> None:
    """Run the stage on params.yaml for one of finetune.compare."""
    params, workspace = load_params(), Workspace()
    without_place = params.pretrain.model_copy(update={"corpora": "", "start": None})

    def described(backbone: str) -> tuple[Unit, Settings]:
        unit = unit_of(workspace, backbone, params.finetune, params.pretrain.start)
        description = describe(params.finetune, backbone)
        config = static_config(description, params.finetune.dropout, params.finetune.tanh_output)
        return unit, Settings(pretrain=without_place, config=config, statistics=description.statistics)

    entries, at_once = params.finetune.compare, trainings_at_once(params.compute)
    # Models that only pass through are a matter of moments: one process starts PyTorch for all of them.
    jobs = at_once if any(workspace.folder("gather").glob("*/*.h5")) else 1
    with Stage("pretrain") as stage:
        stage.run_entry(train, backbone, entries, described, at_once, jobs)


if __name__ == "__main__":
    main("pretrain")
