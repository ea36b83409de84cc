# SPDX-License-Identifier: BSL-1.0
"""torch.nn.functional.scaled_dot_product_attention."""

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention


def heads_first(rows: np.ndarray) -> torch.Tensor:
    """[tokens, heads, dim] as a contiguous [1, heads, tokens, dim]."""
    return torch.from_numpy(np.ascontiguousarray(rows.transpose(1, 0, 2)))[None]


def tokens_first(out: torch.Tensor) -> np.ndarray:
    return out[0].transpose(0, 1).contiguous().numpy()


def dense_mask(case, keys: range) -> torch.Tensor:
    """What is added to the scores of those keys: 0, or -inf where a query does not see."""
    query = torch.arange(case.first_query, case.kv_len)[:, None]
    key = torch.arange(keys.start, keys.stop)[None, :]
    seen = torch.ones(len(query), key.shape[1], dtype=torch.bool)
    if case.causal:
        seen &= key <= query
    if case.window is not None:
        seen &= query - key < case.window
    return torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)


class Adapter:
    packages = ("torch",)
    storage = "fp32"

    def __init__(self):
        self._out = None

    def supports(self, case):
        return None

    def prepare(self, case, q, caches):
        torch.set_num_threads(case.threads)
        # Keys that no query sees are left out, as an engine would; the others need a mask only where
        # is_causal (which means top-left in PyTorch) can't say it.
        seen = slice(case.first_key, None)
        self._q = heads_first(q)
        self._caches = [tuple(heads_first(x)[:, :, seen] for x in kv) for kv in caches]
        plain_causal = case.causal and case.window is None and case.q_len == case.kv_len
        everything = case.visible_pairs == case.q_len * (case.kv_len - case.first_key)
        self._mask = None
        if not plain_causal and not everything:
            self._mask = dense_mask(case, range(case.first_key, case.kv_len))
        self._is_causal = plain_causal

    def run(self, copy):
        k, v = self._caches[copy]
        with torch.inference_mode():
            self._out = scaled_dot_product_attention(
                self._q, k, v, self._mask, is_causal=self._is_causal, enable_gqa=True
            )

    def answer(self):
        return tokens_first(self._out)
