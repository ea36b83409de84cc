# SPDX-License-Identifier: BSL-1.0
"""PagedAttentionExtension of OpenVINO's CPU plugin, the operator behind its LLM pipelines.

The operator has no public Python factory. It takes 28 inputs in this version (nine that change from
call to call and nineteen that are constants here) and wants the head sizes in its runtime info.
"""

import numpy as np
import openvino
from openvino import opset13
from openvino.op import _PagedAttentionExtension

BLOCK = 32  # keys per block of the CPU plugin


def paged(rows: np.ndarray) -> np.ndarray:
    """[tokens, heads, dim] as blocks [blocks, heads, BLOCK, dim], the last one padded."""
    tokens, heads, dim = rows.shape
    blocks = np.zeros((-(-tokens // BLOCK), heads, BLOCK, dim), np.float32)
    for block, into in enumerate(blocks):
        part = rows[block * BLOCK : (block + 1) * BLOCK]
        into[:, : len(part)] = part.transpose(1, 0, 2)
    return blocks


def _constants(case) -> list:
    """The inputs that do not change, in their order."""

    def integer(value):
        return opset13.constant(np.array(value, np.int32))

    def empty(*shape, of=np.int32):
        return opset13.constant(np.zeros(shape, of))

    return [
        opset13.constant(np.array(case.dim**-0.5, np.float32)),  # scale
        integer(case.window or 0),  # sliding_window
        empty(0, of=np.float32),  # alibi_slopes
        integer(case.kv_len),  # max_context_len
        empty(0),  # score_aggregation_window
        empty(0),  # rotated_block_indices
        empty(0, 0),  # rotation_deltas
        empty(0, 0, of=np.float32),  # rotation_trig_lut
        empty(0, of=np.float32),  # xattention_threshold
        integer(0),  # xattention_block_size
        integer(0),  # xattention_stride
        empty(0, 0, 0, 0, of=np.float32),  # sinks
        integer(0),  # adaptive_rkv_start_size
        empty(0),  # adaptive_rkv_evictable_sizes
        empty(0),  # adaptive_rkv_diversity_block_set_indices
        empty(0),  # adaptive_rkv_diversity_block_set_indices_begins
        empty(0),  # token_type_ids
        empty(0, of=np.uint8),  # qq_bias
        empty(0),  # qq_bias_begins
    ]


def one_node_model(case) -> openvino.Model:
    """query, key, value, key_cache, value_cache, past_lens, subsequence_begins, block_indices and
    block_indices_begins -> output."""

    def floats(*shape):
        return opset13.parameter(openvino.PartialShape(list(shape)), openvino.Type.f32)

    rows = case.kv_heads * case.dim
    parameters = [floats(-1, case.q_heads * case.dim), floats(-1, rows), floats(-1, rows)]
    parameters += [floats(-1, case.kv_heads, BLOCK, case.dim) for _ in range(2)]
    parameters += [
        opset13.parameter(openvino.PartialShape([-1]), openvino.Type.i32) for _ in range(4)
    ]
    inputs = [node.output(0) for node in parameters + _constants(case)]
    operator = _PagedAttentionExtension(inputs)
    info = operator.get_rt_info()
    info["k_head_size"] = info["v_head_size"] = case.dim
    info["num_k_heads"] = info["num_v_heads"] = case.kv_heads
    return openvino.Model([opset13.result(operator.output(0))], parameters)


class Adapter:
    packages = ("openvino",)
    storage = "fp32"

    def supports(self, case):
        if not case.causal:
            return "the operator is always causal"
        if case.dim != case.v_dim:
            return "only equal head sizes are set up here"
        return None

    def prepare(self, case, q, caches):
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "INFERENCE_NUM_THREADS": case.threads,
            "ENABLE_CPU_PINNING": False,  # the process is pinned
        }
        compiled = openvino.Core().compile_model(one_node_model(case), "CPU", settings)
        self._shape = (case.q_len, case.q_heads, case.dim)
        self._arrays = []  # kept alive: the requests refer to them
        self._requests = [self._request(compiled, case, q, k, v) for k, v in caches]
        self._last = None

    def _request(self, compiled, case, q, k, v):
        request = compiled.create_infer_request()
        key_cache, value_cache = paged(k), paged(v)
        blocks = len(key_cache)
        inputs = [
            q.reshape(case.q_len, -1),
            k[case.first_query :].reshape(case.q_len, -1),
            v[case.first_query :].reshape(case.q_len, -1),
            key_cache,
            value_cache,
            np.array([case.first_query], np.int32),
            np.array([0, case.q_len], np.int32),
            np.arange(blocks, dtype=np.int32),
            np.array([0, blocks], np.int32),
        ]
        for number, array in enumerate(inputs):
            self._arrays.append(np.ascontiguousarray(array))
            tensor = openvino.Tensor(self._arrays[-1], shared_memory=True)
            request.set_input_tensor(number, tensor)
        return request

    def run(self, copy):
        self._last = self._requests[copy]
        self._last.infer()

    def answer(self):
        return np.array(self._last.get_output_tensor(0).data).reshape(self._shape)
