// SPDX-License-Identifier: BSL-1.0
// Reads NumPy files: version 1.0, C order, little endian, <f4, <i4, |i1 and |u1.
#pragma once

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace oriel::test {

/// An array, or why it can't be read.
struct npy {
  std::string error;
  std::string type;  ///< as in the file: "<f4"
  std::vector<std::int64_t> shape;
  std::vector<char> bytes;

  bool ok() const { return error.empty(); }
  template <class T>
  static constexpr char const* type_of() {
    static_assert(std::endian::native == std::endian::little);
    return std::is_same_v<T, float>          ? "<f4"
           : std::is_same_v<T, std::int32_t> ? "<i4"
           : std::is_same_v<T, std::int8_t>  ? "|i1"
           : std::is_same_v<T, std::uint8_t> ? "|u1"
                                             : "";
  }
  /// The elements; none where the type is another.
  template <class T>
  std::vector<T> values() const {
    if (type != type_of<T>()) return {};
    std::vector<T> all(bytes.size() / sizeof(T));
    if (!all.empty()) std::memcpy(all.data(), bytes.data(), bytes.size());
    return all;
  }
  bool has_shape(std::initializer_list<std::int64_t> wanted) const {
    return shape == std::vector<std::int64_t>(wanted);
  }
};

/// The contents of a .npy file.
inline npy parse_npy(std::vector<char> const& file) {
  npy array;
  auto const fail = [&](char const* why) {
    array = {};
    array.error = why;
    return array;
  };
  constexpr std::size_t prefix = 10;  // magic [6], version [2], header length [2]
  if (file.size() < prefix || std::memcmp(file.data(), "\x93NUMPY", 6) != 0) {
    return fail("is no NumPy file");
  }
  if (file[6] != 1 || file[7] != 0) return fail("is not of version 1.0");
  std::size_t const length =
      static_cast<unsigned char>(file[8]) + 256u * static_cast<unsigned char>(file[9]);
  if (file.size() - prefix < length) return fail("ends within its header");
  std::string_view const header(file.data() + prefix, length);

  // {'descr': '<f4', 'fortran_order': False, 'shape': (2, 17), }
  auto const after = [&](std::string_view key) {
    std::size_t const at = header.find(key);
    return at == std::string_view::npos ? std::string_view() : header.substr(at + key.size());
  };
  std::string_view const descr = after("'descr': '");
  if (descr.size() < 4 || descr[3] != '\'') return fail("has no simple descr in its header");
  array.type = descr.substr(0, 3);
  std::int64_t size = 0;
  for (auto const& [name, bytes] : {std::pair{"<f4", 4}, {"<i4", 4}, {"|i1", 1}, {"|u1", 1}}) {
    if (array.type == name) size = bytes;
  }
  if (size == 0) return fail("has elements other than <f4, <i4, |i1, |u1");
  if (!after("'fortran_order': ").starts_with("False")) return fail("is not in C order");
  std::string_view dims = after("'shape': (");
  if (dims.find(')') == std::string_view::npos) return fail("has no shape in its header");
  dims = dims.substr(0, dims.find(')'));
  while (!dims.empty()) {
    std::int64_t n = 0;
    auto const [end, code] = std::from_chars(dims.data(), dims.data() + dims.size(), n);
    if (code != std::errc() || n < 0) return fail("has a shape that is no list of sizes");
    array.shape.push_back(n);
    if (__builtin_mul_overflow(size, n, &size)) return fail("has an absurd shape");
    dims.remove_prefix(static_cast<std::size_t>(end - dims.data()));
    std::size_t const next = dims.find_first_not_of(", ");
    dims.remove_prefix(next == std::string_view::npos ? dims.size() : next);
  }
  if (static_cast<std::uint64_t>(size) != file.size() - prefix - length) {
    return fail("does not hold as many bytes as its shape says");
  }
  array.bytes.assign(file.begin() + static_cast<std::ptrdiff_t>(prefix + length), file.end());
  return array;
}

inline npy read_npy(std::string const& path) {
  std::ifstream stream(path, std::ios::binary);
  npy array;
  if (!stream) {
    array.error = "can't be opened";
  } else {
    array = parse_npy({std::istreambuf_iterator<char>(stream), {}});
  }
  if (!array.ok()) array.error = path + " " + array.error;
  return array;
}

}  // namespace oriel::test
