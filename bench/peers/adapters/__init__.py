# SPDX-License-Identifier: BSL-1.0
"""One adapter per peer, each in a file of its own.

An adapter is a class with

    packages                         the distributions whose versions are recorded
    storage                          in what precision it keeps K and V, and computes
    supports(case) -> str | None     a reason why it can't do a case
    prepare(case, q, caches)         makes everything that an engine has before a step: K and V in the
                                     cache layout of the peer, masks, schedules, compiled code
    run(copy)                        attends q over caches[copy]: what is timed
    answer() -> array                [q_len, q_heads, v_dim] of the last run

q is [q_len, q_heads, dim]; caches is a list of (k, v), each [kv_len, kv_heads, dim or v_dim] in
float32, in any strides. The modules import their packages when they are imported themselves, which
only the worker process of that peer does.
"""

import importlib

ADAPTERS = {
    "PyTorch SDPA": "torch_sdpa",
    "PyTorch SDPA, heads grouped by hand": "torch_sdpa_grouped",
    "PyTorch FlexAttention": "torch_flex",
    "onnxruntime GroupQueryAttention": "onnxruntime_gqa",
    "OpenVINO PagedAttention": "openvino_paged",
    "vLLM CPU attention": "vllm_cpu",
}


def load(name: str):
    """A new adapter of that name; ImportError if its packages are not there."""
    return importlib.import_module(f"adapters.{ADAPTERS[name]}").Adapter()
