// SPDX-License-Identifier: BSL-1.0
// The library allocates nothing: every operator new of this program is counted.
#include <atomic>
#include <cstdlib>
#include <new>

#include "oriel/oriel.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace {
std::atomic<long> allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* const p = std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  if (p == nullptr) std::abort();
  return p;
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  return counted(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace oriel::test {
namespace {

TEST(Allocation, NoneOnceTheMemoryIsThere) {
  threads pool(2);
  for (index const q_len : {1, 20, 200}) {
    problem const p({.q_len = q_len,
                     .kv_len = 3000,
                     .q_heads = 4,
                     .kv_heads = 2,
                     .kind = mask_kind::causal_window,
                     .window = 1500});
    attention call = p.call();
    answer const to(call);
    call.out = to.out.view;
    call.lse = to.lse.view;
    aligned_memory scratch(plan_attend(bounds_of(call), 2).workspace_bytes());
    cache_shape const shape{.window = 1500, .kv_heads = 2, .head_dim = 64};
    aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
    std::vector<double> exact(static_cast<std::size_t>(q_len * 4 * 64));

    long const before = allocations;
    EXPECT_TRUE(attend(call, scratch).ok());
#ifdef __cpp_exceptions  // else `threads` are made anew for each run
    EXPECT_TRUE(attend(call, scratch, pool).ok());
#endif
    rolling_cache<f32> cache(bytes, shape);
    range const past{0, 3000 - q_len};
    range const fresh{3000 - q_len, 3000};
    EXPECT_TRUE(cache.append(p.k.view.slice(past), p.v.view.slice(past)).ok());
    call.kv = joined(cache, p.k.view.slice(fresh), p.v.view.slice(fresh));
    EXPECT_TRUE(attend(call, scratch).ok());
    partial const parts[] = {{to.out.view, to.lse.view}};
    EXPECT_TRUE(merge(parts, to.out.view, to.lse.view).ok());
    EXPECT_TRUE(reference(call, {exact.data(), q_len, 4, 64}).ok());
    EXPECT_EQ(allocations, before) << q_len;
  }
}

TEST(Allocation, IsCounted) {
  long const before = allocations;
  ::operator delete(::operator new(8));
  ::operator delete(::operator new(8, std::align_val_t(64)), std::align_val_t(64));
  EXPECT_EQ(allocations, before + 2);
}

}  // namespace
}  // namespace oriel::test
