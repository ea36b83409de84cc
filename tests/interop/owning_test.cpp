// SPDX-License-Identifier: BSL-1.0
#include "oriel/interop/owning.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <type_traits>

namespace oriel {
namespace {

static_assert(std::is_nothrow_move_constructible_v<aligned_bytes>);
static_assert(std::is_nothrow_move_assignable_v<aligned_bytes>);
static_assert(!std::is_copy_constructible_v<aligned_bytes>);
static_assert(!std::is_convertible_v<index, aligned_bytes>, "a number is not memory");

TEST(AlignedBytes, AreAlignedAndAsManyAsAsked) {
  for (index size : {1, 63, 64, 65, 4096, 1'000'003}) {
    aligned_bytes const bytes(size);
    EXPECT_EQ(bytes.size(), size);
    std::span<std::byte> const all = bytes;
    EXPECT_EQ(static_cast<index>(all.size()), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(all.data()) % storage_alignment, 0u);
    std::memset(all.data(), 1, all.size());  // AddressSanitizer listens
    workspace const same = bytes;
    EXPECT_EQ(same.bytes.data(), all.data());
    EXPECT_EQ(same.bytes.size(), all.size());
  }
}

TEST(AlignedBytes, NoneIsFine) {
  EXPECT_EQ(aligned_bytes().span().data(), nullptr);
  EXPECT_EQ(aligned_bytes(0).size(), 0);
}

TEST(AlignedBytes, ThrowWhatThereIsNot) {
  EXPECT_THROW(aligned_bytes(-1), std::bad_alloc);
  EXPECT_THROW(aligned_bytes(INT64_MIN), std::bad_alloc);
#if !defined(__SANITIZE_ADDRESS__)                         // which ends the program instead
  EXPECT_THROW(aligned_bytes(INT64_MAX), std::bad_alloc);  // required_bytes() of what can't be
#endif
}

TEST(AlignedBytes, MoveTheirMemory) {
  aligned_bytes a(100);
  std::byte* const memory = a.span().data();
  memory[99] = std::byte{42};
  aligned_bytes b(std::move(a));
  EXPECT_EQ(a.size(), 0);
  EXPECT_EQ(a.span().data(), nullptr);
  EXPECT_EQ(b.span().data(), memory);
  aligned_bytes c(5);
  c = std::move(b);
  EXPECT_EQ(c.span().data(), memory);
  EXPECT_EQ(c.size(), 100);
  aligned_bytes& self = c;
  c = std::move(self);
  EXPECT_EQ(c.span()[99], std::byte{42});
  c = aligned_bytes();
  EXPECT_EQ(c.size(), 0);
}

}  // namespace
}  // namespace oriel
