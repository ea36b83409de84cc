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
};

}  // namespace bench
