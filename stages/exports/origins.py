"""What a model owes to others, and the terms that its weights come under for it."""

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
"""What stands for a corpus where the weights are the paper's authors'."""
SAMPLE_NOTICE = "trained on the generated sample corpus: these values mean nothing for real people"
"""What everything that comes of a model of the sample corpus must say."""


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Args:
        corpus: where it learnt; "" where it saw none but those of pre-training.
        faces: how its faces were found.
        voice: how its voices were separated; None where it hears none.
        face_backbone: what its embeddings come from; None where it sees no face.
        audio_backbone: name on the hub, folder or configuration; None where it hears nothing.
        pretraining: corpora that the face backbone saw before.
        within: whether the backbones are in its own files; else it learnt from what they said.
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
        """The strictest of the terms that the weights come under, as the hub names it."""
        if pdem := self._pdem():
            return pdem.licence.lower()
        foreign = self.pretraining or (self.face_backbone and self.face_backbone.weights is not None)
        ours = not self.corpus or is_sample(self.corpus)
        return "mit" if ours and not foreign else "other"

    @property
    def base_models(self) -> list[str]:
        """On the hub."""
        pdem = self._pdem()
        return [pdem.name] if pdem else []

    def upstream(self) -> Iterator[Upstream]:
        """Everything of others, and its terms."""
        if self.corpus:
            yield self._corpus()
        place = "in the weights" if self.within else "from whose features it learnt"
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
        """The paper's audio backbone, if it is this one's."""
        return Upstream(PDEM, PDEM_LICENCE, "") if self.audio_backbone == PDEM else None

    def _corpus(self) -> Upstream:
        if is_sample(self.corpus):
            return Upstream(self.corpus, "public domain (drawn from a NASA portrait)", "labels and pictures")
        if self.corpus == PUBLISHED:
            return Upstream(self.corpus, "their authors'", "the weights")
        return Upstream(self.corpus, "its organisers': research only, by agreement", "labels and videos")

    def _tools(self) -> Iterator[Upstream]:
        detector = DETECTORS[self.faces.detector]
        yield Upstream(detector.source, detector.licence, "face detector, not in here")
        if self.voice and (needed := VOICES[self.voice.backend].weights(self.voice.spleeter_model)):
            spleeter = WEIGHTS[needed]
            yield Upstream(spleeter.source, spleeter.licence, "separation of the voice, not in here")
        if self.mouth:
            yield Upstream("MediaPipe", "Apache-2.0", "landmarks of the mouth, not in here")
