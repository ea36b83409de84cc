// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace smollm2 {

// A whole file mapped for reading. Throws std::runtime_error when it is not a regular file.
class mapped_file {
 public:
  explicit mapped_file(std::string const& path);
  ~mapped_file();
  mapped_file(mapped_file const&) = delete;
  mapped_file& operator=(mapped_file const&) = delete;

  std::span<std::byte const> bytes() const { return {begin_, size_}; }

 private:
  std::byte const* begin_ = nullptr;
  std::size_t size_ = 0;
};

// The numbers of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
enum class value_type : std::uint32_t {
  u8 = 0,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64,
};

enum class tensor_type : std::uint32_t { f32 = 0, f16 = 1, q4_1 = 3, q8_0 = 8 };

// An array stays as it lies in the file until it is asked for.
struct array_value {
  value_type of;
  std::uint64_t count;
  std::span<std::byte const> bytes;
};

using value =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, array_value>;

struct tensor {
  std::string_view name;
  tensor_type type;
  std::int64_t rows;                // product of every dimension but the innermost
  std::int64_t columns;             // the innermost, contiguous dimension
  std::span<std::byte const> data;  // rows * row_bytes(type, columns) bytes of the file
};

// Bytes of one row; `columns` must be a multiple of the type's block.
std::int64_t block_columns(tensor_type type);
std::int64_t row_bytes(tensor_type type, std::int64_t columns);

// The metadata and the tensors of a GGUF file (version 2 or 3, little endian). Nothing is copied:
// names, texts and weights lie in the mapping, which this object owns.
//
// Every length, count, type and offset is checked against the bytes that are there, so a truncated
// or corrupt file throws std::runtime_error and costs no more memory than its own size.
class gguf_file {
 public:
  explicit gguf_file(std::string const& path);

  // Metadata by key: the value, or an exception that names the key.
  bool has(std::string_view key) const { return metadata_.contains(key); }
  std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  std::string_view text(std::string_view key) const;
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key) const;

  std::map<std::string_view, tensor> const& tensors() const { return tensors_; }
  // The tensor of that name, which must have that shape.
  tensor const& matrix(std::string_view name, std::int64_t rows, std::int64_t columns) const;

 private:
  value const& at(std::string_view key) const;
  array_value const& array(std::string_view key) const;

  mapped_file file_;
  std::map<std::string_view, value> metadata_;
  std::map<std::string_view, tensor> tensors_;
};

}  // namespace smollm2
