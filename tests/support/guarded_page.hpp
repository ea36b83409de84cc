// SPDX-License-Identifier: BSL-1.0
// Memory whose first byte behind the end is a fault.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

/// One page between two that must not be touched.
class guarded_page {
 public:
  guarded_page()
      : size_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
        base_(mmap(nullptr, 3 * size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (base_ == MAP_FAILED || mprotect(first(), size_, PROT_READ | PROT_WRITE) != 0) {
      std::abort();  // no memory: the tests can't run
    }
  }
  guarded_page(guarded_page const&) = delete;
  guarded_page& operator=(guarded_page const&) = delete;
  ~guarded_page() { munmap(base_, 3 * size_); }

  /// The first and the last `count` floats of the page.
  float* begin() const { return reinterpret_cast<float*>(first()); }
  float* last(int count) const { return reinterpret_cast<float*>(first() + size_) - count; }

 private:
  std::byte* first() const { return static_cast<std::byte*>(base_) + size_; }
  std::size_t size_;
  void* base_;
};
