"""A module imported without need is loaded when it is used, and not before."""

import subprocess
import sys

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
