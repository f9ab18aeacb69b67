"""Types of the arrays that modules pass to each other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]
Integers = NDArray[np.integer[Any]]
Image = NDArray[np.uint8]
"""(height, width, 3), RGB unless a name says otherwise."""
