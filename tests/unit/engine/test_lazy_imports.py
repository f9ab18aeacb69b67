"""A module imported without need is loaded when it is used, and not before."""

import subprocess
import sys

import pytest

CODE = """
import sys, xml.dom
from stages.engine.lazy_imports import loaded_on_use
with loaded_on_use("xml.dom.minidom"):
    import xml.dom.minidom as dom
assert "xml.dom.minidom" not in sys.modules
assert dom.parseString("<a/>").documentElement.tagName == "a"
import xml.dom.minidom
assert xml.dom.minidom.Document is dom.Document
with loaded_on_use("xml.dom.minidom"):
    import xml.dom.minidom as again
assert again is xml.dom.minidom
"""


def test_a_module_is_loaded_at_its_first_use() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)


USED_AT_ONCE = """
import sys, xml.dom
from stages.engine.lazy_imports import loaded_on_use
with loaded_on_use("xml.dom.minidom"):
    import xml.dom.minidom as dom
    assert dom.__file__.endswith("minidom.py")
import xml.dom.minidom
assert xml.dom.minidom.Document is dom.Document
"""


def test_a_module_may_be_used_where_its_import_is_deferred() -> None:
    subprocess.run([sys.executable, "-c", USED_AT_ONCE], check=True)


MEDIAPIPE = """
import sys
from stages.engine.lazy_imports import slim_mediapipe
with slim_mediapipe():
    from mediapipe.python.solutions.face_detection import FaceDetection
    from mediapipe.python.solutions.face_mesh import FaceMesh
left_out = ("mediapipe.tasks.python.vision", "mediapipe.python.solutions.hands", "matplotlib", "sounddevice")
print([name for name in left_out if name in sys.modules])
import mediapipe
from mediapipe.tasks import python as tasks
print(mediapipe.solutions.face_mesh.FaceMesh is FaceMesh)
print(mediapipe.solutions.hands.Hands.__name__, mediapipe.solutions.drawing_utils.DrawingSpec().thickness)
print(mediapipe.tasks.vision.RunningMode.IMAGE.name, mediapipe.tasks.text.TextEmbedder.__name__)
print(tasks.BaseOptions is mediapipe.tasks.BaseOptions)
"""


def test_mediapipe_loads_faces_alone_and_gives_others_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", MEDIAPIPE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "True", "Hands 2", "IMAGE TextEmbedder", "True", ""]


COMPILER = """
import sys
from stages.engine.lazy_imports import without_compiler
without_compiler()
import torch, torchvision, timm, transformers
transformers.Wav2Vec2Model
weight = torch.nn.Parameter(torch.ones(2))
optimiser = torch.optim.AdamW([weight], lr=0.5, weight_decay=0.0)
(3 * weight).sum().backward()
optimiser.step()
print("torch._dynamo.convert_frame" in sys.modules, weight.tolist())
doubled = torch.compile(lambda x: 2 * x, backend="eager")
print(doubled(torch.ones(1)).item(), "torch._dynamo.convert_frame" in sys.modules)
from torch._dynamo.utils import is_compile_supported
from transformers.masking_utils import TransformGetItemToIndex
print(type(TransformGetItemToIndex()).__mro__[1].__name__, torch._dynamo.allow_in_graph.__module__)
print(sys.modules["torch._dynamo"].__name__, torch._dynamo.__spec__ is not None)
"""


@pytest.mark.long
def test_optimisers_and_networks_need_no_compiler_and_who_compiles_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [
        "False [0.5, 0.5]",
        "2.0 True",
        "TorchFunctionMode torch._dynamo.decorators",
        "torch._dynamo True",
        "",
    ]


SIGNAL = """
import importlib, sys
from threading import Thread
from stages.engine.lazy_imports import slim_signal
with slim_signal():
    import scipy.signal
    print([name for name in ("scipy.ndimage._filters", "scipy.stats._stats_py") if name in sys.modules])
    other = Thread(target=lambda: importlib.import_module("scipy.ndimage._filters"))
    other.start()
    other.join()
print("scipy.ndimage._filters" in sys.modules, "scipy.interpolate" in sys.modules)
print(scipy.signal.resample_poly([1.0, 1.0], 2, 1).shape, round(scipy.signal.gauss_spline(0.0, 3), 6))
print(scipy.signal.savgol_filter([0.0, 0, 3, 0, 0], 3, 1, mode="nearest").tolist())
print(scipy.signal.find_peaks_cwt([0, 0, 1, 5, 1, 0, 0], [1, 2]).tolist())
print(scipy.signal.buttord([0.2, 0.5], [0.1, 0.6], 3, 40)[0])
from scipy.stats import norm
import scipy.interpolate
print(norm.ppf(0.5), scipy.interpolate.BSpline.__name__, scipy.stats.norm is norm)
"""


