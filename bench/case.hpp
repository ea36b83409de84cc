// SPDX-License-Identifier: BSL-1.0
// One benchmark case, and how it is written on the command line.
#pragma once

#include <optional>
#include <oriel/oriel.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace bench {

using oriel::index;

enum class kind { prefill, append, decode };
enum class layout { tokens, heads };        ///< memory [kv, kv_heads, row] or [kv_heads, kv, row]
enum class source { contiguous, rolling };  ///< a caller's tensors or a rolling cache

/// Every mask that the words of `mask=` can name.
using mask_choice = std::variant<oriel::full, oriel::causal, oriel::sliding_window,
                                 oriel::both<oriel::causal, oriel::sliding_window>>;

/// What is timed: q_len queries at the end of kv keys.
struct bench_case {
  std::string text;  ///< as it was written
  kind what = kind::prefill;
  mask_choice mask = oriel::causal{};
  index q_len = 1;
  index kv = 0;
  index q_heads = 1;
  index kv_heads = 1;
  index dim = 0;
  index v_dim = 0;
  index threads = 1;
  layout memory = layout::tokens;
  source from = source::contiguous;

  /// N of a mask with the term window:N.
  std::optional<index> window() const noexcept;
  /// Rows of the keys that any query of the case can see: what a rolling cache has to hold.
  index held_rows() const noexcept;
  /// Bytes of the rows that `tokens` keys and values take, saturating.
  index kv_bytes(index tokens) const noexcept;
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
///
/// mask=    terms joined by +: full, causal, window:N                            default causal
/// vdim=    floats in a value                                                    default dim
/// layout=  tokens | heads                                 default tokens for prefill, else heads
/// source=  contiguous | rolling                                             default contiguous
/// storage=f32 and threads=1 are defaults too. Throws bad_case.
bench_case parse_case(std::string_view text);

}  // namespace bench
