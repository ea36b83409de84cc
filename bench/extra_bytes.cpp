// SPDX-License-Identifier: BSL-1.0
#include "extra_bytes.hpp"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<oriel::index> held = 0;
std::atomic<oriel::index> highest = 0;

void* counted(void* memory) {
  if (memory == nullptr) return memory;
  auto const bytes = static_cast<oriel::index>(malloc_usable_size(memory));
  oriel::index const now = held.fetch_add(bytes) + bytes;
  oriel::index top = highest.load();
  while (now > top && !highest.compare_exchange_weak(top, now)) {
  }
  return memory;
}

void discounted(void* memory) {
  if (memory != nullptr) held -= static_cast<oriel::index>(malloc_usable_size(memory));
}

void* counted_or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

std::size_t at_least_one(std::size_t size) { return size == 0 ? 1 : size; }

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier) The linker hands every call of malloc in our object
// files (Eigen's too) to __wrap_malloc, and so on.
extern "C" {
void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void* __real_aligned_alloc(std::size_t, std::size_t);
int __real_posix_memalign(void**, std::size_t, std::size_t);
void __real_free(void*);

void* __wrap_malloc(std::size_t size) { return counted(__real_malloc(size)); }
void* __wrap_calloc(std::size_t n, std::size_t size) { return counted(__real_calloc(n, size)); }
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  return counted(__real_aligned_alloc(alignment, size));
}
int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  int const error = __real_posix_memalign(memory, alignment, size);
  if (error == 0) counted(*memory);
  return error;
}
void* __wrap_realloc(void* memory, std::size_t size) {
  auto const before = memory == nullptr ? 0 : static_cast<oriel::index>(malloc_usable_size(memory));
  void* const moved = __real_realloc(memory, size);
  if (moved == nullptr) return moved;
  held -= before;
  return counted(moved);
}
void __wrap_free(void* memory) {
  discounted(memory);
  __real_free(memory);
}
}
// NOLINTEND(bugprone-reserved-identifier)

void* operator new(std::size_t size) { return counted_or_throw(std::malloc(at_least_one(size))); }
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  auto const step = static_cast<std::size_t>(alignment);
  auto const whole = (at_least_one(size) + step - 1) / step * step;
  return counted_or_throw(std::aligned_alloc(step, whole));
}
void* operator new[](std::size_t size, std::align_val_t a) { return operator new(size, a); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace bench {
namespace {

constexpr index paint_bytes = index{256} << 10;
constexpr std::byte paint{0xA5};

/// Fills the stack below its caller and returns the lowest byte that it filled.
[[gnu::noinline, gnu::no_sanitize_address]] std::byte* paint_stack() {
  std::byte volatile region[paint_bytes];
  for (auto& x : region) x = paint;
  std::byte* lowest = nullptr;
  std::byte volatile* const from = region;
  asm volatile("" : "=r"(lowest) : "0"(from));  // an address that outlives the frame
  return lowest;
}

/// Bytes between the lowest byte that lost its paint and the top of the region.
[[gnu::noinline, gnu::no_sanitize_address]] index depth(std::byte const volatile* lowest) {
  index clean = 0;
  while (clean < paint_bytes && lowest[clean] == paint) ++clean;
  return paint_bytes - clean;
}

}  // namespace

heap_watch::heap_watch() : start_(held.load()) { highest = start_; }
index heap_watch::peak() const { return highest.load() - start_; }

stack_watch::stack_watch(team& on) : on_(&on), painted_(static_cast<std::size_t>(on.workers())) {
  on.on_every_worker(
      [this](index worker) { painted_[static_cast<std::size_t>(worker)] = paint_stack(); });
}

index stack_watch::used() const {
  std::atomic<index> sum = 0;
  on_->on_every_worker(
      [&](index worker) { sum += depth(painted_[static_cast<std::size_t>(worker)]); });
  return sum;
}

}  // namespace bench
