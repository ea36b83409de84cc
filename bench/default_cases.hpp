// SPDX-License-Identifier: BSL-1.0
// What oriel_bench times when no --case is given.
#pragma once

namespace bench {

inline constexpr char const* default_cases[] = {
    "prefill storage=f32 mask=causal len=4096 heads=8:2 dim=128 threads=1",
    "prefill storage=f32 mask=causal+window:1024 len=8192 heads=8:2 dim=128 threads=1",
    "prefill storage=f32 mask=causal len=4096 heads=8:2 dim=64 threads=1",
    "prefill storage=f32 mask=causal len=2048 heads=8:8 dim=100 threads=1",
    "prefill storage=f32 mask=causal len=4096 heads=8:2 dim=128 threads=2",
    "append storage=f32 len=16 kv=4096 heads=32:8 dim=128 threads=1",
    "append storage=f32 len=64 kv=16384 heads=32:8 dim=128 threads=1",
    "decode storage=f32 kv=4096 heads=32:8 dim=128 threads=1",
    "decode storage=f32 kv=32768 heads=32:8 dim=128 threads=1",
    "decode storage=f32 kv=32768 heads=32:8 dim=128 layout=tokens threads=1",
    "decode storage=f32 mask=causal+window:4096 kv=32768 heads=32:8 dim=128 source=rolling",
    "decode storage=f32 kv=32768 heads=32:8 dim=128 threads=2",
    // As a model of bf16 would call: keys, values, queries and results.
    "prefill storage=bf16 q=bf16 out=bf16 len=4096 heads=8:2 dim=128",
    "decode storage=bf16 q=bf16 out=bf16 kv=32768 heads=32:8 dim=128",
    // Codes as floats and as integers.
    "decode storage=int8 kv=30000 heads=32:8 dim=128",
    "decode storage=int8 compute=fast kv=30000 heads=32:8 dim=128",
    // Every mask where at least 512 keys are seen in a row, to compare with causal.
    "prefill mask=causal+chunk:2048 len=8192 heads=8:2 dim=128",
    "prefill mask=causal+window:1024+sinks:4 len=8192 heads=8:2 dim=128",
    "prefill mask=window:1024:1024 len=4096 heads=8:2 dim=128",
    "prefill mask=causal+prefix:3000 len=4096 heads=8:2 dim=128",
    "prefill mask=causal+documents:700,900,1500,512,1300,1100,1580,600 len=8192 heads=8:2 dim=128",
    "prefill mask=spans:576:1024 len=4096 heads=8:2 dim=128",
    "prefill mask=causal+padding:700 len=4096 heads=8:2 dim=128",
    "append mask=tree:64 len=64 kv=4096 heads=32:8 dim=128",
    "prefill mask=dense len=4096 heads=8:2 dim=128",
    // And every score.
    "prefill mask=causal softcap=50 len=4096 heads=8:2 dim=128",
    "prefill mask=causal alibi=1 len=4096 heads=8:2 dim=128",
    "prefill mask=causal bias=1 len=4096 heads=8:2 dim=128",
    "prefill mask=causal sink_logits=1 len=4096 heads=8:2 dim=128",
    // Rows that choose their blocks, and the same without choosing.
    "moba len=16384 heads=2:1 dim=128 block=512 topk=3",
    "append len=64 kv=16384 heads=32:8 dim=128 block=512 topk=3",
    "decode kv=32768 heads=32:8 dim=128 block=1024 topk=3",
    "decode mask=causal+window:16384 kv=32768 heads=32:8 dim=128 source=rolling block=1024 topk=3",
};

}  // namespace bench
