// SPDX-License-Identifier: BSL-1.0
// Memory for those who have none at hand: for caches and workspaces.
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// Owns `size` bytes aligned to storage_alignment, uninitialised, for a cache or a workspace.
/// Movable. Throws std::bad_alloc when there are none, or when `size` is negative.
class aligned_bytes {
 public:
  aligned_bytes() = default;
  explicit aligned_bytes(index size) {
    if (size < 0) throw std::bad_alloc();
    if (size == 0) return;
    size_ = static_cast<std::size_t>(size);
    data_ = static_cast<std::byte*>(::operator new(size_, alignment));
  }
  aligned_bytes(aligned_bytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  aligned_bytes& operator=(aligned_bytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~aligned_bytes() {
    if (data_ != nullptr) ::operator delete(data_, alignment);
  }

  std::span<std::byte> span() const noexcept { return {data_, size_}; }
  operator std::span<std::byte>() const noexcept { return span(); }
  operator workspace() const noexcept { return {span()}; }
  index size() const noexcept { return static_cast<index>(size_); }

 private:
  static constexpr std::align_val_t alignment{static_cast<std::size_t>(storage_alignment)};
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace oriel::inline v0
