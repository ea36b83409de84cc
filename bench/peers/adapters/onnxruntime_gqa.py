# SPDX-License-Identifier: BSL-1.0
"""com.microsoft.GroupQueryAttention of onnxruntime, past and present in one buffer."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def one_node_model(case) -> bytes:
    """GroupQueryAttention alone, in the shapes of the case."""
    attributes = {"num_heads": case.q_heads, "kv_num_heads": case.kv_heads}
    if case.window is not None:
        attributes["local_window_size"] = case.window
    node = helper.make_node(
        "GroupQueryAttention",
        ["query", "key", "value", "past_key", "past_value", "seqlens_k", "total_length"],
        ["output", "present_key", "present_value"],
        domain="com.microsoft",
        **attributes,
    )
    new_rows = [1, case.q_len, case.kv_heads * case.dim]
    cache = [1, case.kv_heads, case.kv_len, case.dim]
    queries = [1, case.q_len, case.q_heads * case.dim]

    def floats(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def integers(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.INT32, shape)

    graph = helper.make_graph(
        [node],
        "attention",
        [
            floats("query", queries),
            floats("key", new_rows),
            floats("value", new_rows),
            floats("past_key", cache),
            floats("past_value", cache),
            integers("seqlens_k", [1]),
            integers("total_length", []),
        ],
        [floats("output", queries), floats("present_key", cache), floats("present_value", cache)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


class Adapter:
    packages = ("onnxruntime", "onnx")
    storage = "fp32"

    def supports(self, case):
        if not case.causal:
            return "the operator is always causal"
        if case.dim != case.v_dim:
            return "the operator has one head size"
        return None

    def prepare(self, case, q, caches):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = case.threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            one_node_model(case), options, providers=["CPUExecutionProvider"]
        )
        self._out = np.full((1, case.q_len, case.q_heads * case.dim), np.nan, np.float32)
        self._shape = (case.q_len, case.q_heads, case.dim)
        self._arrays = []  # kept alive: the bindings refer to them
        self._bindings = [self._binding(case, q, k, v) for k, v in caches]

    def _binding(self, case, q, k, v):
        binding = self._session.io_binding()

        def value(array):
            self._arrays.append(np.ascontiguousarray(array).reshape(array.shape))
            return onnxruntime.OrtValue.ortvalue_from_numpy(self._arrays[-1], "cpu", 0)

        new_rows = (1, case.q_len, case.kv_heads * case.dim)
        inputs = {
            "query": q.reshape(self._out.shape),
            "key": k[case.first_query :].reshape(new_rows),
            "value": v[case.first_query :].reshape(new_rows),
            "seqlens_k": np.array([case.kv_len - 1], np.int32),
            "total_length": np.array(case.kv_len, np.int32),
        }
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, value(array))
        for name, rows in (("key", k), ("value", v)):
            cache = value(rows.transpose(1, 0, 2)[None])
            binding.bind_ortvalue_input(f"past_{name}", cache)
            binding.bind_ortvalue_output(f"present_{name}", cache)
        binding.bind_ortvalue_output("output", value(self._out))
        return binding

    def run(self, copy):
        self._session.run_with_iobinding(self._bindings[copy])

    def answer(self):
        return self._out.reshape(self._shape)
