# SPDX-License-Identifier: BSL-1.0
"""torch.nn.attention.flex_attention, compiled, with a block mask."""

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from adapters.torch_sdpa import heads_first, tokens_first


def mask_function(case):
    offset, window, causal = case.first_query, case.window, case.causal

    def visible(batch, head, query, key):
        seen = key >= 0
        if causal:
            seen = seen & (key <= query + offset)
        if window is not None:
            seen = seen & (query + offset - key < window)
        return seen

    return visible


class Adapter:
    packages = ("torch",)
    storage = "fp32"

    def __init__(self):
        self._out = None

    def supports(self, case):
        return None

    def prepare(self, case, q, caches):
        torch.set_num_threads(case.threads)
        self._q = heads_first(q)
        self._caches = [tuple(heads_first(x) for x in kv) for kv in caches]
        self._mask = create_block_mask(
            mask_function(case), None, None, case.q_len, case.kv_len, device="cpu"
        )
        self._attend = torch.compile(flex_attention, fullgraph=True, dynamic=False)

    def run(self, copy):
        k, v = self._caches[copy]
        with torch.inference_mode():
            self._out = self._attend(self._q, k, v, block_mask=self._mask, enable_gqa=True)

    def answer(self):
        return tokens_first(self._out)
