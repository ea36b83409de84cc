// SPDX-License-Identifier: BSL-1.0
// A cache as bytes: little-endian words, versioned, checked as a whole.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "oriel/view/overlap.hpp"

namespace oriel::inline v0 {

/// The version of the byte format that `save` writes and `restore` reads.
inline constexpr index saved_version = 1;

namespace detail {

static_assert(std::endian::native == std::endian::little,
              "saved rows are little-endian: a codec's rows must be swapped for this machine");

inline constexpr std::uint64_t saved_magic = 0x0a766b6c6569726f;  // "orielkv\n"
inline constexpr index word_bytes = 8;

/// 64 bits of any bytes. A step maps different states to different states, so that a change of any
/// one word always shows; it tells accidents, not attackers.
ORIEL_INLINE std::uint64_t checksum(std::byte const* bytes, index size) noexcept {
  std::uint64_t sum = 0x9e3779b97f4a7c15 ^ static_cast<std::uint64_t>(size);
  for (index at = 0; at < size; at += word_bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, static_cast<std::size_t>(min_of(size - at, word_bytes)));
    sum = (sum ^ word) * 0xbf58476d1ce4e5b9;
    sum = sum << 29 | sum >> 35;  // std::rotl is not always inlined
  }
  return sum ^ (sum >> 32);
}

/// Writes or reads one thing after the other.
struct saved_out {
  std::byte* at;

  ORIEL_INLINE void word(std::uint64_t value) noexcept {
    for (int i = 0; i < word_bytes; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
    at += word_bytes;
  }
  ORIEL_INLINE void number(index value) noexcept { word(static_cast<std::uint64_t>(value)); }
  ORIEL_INLINE void rows(std::byte const* from, index bytes) noexcept {
    if (bytes == INT64_MAX) return;  // no row has so many: g++ 12 believes that one may
    std::memcpy(at, from, static_cast<std::size_t>(bytes));
    at += bytes;
  }
};
struct saved_in {
  std::byte const* at;

  ORIEL_INLINE std::uint64_t word() noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < word_bytes; ++i) value |= static_cast<std::uint64_t>(at[i]) << (8 * i);
    at += word_bytes;
    return value;
  }
  ORIEL_INLINE index number() noexcept { return static_cast<index>(word()); }
  /// Are the next numbers these?
  template <std::size_t N>
  ORIEL_INLINE bool numbers(index const (&expected)[N]) noexcept {
    bool same = true;
    for (index const each : expected) same = number() == each && same;
    return same;
  }
  ORIEL_INLINE void rows(std::byte* to, index bytes) noexcept {
    std::memcpy(to, at, static_cast<std::size_t>(bytes));
    at += bytes;
  }
};

/// Names a kind of cache (below 2^16; a model's is that of its caches + 1) and the codecs of its
/// keys and values (below 2^24).
ORIEL_INLINE constexpr std::uint64_t saved_tag(std::uint64_t kind, std::uint64_t k,
                                               std::uint64_t v) noexcept {
  return k >> 8 << 48 | v >> 8 << 32 | kind << 16 | (k & 0xff) << 8 | (v & 0xff);
}

/// Every blob: magic, version, what it is of, its bytes in all; its own words and rows; checksum.
inline constexpr index saved_frame = 5 * word_bytes;

ORIEL_INLINE saved_out begin_saved(std::byte* to, std::uint64_t tag, index bytes) noexcept {
  saved_out out{to};
  out.word(saved_magic);
  out.number(saved_version);
  out.word(tag);
  out.number(bytes);
  return out;
}
/// Closes what begins at `to`.
ORIEL_INLINE void end_saved(std::byte* to, index bytes) noexcept {
  saved_out{to + bytes - word_bytes}.word(checksum(to, bytes - word_bytes));
}

/// ok, or why `bytes` of a cache in `own` can't be saved to `to`.
ORIEL_INLINE status check_save(std::span<std::byte> to, index bytes, address_range own) noexcept {
  if (to.data() == nullptr || to.size() < static_cast<std::size_t>(bytes)) {
    return {errc::memory, "save: to must hold saved_bytes()"};
  }
  if (v0::footprint(to).meets(own)) {
    return {errc::alias, "save: to must not lie in the cache's own bytes"};
  }
  return {};
}

/// ok where `from` is a whole blob of this tag with at least `words` words of its own, outside of
/// the `own` bytes of the cache that is to become it.
ORIEL_INLINE status check_saved(std::span<std::byte const> from, std::uint64_t tag, index words,
                                address_range own) noexcept {
  auto const size = static_cast<index>(from.size());
  if (from.data() == nullptr || size < saved_frame) {
    return {errc::saved, "saved bytes are cut short"};
  }
  saved_in in{from.data()};
  if (in.word() != saved_magic) return {errc::saved, "not bytes that a cache of oriel saved"};
  if (in.number() != saved_version) return {errc::saved, "saved bytes are of another version"};
  std::uint64_t const of = in.word();
  index const bytes = in.number();
  if (bytes > size) return {errc::saved, "saved bytes are cut short"};
  if (bytes < size) {
    return {errc::saved, "saved bytes have a wrong length: others follow, or they are damaged"};
  }
  saved_in sum{from.data() + size - word_bytes};
  if (sum.word() != checksum(from.data(), size - word_bytes)) {
    return {errc::saved, "saved bytes are damaged: the checksum differs"};
  }
  if (of != tag) return {errc::saved, "saved bytes are of another kind of cache or codec"};
  if (size < saved_frame + words * word_bytes) {
    return {errc::saved, "saved bytes are cut short"};
  }
  if (v0::footprint(from).meets(own)) {
    return {errc::alias, "restore: saved bytes must not lie in the cache's own bytes"};
  }
  return {};
}

/// The bytes that a blob within another says it has, at most those up to `end`.
ORIEL_INLINE std::size_t saved_size(std::byte const* blob, std::byte const* end) noexcept {
  index const most = end - blob;
  if (most < saved_frame) return static_cast<std::size_t>(most);
  index const bytes = saved_in{blob + 3 * word_bytes}.number();
  return static_cast<std::size_t>(bytes < saved_frame ? most : min_of(bytes, most));
}

}  // namespace detail

}  // namespace oriel::inline v0
