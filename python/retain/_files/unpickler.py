"""The unpickler that reads from a reader."""

import _pickle


def unpickle(reader):
    return _pickle.Unpickler(reader, buffers=reader).load()
