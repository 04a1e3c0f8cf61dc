"""What the workers of bench/parallel.py do. It needs numpy and no more, as what they import counts."""

from __future__ import annotations

import os
import time

import numpy as np


def nothing(number):
    return number


def numbers(number):
    return float(np.full(10, number).sum())


def total(array):
    return float(array[::512].sum())


def array(megabytes):
    return np.ones(int(megabytes * 1e6) // 8)


def sleep(seconds):
    time.sleep(seconds)


def reads(array):
    result = float(array.sum())
    time.sleep(0.02)
    return result


def pid_of(seconds):
    time.sleep(seconds)
    return os.getpid()
