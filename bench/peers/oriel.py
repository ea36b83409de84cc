# SPDX-License-Identifier: BSL-1.0
"""Ours, in the same process and on the same arrays: liboriel_peer.so (oriel_peer.cpp)."""

import ctypes

import numpy as np


class _Shape(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int64)
        for name in "q_len kv_len q_heads kv_heads dim v_dim window causal by_head threads".split()
    ]


def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    library.oriel_peer_create.restype = ctypes.c_void_p
    library.oriel_peer_attend.restype = ctypes.c_char_p
    library.oriel_peer_attend.argtypes = [ctypes.c_void_p] * 5
    library.oriel_peer_destroy.argtypes = [ctypes.c_void_p]
    library.oriel_peer_compiler.restype = ctypes.c_char_p
    return library


def describe(path: str) -> str:
    """The compiler and the register width of a library."""
    library = _load(path)
    return f"{library.oriel_peer_compiler().decode()}, {32 * library.oriel_peer_lanes()}-bit registers"


class Oriel:
    """The interface of an adapter (adapters/__init__.py), for arrays that lie as the case says."""

    def __init__(self, path: str):
        self._library = _load(path)

    def prepare(self, case, q, caches):
        shape = _Shape(
            q_len=case.q_len,
            kv_len=case.kv_len,
            q_heads=case.q_heads,
            kv_heads=case.kv_heads,
            dim=case.dim,
            v_dim=case.v_dim,
            window=case.window or 0,
            causal=case.causal,
            by_head=case.layout == "heads",
            threads=case.threads,
        )
        self._handle = self._library.oriel_peer_create(ctypes.byref(shape))
        if not self._handle:
            raise MemoryError("oriel_peer_create")
        self._out = np.full((case.q_len, case.q_heads, case.v_dim), np.nan, np.float32)
        self._arrays = (q, caches)  # kept alive: the calls hold addresses
        self._calls = [
            [self._handle, *(x.ctypes.data for x in (q, k, v, self._out))] for k, v in caches
        ]

    def run(self, copy: int):
        fault = self._library.oriel_peer_attend(*self._calls[copy])
        if fault is not None:
            raise RuntimeError(f"oriel: {fault.decode()}")

    def answer(self) -> np.ndarray:
        return self._out
