// SPDX-License-Identifier: BSL-1.0
// One benchmark case, and how it is written on the command line.
#pragma once

#include <optional>
#include <oriel/oriel.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "built_mask.hpp"

namespace bench {

enum class kind { prefill, append, decode };
enum class layout { tokens, heads };        ///< memory [kv, kv_heads, row] or [kv_heads, kv, row]
enum class source { contiguous, rolling };  ///< a caller's tensors or a rolling cache

/// What keys and values are stored as.
enum class storage { f32, bf16, f16, int8, int4, q8_0, q4_0 };

/// Calls f(codec) with the codec of a storage.
template <class F>
decltype(auto) with_codec(storage stored, F&& f) {
  switch (stored) {
    case storage::f32: break;
    case storage::bf16: return f(oriel::elements<oriel::bf16>{});
    case storage::f16: return f(oriel::elements<oriel::f16>{});
    case storage::int8: return f(oriel::int8{});
    case storage::int4: return f(oriel::int4{});
    case storage::q8_0: return f(oriel::q8_0{});
    case storage::q4_0: return f(oriel::q4_0{});
  }
  return f(oriel::f32{});
}

/// What happens to a score besides the scale: the cap first, then ALiBi, then the bias.
struct score_choice {
  std::optional<float> softcap;
  bool alibi = false;        ///< the published slopes
  bool bias = false;         ///< a random float per pair, shared by heads
  bool sink_logits = false;  ///< a random logit per head
};

/// What is timed: q_len queries at the end of kv keys.
struct bench_case {
  std::string text;  ///< as it was written
  kind what = kind::prefill;
  std::vector<mask_term> mask = {{.what = term::causal, .word = "causal"}};
  score_choice score = {};
  index q_len = 1;
  index kv = 0;
  index q_heads = 1;
  index kv_heads = 1;
  index dim = 0;
  index v_dim = 0;
  index block = 0;  ///< keys of a block that rows choose; 0: they see all that the mask shows
  index top_k = 0;  ///< blocks that a row attends to, its own included
  index threads = 1;
  layout memory = layout::tokens;
  source from = source::contiguous;
  storage stored = storage::f32;
  oriel::element_type q_type = oriel::element_type::f32;    ///< of queries
  oriel::element_type out_type = oriel::element_type::f32;  ///< of results
  oriel::compute_choice compute = oriel::compute_choice::exact;

  /// Do rows choose their blocks, by MoBA's rule?
  bool chooses() const noexcept { return block > 0; }
  /// Rows that are in memory: kv, or those that any query can see, which a rolling cache holds.
  index held_rows() const noexcept;
  /// Position of the first of them.
  index first_row() const noexcept;
  /// Bytes of a key and its value, and of `tokens` of them in all kv heads, as stored, saturating.
  index row_bytes() const noexcept;
  index kv_bytes(index tokens) const noexcept;
  /// Bytes of queries and of results.
  index q_bytes() const noexcept;
  index out_bytes() const noexcept;
};

/// A case that can't be read; what() names the word at fault.
struct bad_case : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Reads words such as
///
///   prefill storage=f32 mask=causal+window:1024 len=8192 heads=8:2 dim=128 threads=1
///   append  storage=f32 len=16 kv=4096 heads=32:8 dim=128      kv counts the len new keys too
///   decode  storage=f32 kv=32768 heads=32:8 dim=128 source=rolling
///   moba    storage=f32 len=65536 heads=2:1 dim=128 block=2048 topk=3 threads=2
///
/// moba is prefill whose rows choose their blocks; its mask is causal.
///
/// vdim=    floats in a value                                                    default dim
/// layout=  tokens | heads                                 default tokens for prefill, else heads
/// source=  contiguous | rolling                                             default contiguous
/// block=   keys of a block that rows choose; topk= blocks of a row, its own included: moba needs
///          both, append and decode may have both
/// storage= f32 | bf16 | f16 | int8 | int4 | q8_0 | q4_0, of keys and values; contiguous but for f32
/// q=       f32 | bf16 | f16, of queries; out= of results
/// compute= exact | fast, which may round queries and weights
/// storage=f32, q=f32, out=f32, compute=exact and threads=1 are defaults too.
///
/// mask=    terms joined by +, "and"; default causal:
///   full            every key; stands alone
///   causal          keys up to the query's own
///   window:N        the N most recent keys; nothing is said of later ones
///   window:L:R      L keys before the query's own and R after it
///   chunk:N         the keys of the query's own chunk of N positions
///   sinks:N         "or the first N keys": widens the window or chunk term directly before it
///   prefix:N        "or the first N keys": widens everything before it
///   documents:A,B.. the query's own document; these lengths sum to the keys
///   spans:N:M       "or the same span", of N tokens, one every M: widens everything before it, or
///                   causal if it comes first
///   tree:N          append: the N new tokens are a binary tree of drafts
///   padding:N       N slots of padding on the left; positions of all other terms, wherever they
///                   stand, start after it
///   dense           causal, as a tensor of a byte per pair
///
/// softcap=50, alibi=1 (published slopes), bias=1 (random, [queries, keys]), in this order whatever
/// that of the words; sink_logits=1 (random). Throws bad_case.
bench_case parse_case(std::string_view text);

}  // namespace bench