def test_signal_processing_loads_alone_and_gives_its_functions_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNAL], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [
        "[]",
        "True False",
        "(4,) 0.690988",
        "[0.0, 1.0, 1.0, 1.0, 0.0]",
        "[3]",
        "9",
        "0.0 BSpline True",
        "",
    ]


TRANSFORMERS = """
import sys, torch
from stages.engine.lazy_imports import slim_transformers, without_compiler
without_compiler()
with slim_transformers():
    from transformers.models.wav2vec2.configuration_wav2vec2 import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Model
small = dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8, conv_dim=[8] * 7)
model = Wav2Vec2Model(Wav2Vec2Config(**small)).eval()
print(*model(torch.zeros(1, 800), attention_mask=torch.ones(1, 800)).last_hidden_state.shape)
left_out = ("scipy", "sympy", "torch.distributed.tensor", "torch.distributed.fsdp", "transformers.models.bert")
print([name for name in left_out if name in sys.modules], "AutoModel" in vars(sys.modules["transformers"]))
from transformers.loss.loss_for_object_detection import linear_sum_assignment
print(*linear_sum_assignment([[1, 2], [0, 5]])[1], "scipy.optimize._lsap" in sys.modules)
import transformers, transformers.utils
from transformers import AutoModel, BertConfig
print(transformers.Wav2Vec2Model is Wav2Vec2Model, type(AutoModel.from_config(model.config)) is Wav2Vec2Model)
print(transformers.BertModel(BertConfig(**{**small, "vocab_size": 9})).config.vocab_size)
print(transformers.utils.is_torch_distributed_available() == torch.distributed.is_available())
"""


@pytest.mark.long
def test_networks_of_transformers_load_what_they_use_and_who_uses_more_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", TRANSFORMERS], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["1 2 16", "[] False", "1 0 True", "True True", "9", "True", ""]


LIBRARY = """
import importlib.machinery, sys
from stages.audio.backbone import _classes
sys.modules["__main__"].__spec__ = importlib.machinery.ModuleSpec(sys.argv[1], None) if sys.argv[1] else None
print(_classes("wav2vec2")[1].__name__, "AutoModel" in dir(sys.modules["transformers"]))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "whole"),
    [("stages.train_audio", False), ("joblib.externals.loky.backend.popen_loky_posix", False), ("", True)],
)
def test_transformers_is_whole_in_programs_of_others(program: str, whole: bool) -> None:
    command = [sys.executable, "-c", LIBRARY, program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Wav2Vec2Model", str(whole)]


TREES = """
import sys
from stages.engine.lazy_imports import slim_sklearn
with slim_sklearn():
    from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower
    from sklearn.tree._tree import Tree
left_out = ("scipy.stats", "pandas", "sklearn.tree._classes", "sklearn.ensemble._forest", "sklearn.metrics")
print([name for name in left_out if name in sys.modules])
import sklearn.ensemble
from sklearn.tree import DecisionTreeRegressor, _tree
print(type(DecisionTreeRegressor().fit([[0], [1]], [2.0, 3.0]).tree_) is Tree, _tree.Tree is Tree)
print(sklearn.ensemble.HistGradientBoostingRegressor().fit([[0], [1]], [2.0, 3.0]).predict([[0]]))
print(sklearn.ensemble._hist_gradient_boosting.gradient_boosting.TreeGrower is TreeGrower)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils import fixes
print(KNeighborsRegressor(1).fit([[0], [1]], [2.0, 3.0]).predict([[1]]))
print(fixes.pd.Series([1]).sum(), fixes.scipy.stats.norm.ppf(0.5))
"""


def test_trees_load_alone_and_who_uses_an_estimator_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", TREES], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "True True", "[2.5]", "True", "[3.]", "1 0.0", ""]
