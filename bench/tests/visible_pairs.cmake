# SPDX-License-Identifier: BSL-1.0
# oriel_bench: the right answers, and how many pairs are visible.
include("${CMAKE_CURRENT_LIST_DIR}/expect.cmake")

# Runs the cases of a list, each with a right answer, as many visible pairs as another list says and
# a positive number for each further counter; leaves what was printed in `out`.
function(expect_pairs of_cases of_counts)
  set(arguments --stay-in-cache --benchmark_format=json --benchmark_min_time=0.001)
  foreach(case IN LISTS ${of_cases})
    list(APPEND arguments --case "${case}")
  endforeach()
  run("${BENCH}" ${arguments})
  expect_equal("exit status of ${of_cases}" "${status}" 0)
  set(row 0)
  foreach(case expected IN ZIP_LISTS ${of_cases} ${of_counts})
    string(JSON counted GET "${out}" benchmarks ${row} visible_pairs)
    if(NOT counted EQUAL expected)
      message(FATAL_ERROR "visible_pairs of '${case}' is ${counted}, expected ${expected}")
    endif()
    foreach(counter IN LISTS ARGN)
      expect_positive("${out}" benchmarks ${row} ${counter})
    endforeach()
    math(EXPR row "${row} + 1")
  endforeach()
  set(out "${out}" PARENT_SCOPE)
endfunction()

# Every mask and score: right answers, and pairs as counted one by one from the masks' definitions.
set(masks
  "prefill mask=causal+chunk:64 len=300 heads=4:2 dim=16"
  "prefill mask=causal+window:100+sinks:4 len=300 heads=4:2 dim=16"
  "prefill mask=causal+chunk:64+sinks:4 len=300 heads=4:2 dim=16"
  "prefill mask=window:30:50 len=300 heads=4:2 dim=16"
  "prefill mask=window:0:9 len=300 heads=4:2 dim=16"
  "prefill mask=causal+prefix:70 len=300 heads=4:2 dim=16"
  "prefill mask=causal+documents:20,130,1,149 len=300 heads=4:2 dim=16"
  "prefill mask=documents:20,130,1,149 len=300 heads=4:2 dim=16"
  "append mask=causal+documents:200,100 len=40 kv=300 heads=4:2 dim=16"
  "prefill mask=spans:20:64 len=300 heads=4:2 dim=16"
  "prefill mask=causal+window:40+spans:60:64 len=300 heads=4:2 dim=16"
  "append mask=tree:30 len=30 kv=300 heads=4:2 dim=16"
  "append mask=tree:30+window:50 len=30 kv=300 heads=4:2 dim=16"
  "prefill mask=causal+padding:70 len=300 heads=4:2 dim=16"
  "prefill mask=padding:70+causal+chunk:64 len=300 heads=4:2 dim=16"
  "prefill mask=dense len=300 heads=4:2 dim=16"
  "append mask=dense len=30 kv=300 heads=4:2 dim=16"
  "prefill mask=dense+window:90 len=300 heads=4:2 dim=16"
  "prefill mask=causal+window:100+chunk:64 len=300 heads=4:2 dim=16"
  "prefill mask=chunk:64+causal len=300 heads=4:2 dim=16"
  "prefill mask=causal+window:50+prefix:100 len=300 heads=4:2 dim=16"
  "prefill mask=causal+window:50+sinks:4+prefix:100+chunk:128+sinks:2 len=300 heads=4:2 dim=16"
  "prefill mask=full len=300 heads=4:2 dim=16"
  "prefill mask=causal softcap=50 len=150 heads=4:2 dim=16"
  "prefill mask=causal alibi=1 len=150 heads=4:2 dim=16"
  "prefill mask=causal bias=1 sink_logits=1 len=150 heads=4:2 dim=16"
  "append mask=causal+window:90 softcap=2 alibi=1 bias=1 sink_logits=1 len=3 kv=300 heads=4:2 dim=8"
  "decode mask=causal+chunk:128 kv=1100 source=rolling heads=4:2 dim=16"
  "append mask=causal+window:100+chunk:128 len=7 kv=1100 source=rolling heads=4:2 dim=16"
  "decode mask=window:50:3 bias=1 kv=1500 source=rolling heads=4:2 dim=16"
  "decode sink_logits=1 alibi=1 mask=causal+window:700+sinks:4 kv=1500 heads=4:2 dim=16")
set(pairs
  9310 25844 10254 22560 2955 47565 19901 39502 3220 46100 20096 8224 1159 26565 6981 45150 8565
  22995 9310 9310 38775 19715 90000 11325 11325 11325 270 76 511 51 704)
expect_pairs(masks pairs pct_of_peak mask_bytes)
string(JSON dense GET "${out}" benchmarks 0 dense_mask_bytes)
string(JSON ours GET "${out}" benchmarks 0 mask_bytes)
if(NOT dense EQUAL 90000 OR ours GREATER 128)
  message(FATAL_ERROR "a mask of ${ours} bytes instead of ${dense} makes no sense")
endif()

# Rows that choose their blocks: right answers, pairs by hand, and the same without choosing beside.
set(choosing
  "moba len=300 heads=4:2 dim=16 block=32 topk=3"
  "moba q=f16 out=bf16 len=300 heads=4:2 dim=16 block=32 topk=1 threads=2"
  "moba len=20 heads=4:2 dim=16 vdim=9 block=64 topk=2 sink_logits=1 layout=heads"
  "append len=40 kv=300 heads=4:2 dim=16 block=32 topk=2"
  "decode kv=1500 heads=4:2 dim=16 block=64 topk=3"
  "decode kv=100 heads=4:2 dim=16 block=64 topk=3"
  "decode mask=causal+window:700 kv=1500 source=rolling heads=4:2 dim=16 block=64 topk=3")
set(pairs 20958 4830 210 1876 156 100 154)
expect_pairs(choosing pairs pct_of_peak pct_of_stream extra_pct dense_seconds moba_seconds speedup
             ideal reached means_seconds means_bytes)
string(JSON ideal GET "${out}" benchmarks 0 ideal)
if(ideal LESS 2.154 OR ideal GREATER 2.155)  # 45150 / 20958
  message(FATAL_ERROR "ideal is ${ideal}, expected 2.1543")
endif()
run("${BENCH}" --stay-in-cache --spoil-answers --case "moba len=300 heads=4:2 dim=16 block=32 topk=3")
expect_equal("exit status with a spoiled answer of moba" "${status}" 1)
