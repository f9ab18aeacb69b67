"""Read and write YAML 1.2, the version that DVC uses.

`dvc exp run -S` rewrites params.yaml: it removes the quotes of `no` and writes 0.00001 as `1e-05`. In YAML
1.1 the first is false and the second a string, so a reader for 1.1 would report edits that nobody made.
"""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.errors import ValaroError

ONE_LINE = 10_000


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ValaroError: the file is missing, isn't UTF-8, or isn't YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValaroError(
            f"{path.absolute()} is missing. Run this from the repository, or copy a profile."
        ) from None
    except UnicodeDecodeError as error:
        raise ValaroError(f"{path}: byte {error.start} is not UTF-8. Save it as UTF-8 text.") from None
    for pure in (False, True):  # libyaml is four times as fast, but refuses some valid YAML: {a:1}
        try:
            return YAML(typ="safe", pure=pure).load(text)
        except Exception as error:  # its own, or e.g. ValueError for an impossible date or number
            refusal = error
    raise ValaroError(f"{path}: not valid YAML: {refusal}") from None


def yaml_text(value: Any, *, flow: bool = False) -> str:
    """A value as YAML, with keys in their order, without the final line break.

    Args:
        value: mappings, lists and scalars.
        flow: write one line, with braces and brackets.

    >>> yaml_text({"mixed_precision": "no", "rate": 1e-05}, flow=True)
    '{mixed_precision: no, rate: 1e-05}'
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = flow, ONE_LINE, True
    yaml.sort_base_mapping_type_on_output = False
    text = StringIO()
    yaml.dump(value, text)
    return text.getvalue().removesuffix("\n").removesuffix("\n...")
