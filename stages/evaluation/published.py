"""The values that the paper prints, to stand beside ours (tables 2 to 6, and one in the text).

Dresvyanskiy et al., Multi-modal Arousal and Valence Estimation under Noisy Conditions, ABAW 2024. CCC, and
RMSE in table 3. On Aff-Wild2: beside figures of any other corpus they say nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row of a table of the paper; None where it prints nothing."""

    name: str
    valence: float | None
    arousal: float | None
    mean: float | None


AUDIO = {
    "v1": Published("AudioModelV1", 0.282, 0.377, 0.329),
    "v2": Published("AudioModelV2", 0.241, 0.375, 0.308),
    "v3": Published("AudioModelV3", 0.290, 0.400, 0.345),
}
"""Table 2: development CCC over 4 s windows, speaking ones only; by version."""

STATIC = {
    "efficientnet_b1": Published("EN-B1", 0.3593, 0.2392, 0.2993),
    "efficientnet_b4": Published("EN-B4", 0.3611, 0.2387, 0.2999),
    "vit_base_patch16_224": Published("ViT-B-16", 0.3805, 0.2516, 0.3111),
    "pose_hrnet": Published("HRNet", 0.4173, 0.2804, 0.3489),
}
"""Table 3: development RMSE of single images; by architecture. ViT-B-16's mean is as printed: its two figures
make 0.3161."""

FUNCTIONALS = {
    "mean_min_max": Published("mean+min+max", 0.398, 0.581, 0.489),
    "mean_max": Published("mean+max", 0.393, 0.583, 0.488),
    "mean_min": Published("mean+min", 0.411, 0.580, 0.495),
}
"""Table 4: development CCC of the KELM; by functionals."""

SYSTEMS = {
    "dynamic": Published("1 face-based E2E", 0.523, 0.626, 0.574),
    "dwf_dynamic_audio": Published("2 DWF (1, audio)", 0.532, 0.649, 0.591),
    "dwf_dynamic_audio_kelm": Published("3 DWF (1, audio, functionals)", 0.528, 0.641, 0.584),
    "rf_dynamic_audio_kelm": Published("4 RF (1, audio, functionals)", 0.738, 0.787, 0.763),
}
"""Table 5: development CCC, fusions fitted and scored on the same videos; by system."""

SYSTEMS_TEST = {
    "dynamic": Published("1 face-based E2E", 0.5355, 0.5861, 0.5608),
    "dwf_dynamic_audio": Published("2 DWF (1, audio)", 0.5307, 0.5792, 0.5549),
    "dwf_dynamic_audio_kelm": Published("3 DWF (1, audio, functionals)", 0.5259, 0.5624, 0.5441),
    "rf_dynamic_audio_kelm": Published("4 RF (1, audio, functionals)", 0.4014, 0.4635, 0.4324),
}
"""Table 5: test CCC, as the organisers measured it."""

HRNET_DYNAMIC = Published("HRNet embeddings, dynamic", 0.0984, 0.0415, None)
"""Section 5: development CCC of the dynamic model on HRNet's embeddings."""

TEAMS = (
    Published("Zhang et al.", 0.6873, 0.6569, 0.6721),
    Published("Praveen and Alam", 0.5418, 0.6196, 0.5807),
    Published("Zhou et al.", 0.5223, 0.6057, 0.5640),
    Published("the paper", 0.5355, 0.5861, 0.5608),
    Published("Yu et al.", 0.5208, 0.5748, 0.5478),
    Published("Savchenko", 0.4925, 0.5461, 0.5193),
    Published("Kim et al.", 0.4836, 0.5318, 0.5077),
    Published("Waligora et al.", 0.4198, 0.4669, 0.4434),
    Published("CAS-MAIS team", 0.4245, 0.3414, 0.3830),
    Published("Min et al.", 0.2912, 0.2456, 0.2684),
    Published("baseline", 0.2110, 0.1910, 0.2010),
)
"""Table 6: test CCC of the challenge's teams, best first."""
