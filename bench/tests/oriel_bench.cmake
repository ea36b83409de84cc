# SPDX-License-Identifier: BSL-1.0
# oriel_bench: JSON alone on stdout, one row per case in order; words that can't be read are named.
include("${CMAKE_CURRENT_LIST_DIR}/expect.cmake")

set(cases
  "prefill storage=f32 mask=causal+window:40 len=150 heads=4:2 dim=33 vdim=20 threads=1"
  "append storage=f32 len=5 kv=300 heads=4:1 dim=64 threads=2"
  "decode storage=f32 mask=causal+window:100 kv=1500 heads=4:2 dim=64 source=rolling"
  "decode storage=f32 kv=200 heads=2:2 dim=16 layout=tokens"
  "decode storage=int4 q=bf16 out=f16 kv=300 heads=4:2 dim=33 layout=tokens"
  "decode storage=int8 compute=fast kv=300 heads=4:2 dim=128"
  "prefill storage=q8_0 q=f16 len=150 heads=4:2 dim=64 vdim=32"
  "prefill storage=bf16 q=bf16 out=bf16 len=150 heads=4:2 dim=33 vdim=20")
set(arguments --benchmark_format=json --benchmark_min_time=0.001)
foreach(case IN LISTS cases)
  list(APPEND arguments --case "${case}")
endforeach()
run("${BENCH}" ${arguments})
expect_equal("exit status" "${status}" 0)

string(JSON rows ERROR_VARIABLE error LENGTH "${out}" benchmarks)
expect_equal("stdout as JSON: error" "${error}" "NOTFOUND")
list(LENGTH cases asked)
expect_equal("rows" "${rows}" "${asked}")
foreach(limit peak_gflops clock_ghz flop_per_cycle stream_gb_per_s)
  expect_positive("${out}" context ${limit})
endforeach()
string(JSON isa GET "${out}" context isa)
if(NOT err MATCHES "peak .* GFLOP/s.*stream .* GB/s" OR NOT err MATCHES "isa ${isa}")
  message(FATAL_ERROR "stderr names no limits: ${err}")
endif()
math(EXPR last "${asked} - 1")
foreach(row RANGE ${last})
  list(GET cases ${row} case)
  string(JSON name GET "${out}" benchmarks ${row} name)
  string(JSON unit GET "${out}" benchmarks ${row} time_unit)
  string(JSON type GET "${out}" benchmarks ${row} run_type)
  expect_equal("name of row ${row}" "${name}" "${case}")
  expect_equal("unit of row ${row}" "${unit}" "ns")
  expect_equal("type of row ${row}" "${type}" "iteration")
  foreach(counter real_time useful_gflops gb_per_s pct_of_peak pct_of_stream extra_bytes)
    expect_positive("${out}" benchmarks ${row} ${counter})
  endforeach()
endforeach()
# Every row of these small cases is compared: 150 queries of 4 heads.
foreach(row IN ITEMS 0 6)
  string(JSON verified GET "${out}" benchmarks ${row} verified_rows)
  if(NOT verified EQUAL 600)
    message(FATAL_ERROR "verified_rows is '${verified}', expected 600")
  endif()
endforeach()

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
set(arguments_of_masks --benchmark_format=json --benchmark_min_time=0.001)
foreach(case IN LISTS masks)
  list(APPEND arguments_of_masks --case "${case}")
endforeach()
run("${BENCH}" ${arguments_of_masks})
expect_equal("exit status of the masks" "${status}" 0)
foreach(case expected IN ZIP_LISTS masks pairs)
  list(FIND masks "${case}" row)
  string(JSON counted GET "${out}" benchmarks ${row} visible_pairs)
  if(NOT counted EQUAL expected)
    message(FATAL_ERROR "visible_pairs of '${case}' is ${counted}, expected ${expected}")
  endif()
  expect_positive("${out}" benchmarks ${row} pct_of_peak)
  expect_positive("${out}" benchmarks ${row} mask_bytes)
endforeach()
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
set(arguments_of_choosing --benchmark_format=json --benchmark_min_time=0.001)
foreach(case IN LISTS choosing)
  list(APPEND arguments_of_choosing --case "${case}")
