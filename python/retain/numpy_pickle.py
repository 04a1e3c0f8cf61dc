"""The picklers of `dump` and `load`, under the name of joblib's module: they can be subclassed."""

from retain._files.dump import dump
from retain._files.joblib_layout import NumpyArrayWrapper
from retain._files.load import load
from retain._files.pickler import NumpyPickler
from retain._files.unpickler import NumpyUnpickler

__all__ = ["NumpyArrayWrapper", "NumpyPickler", "NumpyUnpickler", "dump", "load"]
