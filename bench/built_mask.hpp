// SPDX-License-Identifier: BSL-1.0
// The mask of a case, from the terms of its word.
#pragma once

#include <deque>
#include <oriel/oriel.hpp>
#include <string>
#include <vector>

namespace bench {

using oriel::index;

enum class term {
  full,
  causal,
  window,        ///< the n most recent keys
  local_window,  ///< n keys before the query's own and m after it
  chunk,         ///< of n keys
  sinks,         ///< n keys, or-ed with the window or chunk before it
  prefix,        ///< n keys, or-ed with everything before it
  documents,     ///< of these lengths
  tree,          ///< of n drafts: draft i is a child of draft (i - 1) / 2
  spans,         ///< of n tokens, one every m, or-ed with everything before it, or with causal
  padding,       ///< n slots on the left of everything else
  dense,         ///< causal, as a byte per pair
};

/// One term of `mask=`.
struct mask_term {
  term what = term::causal;
  std::string word;  ///< as it was written
  index n = 0;
  index m = 0;
  std::vector<index> lengths = {};
};

/// Where rows begin to see something else than the rows before them, for samples to lie around.
struct mask_edges {
  std::vector<index> widths;     ///< of windows
  std::vector<index> positions;  ///< of queries
};

/// Terms become one mask: and-ed, but see `term`. The usual combinations, in the order of
/// bench/case.hpp, are what a user would write, `causal{} & sliding_window{W}`: one type. Any other
/// is a tree of masks that point to one another, which costs some calls per tile.
class built_mask {
 public:
  /// Of a call with these queries on these keys. The mask refers to this object.
  built_mask(std::vector<mask_term> const& terms, oriel::range queries, oriel::range keys);
  built_mask(built_mask const&) = delete;
  built_mask& operator=(built_mask const&) = delete;

  oriel::any_mask const& mask() const noexcept { return mask_; }
  mask_edges const& edges() const noexcept { return edges_; }
  /// Of the mask's value and of what it refers to.
  index bytes() const noexcept;

 private:
  template <oriel::mask M>
  bool set(M const& mask);
  void hold(mask_term const& of, oriel::range queries, oriel::range keys);
  bool make_usual(std::vector<mask_term> const& terms);
  void make_composed(std::vector<mask_term> const& terms);
  oriel::any_mask one(mask_term const& of) const;

  index slots_ = 0;        ///< of padding
  index first_draft_ = 0;  ///< these are positions after the padding
  std::vector<index> bounds_;
  std::vector<oriel::range> spans_;
  std::vector<std::int32_t> parents_;
  std::vector<unsigned char> shown_;
  oriel::range shown_queries_, shown_keys_;
  std::deque<oriel::any_mask> parts_;
  oriel::any_mask mask_ = oriel::causal{};
  index value_bytes_ = 0;
  mask_edges edges_;
};

}  // namespace bench