endforeach()
run("${BENCH}" ${arguments_of_choosing})
expect_equal("exit status of block selection" "${status}" 0)
foreach(case expected IN ZIP_LISTS choosing pairs)
  list(FIND choosing "${case}" row)
  string(JSON counted GET "${out}" benchmarks ${row} visible_pairs)
  if(NOT counted EQUAL expected)
    message(FATAL_ERROR "visible_pairs of '${case}' is ${counted}, expected ${expected}")
  endif()
  foreach(counter pct_of_peak pct_of_stream extra_pct dense_seconds moba_seconds speedup ideal
          reached means_seconds means_bytes)
    expect_positive("${out}" benchmarks ${row} ${counter})
  endforeach()
endforeach()
string(JSON ideal GET "${out}" benchmarks 0 ideal)
if(ideal LESS 2.154 OR ideal GREATER 2.155)  # 45150 / 20958
  message(FATAL_ERROR "ideal is ${ideal}, expected 2.1543")
endif()
run("${BENCH}" --spoil-answers --case "moba len=300 heads=4:2 dim=16 block=32 topk=3")
expect_equal("exit status with a spoiled answer of moba" "${status}" 1)

# A wrong answer is not timed, and the program fails.
run("${BENCH}" --spoil-answers ${arguments})
expect_equal("exit status with spoiled answers" "${status}" 1)
foreach(row RANGE ${last})
  string(JSON spoiled GET "${out}" benchmarks ${row} error_occurred)
  expect_equal("error of row ${row}" "${spoiled}" "ON")
  string(JSON timed ERROR_VARIABLE missing GET "${out}" benchmarks ${row} useful_gflops)
  if(NOT missing)
    message(FATAL_ERROR "a wrong answer was timed: ${timed}")
  endif()
endforeach()

# Bad cases: exit status 2, and the word at fault on stderr.
function(expect_refused word case)
  run("${BENCH}" --case "${case}")
  expect_equal("exit status of '${case}'" "${status}" 2)
  string(FIND "${err}" "'${word}'" place)
  if(place LESS 0 OR NOT out STREQUAL "")
    message(FATAL_ERROR "'${case}' should be refused for '${word}', but: ${err}${out}")
  endif()
