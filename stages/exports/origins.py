"""Third-party data and models behind a trained model, and the licence of its weights that follows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.corpus import is_sample
from stages.core.detectors import DETECTORS
from stages.core.params import BackboneParams, FacesParams, VoiceParams
from stages.core.voices import VOICES
from stages.core.weights import PDEM, PDEM_LICENCE, WEIGHTS
from stages.exports.card import Upstream

PUBLISHED = "the authors' published checkpoints"
"""In place of a corpus, for weights of the paper's authors."""
SAMPLE_NOTICE = "trained on the generated sample corpus: these values mean nothing for real people"
"""Must be in every output of a model of the sample corpus."""


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Args:
        corpus: the corpus it was trained on; "" if only on those of pre-training.
        faces: parameters of face detection.
        voice: parameters of voice separation; None for a model without sound.
        face_backbone: the backbone of its embeddings; None for a model without faces.
        audio_backbone: name on the Hugging Face hub, folder or configuration; None for a model without sound.
        pretraining: corpora that the face backbone was pre-trained on.
        within: whether the model's own files have the backbones; else it was trained on their features.
        mouth: whether it depends on when the person speaks.
    """

    corpus: str
    faces: FacesParams
    voice: VoiceParams | None
    face_backbone: BackboneParams | None
    audio_backbone: str | Mapping[str, Any] | None
    pretraining: Sequence[str] = ()
    within: bool = True
    mouth: bool = True

    @property
    def licence(self) -> str:
        """The strictest licence that applies to the weights, as the Hugging Face hub names it."""
        if pdem := self._pdem():
            return pdem.licence.lower()
        pretrained = self.pretraining or (self.face_backbone and self.face_backbone.weights is not None)
        ours = not self.corpus or is_sample(self.corpus)
        return "mit" if ours and not pretrained else "other"

    @property
    def base_models(self) -> list[str]:
        """Names of the base models on the Hugging Face hub."""
        pdem = self._pdem()
        return [pdem.name] if pdem else []

    def upstream(self) -> Iterator[Upstream]:
        """Everything of third parties, with its licence."""
        if self.corpus:
            yield self._corpus()
        place = "in the weights" if self.within else "trained on its features"
        if pdem := self._pdem():
            yield Upstream(pdem.name, f"{pdem.licence}: no commercial use", f"audio backbone, {place}")
        if self.face_backbone and self.face_backbone.weights is not None:
            described = self.face_backbone
            coco = described.architecture == "pose_hrnet"
            terms = "MIT; COCO" if coco else "Apache-2.0; ImageNet: research only"
            yield Upstream(f"{described.architecture}, pre-trained", terms, f"face backbone, {place}")
        for corpus in self.pretraining:
            yield Upstream(corpus, "its authors': mostly research only", f"face backbone, {place}")
        yield from self._tools()

    def _pdem(self) -> Upstream | None:
        """The paper's audio backbone, if this model uses it."""
        return Upstream(PDEM, PDEM_LICENCE, "") if self.audio_backbone == PDEM else None

    def _corpus(self) -> Upstream:
        if is_sample(self.corpus):
            return Upstream(
                self.corpus, "public domain (generated from a NASA portrait)", "labels and pictures"
            )
        if self.corpus == PUBLISHED:
            return Upstream(self.corpus, "their authors'", "the weights")
        return Upstream(self.corpus, "its organisers': research only, by agreement", "labels and videos")

    def _tools(self) -> Iterator[Upstream]:
        detector = DETECTORS[self.faces.detector]
        yield Upstream(detector.source, detector.licence, "face detector, not included")
        if self.voice and (needed := VOICES[self.voice.backend].weights(self.voice.spleeter_model)):
            spleeter = WEIGHTS[needed]
            yield Upstream(spleeter.source, spleeter.licence, "separation of the voice, not included")
        if self.mouth:
            yield Upstream("MediaPipe", "Apache-2.0", "landmarks of the mouth, not included")
