// SPDX-License-Identifier: BSL-1.0
// Large memory on huge pages, so that what is timed is the memory and not the page tables.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <oriel/core/range.hpp>
#include <span>

namespace bench {

/// Owns `bytes` of zeroed memory that begins at a multiple of 2 MiB.
class pages {
 public:
  explicit pages(oriel::index bytes) : size_(static_cast<std::size_t>(bytes)) {
    mapped_ = size_ + huge;
    base_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    ::madvise(base_, mapped_, MADV_HUGEPAGE);  // a wish: without it the pages are small
    auto const address = reinterpret_cast<std::uintptr_t>(base_);
    data_ = static_cast<std::byte*>(base_) + (huge - address % huge) % huge;
  }
  pages(pages const&) = delete;
  pages& operator=(pages const&) = delete;
  ~pages() { ::munmap(base_, mapped_); }

  std::byte* data() const noexcept { return data_; }
  std::span<float> floats() const noexcept {
    return {reinterpret_cast<float*>(data_), size_ / sizeof(float)};
  }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20;
  std::size_t size_;
  std::size_t mapped_;
  void* base_;
  std::byte* data_;
};

}  // namespace bench
