// SPDX-License-Identifier: BSL-1.0
// The inputs of a case, in memory, ready to be attended.
#pragma once

#include <cstddef>
#include <memory>
#include <oriel/interop/owning.hpp>
#include <vector>

#include "case.hpp"
#include "pages.hpp"
#include "team.hpp"

namespace bench {

class normals;

/// What a call has to look at, counted exactly.
struct visible_work {
  index pairs = 0;  ///< (query, key) pairs of all query heads
  index rows = 0;   ///< (key, kv head) that at least one query sees
  index means = 0;  ///< (block, kv head) whose mean a row compares itself with
};

/// A packed tensor [tokens, heads, dim] of float, bf16 or f16, zeros at first.
class element_tensor {
 public:
  element_tensor(oriel::element_type type, index tokens, index heads, index dim);

  oriel::output_view view() noexcept;
  std::vector<std::byte>& bytes() noexcept { return bytes_; }
  index size() const noexcept { return tokens_ * heads_ * dim_; }
  /// Rounds to nearest.
  void set(std::vector<float> const& numbers) noexcept;

 private:
  oriel::element_type type_;
  index tokens_;
  index heads_;
  index dim_;
  std::vector<std::byte> bytes_;
};

/// A case with unit-normal q, k and v. Memory-bound cases get as many caches as it takes for them
/// to be read from memory when they are attended in turn.
class problem {
 public:
  explicit problem(bench_case const& c);

  bench_case const& of() const noexcept { return case_; }
  /// Of one call; where rows choose their blocks, the mean over the instances.
  visible_work const& visible() const noexcept { return visible_; }
  index instances() const noexcept { return instances_; }
  oriel::attend_plan const& plan() const noexcept { return plan_; }
  oriel::workspace workspace() const noexcept { return workspace_; }
  /// The call on cache `instance`; every instance writes the same output.
  oriel::attention call(index instance);
  /// The same without block selection.
  oriel::attention dense_call(index instance);
  element_tensor& out() noexcept { return out_; }
  built_mask const& mask() const noexcept { return mask_; }
  /// What the mask would take as a byte per pair.
  index dense_mask_bytes() const noexcept { return case_.q_len * held_; }
  /// The keys and values of all instances.
  std::span<float const> stored() const noexcept { return memory_->floats(); }

  /// Of the block means of one instance; 0 where rows do not choose.
  index means_bytes() const noexcept;
  /// Thread time that it took to make them from the keys.
  double means_seconds() const noexcept { return means_seconds_; }
  /// q, k, v and out of one call.
  index tensor_bytes() const noexcept;
  /// How many times as much work the call would be without block selection: pairs, for decode
  /// bytes.
  double ideal() const noexcept;

  /// Flops and stored bytes that one call has to do and to read.
  double useful_flops() const noexcept;
  double visible_bytes() const noexcept { return bytes_of(visible_); }

 private:
  oriel::tensor_view<float const> rows_at(float const* data, index dim) const noexcept;
  template <class Codec>
  oriel::coded_view<Codec, std::byte> coded_at(Codec, index instance, bool keys) const noexcept;
  oriel::tensor_view<float const> keys_at(index instance) const noexcept;
  oriel::contiguous contiguous_at(index instance) const noexcept;
  double bytes_of(visible_work const& work) const noexcept;
  void fill();
  void fill_queries(normals& random);
  template <class Codec>
  void fill_coded(Codec codec);
  void fill_score();
  void make_means();
  void take_means(index instance, oriel::tensor_view<float const> k, index first);
  void count_chosen();
  oriel::range keys() const noexcept { return {first_, first_ + held_}; }
  oriel::range queries() const noexcept { return {keys().end - case_.q_len, keys().end}; }

  bench_case case_;
  index held_;   ///< rows of keys in memory
  index first_;  ///< position of the first
  built_mask mask_;
  visible_work all_;  ///< without block selection
  visible_work visible_;
  index instance_bytes_;
  index instances_;
  std::unique_ptr<pages> memory_;
  std::vector<oriel::rolling_cache<>> rings_;
  std::vector<oriel::aligned_bytes> means_memory_;
  std::vector<oriel::block_means> means_;
  double means_seconds_ = 0.0;
  element_tensor q_;
  element_tensor out_;
  std::vector<float> slopes_;
  std::vector<float> bias_;
  std::vector<float> sink_logits_;
  oriel::any_score score_;
  oriel::attend_plan plan_;
  oriel::aligned_bytes workspace_;
};

}  // namespace bench
