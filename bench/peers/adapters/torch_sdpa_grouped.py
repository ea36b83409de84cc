# SPDX-License-Identifier: BSL-1.0
"""scaled_dot_product_attention with the query heads of a group as rows of one head.

A single query needs no mask, so its heads that share keys can be attended together: what an engine
that knows PyTorch does for decode. It reads each key once per group, enable_gqa once per query head.
"""

from adapters import torch_sdpa


class Adapter(torch_sdpa.Adapter):
    def supports(self, case):
        return None if case.q_len == 1 else "several queries need a mask per row"

    def prepare(self, case, q, caches):
        super().prepare(case, q, caches)
        self._q = self._q.view(1, case.kv_heads, -1, case.dim)

    def answer(self):
        return self._out.reshape(1, -1, self._out.shape[-1]).numpy()