endfunction()
set(size "heads=8:2 dim=64")
expect_refused("profile" "profile len=8 ${size}")
expect_refused("colour=red" "prefill len=8 ${size} colour=red")
expect_refused("len=9" "prefill len=8 ${size} len=9")
expect_refused("len=" "prefill ${size}")
expect_refused("kv=" "decode ${size}")
expect_refused("kv=" "append len=8 ${size}")
expect_refused("heads=" "prefill len=8 dim=64")
expect_refused("dim=" "prefill len=8 heads=8:2")
expect_refused("len=many" "prefill len=many ${size}")
expect_refused("len=8x" "prefill len=8x ${size}")
expect_refused("len=-8" "prefill len=-8 ${size}")
expect_refused("len=0" "prefill len=0 ${size}")
expect_refused("len=99999999999999999999" "prefill len=99999999999999999999 ${size}")
expect_refused("len=9000000000000000000" "prefill len=9000000000000000000 ${size}")
expect_refused("len=99999999999" "prefill len=99999999999 ${size}")
expect_refused("heads=8:3" "prefill len=8 heads=8:3 dim=64")
expect_refused("heads=8" "prefill len=8 heads=8 dim=64")
expect_refused("dim=0" "prefill len=8 heads=8:2 dim=0")
expect_refused("len=9" "append len=9 kv=8 ${size}")
expect_refused("len=1" "decode len=1 kv=8 ${size}")
expect_refused("kv=8" "prefill len=8 kv=8 ${size}")
expect_refused("storage=int3" "prefill storage=int3 len=8 ${size}")
expect_refused("q=int8" "prefill q=int8 len=8 ${size}")
expect_refused("out=f64" "prefill out=f64 len=8 ${size}")
expect_refused("q=bf16" "prefill q=bf16 len=8 heads=8:2 dim=4097")
expect_refused("compute=quick" "decode compute=quick kv=8 ${size}")
expect_refused("window:0" "prefill mask=causal+window:0 len=8 ${size}")
expect_refused("window:" "prefill mask=window: len=8 ${size}")
expect_refused("tree" "prefill mask=causal+tree len=8 ${size}")
expect_refused("full" "prefill mask=full+causal len=8 ${size}")
expect_refused("causal" "prefill mask=causal+causal len=8 ${size}")
expect_refused("colour" "prefill mask=causal+colour len=8 ${size}")
expect_refused("" "prefill mask=causal+ len=8 ${size}")
expect_refused("window:4" "prefill mask=window:8+window:4 len=8 ${size}")
expect_refused("window:-1:4" "prefill mask=window:-1:4 len=8 ${size}")
expect_refused("window:1:2:3" "prefill mask=window:1:2:3 len=8 ${size}")
expect_refused("chunk:0" "prefill mask=causal+chunk:0 len=8 ${size}")
expect_refused("chunk" "prefill mask=causal+chunk len=8 ${size}")
expect_refused("chunk:4:4" "prefill mask=causal+chunk:4:4 len=8 ${size}")
expect_refused("sinks:4" "prefill mask=causal+sinks:4 len=8 ${size}")
expect_refused("sinks:4" "prefill mask=sinks:4+window:8 len=8 ${size}")
expect_refused("sinks:2" "prefill mask=window:8+sinks:4+sinks:2 len=8 ${size}")
expect_refused("prefix:x" "prefill mask=causal+prefix:x len=8 ${size}")
expect_refused("documents:3,4" "prefill mask=causal+documents:3,4 len=8 ${size}")
expect_refused("documents:3,6" "prefill mask=documents:3,6+padding:1 len=8 ${size}")
expect_refused("documents:3,0,5" "prefill mask=documents:3,0,5 len=8 ${size}")
expect_refused("documents:3,5," "prefill mask=documents:3,5, len=8 ${size}")
expect_refused("documents" "prefill mask=documents len=8 ${size}")
expect_refused("documents:8" "decode mask=documents:8 kv=8 ${size}")
expect_refused("tree:4" "prefill mask=tree:4 len=4 ${size}")
expect_refused("tree:4" "append mask=tree:4 len=5 kv=8 ${size}")
expect_refused("tree:4" "append mask=tree:4+padding:5 len=4 kv=8 ${size}")
expect_refused("spans:5:4" "prefill mask=spans:5:4 len=8 ${size}")
expect_refused("spans:5" "prefill mask=spans:5 len=8 ${size}")
expect_refused("padding:8" "prefill mask=causal+padding:8 len=8 ${size}")
expect_refused("dense:1" "prefill mask=dense:1 len=8 ${size}")
expect_refused("sinks:4" "decode mask=causal+window:4+sinks:4 kv=8 ${size} source=rolling")
expect_refused("prefix:4" "decode mask=causal+prefix:4 kv=8 ${size} source=rolling")
expect_refused("dense" "decode mask=dense kv=8 ${size} source=rolling")
expect_refused("softcap=0" "prefill softcap=0 len=8 ${size}")
expect_refused("softcap=-5" "prefill softcap=-5 len=8 ${size}")
expect_refused("softcap=inf" "prefill softcap=inf len=8 ${size}")
expect_refused("softcap=five" "prefill softcap=five len=8 ${size}")
expect_refused("alibi=2" "prefill alibi=2 len=8 ${size}")
expect_refused("bias=yes" "prefill bias=yes len=8 ${size}")
expect_refused("sink_logits=" "prefill sink_logits= len=8 ${size}")
expect_refused("block=" "moba len=8 topk=2 ${size}")
expect_refused("topk=" "moba len=8 block=4 ${size}")
expect_refused("topk=" "decode kv=8 block=4 ${size}")
expect_refused("block=" "append len=1 kv=8 topk=2 ${size}")
expect_refused("block=4" "prefill len=8 block=4 topk=2 ${size}")
expect_refused("topk=2" "prefill len=8 topk=2 ${size}")
expect_refused("block=0" "moba len=8 block=0 topk=2 ${size}")
expect_refused("topk=0" "moba len=8 block=4 topk=0 ${size}")
expect_refused("topk=1025" "moba len=8 block=4 topk=1025 ${size}")
expect_refused("mask=causal+window:4" "moba len=8 mask=causal+window:4 block=4 topk=2 ${size}")
expect_refused("mask=full" "moba len=8 mask=full block=4 topk=2 ${size}")
expect_refused("kv=8" "moba len=8 kv=8 block=4 topk=2 ${size}")
expect_refused("threads=0" "prefill len=8 ${size} threads=0")
expect_refused("layout=rows" "prefill len=8 ${size} layout=rows")
expect_refused("layout=tokens" "decode kv=8 ${size} source=rolling layout=tokens")
run("${BENCH}" --benchmark_colour=red)
expect_equal("exit status of an unknown flag" "${status}" 2)
run("${BENCH}" --case)
expect_equal("exit status of --case without a case" "${status}" 2)
