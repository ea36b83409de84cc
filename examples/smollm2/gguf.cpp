// SPDX-License-Identifier: BSL-1.0
#include "gguf.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace smollm2 {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place: little endian");

[[noreturn]] void fail(std::string const& what) { throw std::runtime_error(what); }

std::string quoted(std::string_view name) {
  std::string text = "'";
  for (char c : name.substr(0, 80)) text += c >= ' ' && c <= '~' ? c : '?';
  return text + (name.size() > 80 ? "...'" : "'");
}

// Reads forward through bytes; never past their end.
class cursor {
 public:
  explicit cursor(std::span<std::byte const> bytes) : bytes_(bytes) {}

  std::uint64_t offset() const { return offset_; }
  std::uint64_t left() const { return bytes_.size() - offset_; }

  std::span<std::byte const> take(std::uint64_t count) {
    if (count > left()) {
      fail("the file ends inside its header (byte " + std::to_string(offset_) + " wants " +
           std::to_string(count) + " more, " + std::to_string(left()) + " are left)");
    }
    auto const taken = bytes_.subspan(offset_, count);
    offset_ += count;
    return taken;
  }

  template <class T>
  T scalar() {
    T v;
    std::memcpy(&v, take(sizeof(T)).data(), sizeof(T));
    return v;
  }

  std::string_view text() {
    auto const bytes = take(scalar<std::uint64_t>());
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<std::byte const> bytes_;
  std::uint64_t offset_ = 0;
};

value_type read_value_type(cursor& in) {
  auto const number = in.scalar<std::uint32_t>();
  if (number > static_cast<std::uint32_t>(value_type::f64)) {
    fail("metadata has a value of unknown type " + std::to_string(number));
  }
  return static_cast<value_type>(number);
}

// Bytes of one value; 0 for those that carry their own length.
std::uint64_t fixed_size(value_type type) {
  switch (type) {
    case value_type::u8:
    case value_type::i8:
    case value_type::boolean: return 1;
    case value_type::u16:
    case value_type::i16: return 2;
    case value_type::u32:
    case value_type::i32:
    case value_type::f32: return 4;
    case value_type::u64:
    case value_type::i64:
    case value_type::f64: return 8;
    case value_type::text:
    case value_type::array: return 0;
  }
  return 0;
}

value read_value(cursor& in, std::span<std::byte const> file, value_type type, int depth = 0);

// Walks over the elements to find where the array ends; its count alone allocates nothing.
array_value read_array(cursor& in, std::span<std::byte const> file, int depth) {
  if (depth == 4) fail("metadata has arrays nested more than four deep");
  auto const of = read_value_type(in);
  auto const count = in.scalar<std::uint64_t>();
  auto const begin = in.offset();
  if (auto const size = fixed_size(of); size != 0) {
    if (count > in.left() / size) fail("metadata has an array longer than the file");
    in.take(count * size);
  } else {
    std::uint64_t const least = of == value_type::text ? 8 : 12;
    if (count > in.left() / least) fail("metadata has an array longer than the file");
    for (std::uint64_t i = 0; i < count; ++i) read_value(in, file, of, depth + 1);
  }
  return {of, count, file.subspan(begin, in.offset() - begin)};
}

value read_value(cursor& in, std::span<std::byte const> file, value_type type, int depth) {
  switch (type) {
    case value_type::u8: return std::uint64_t{in.scalar<std::uint8_t>()};
    case value_type::i8: return std::int64_t{in.scalar<std::int8_t>()};
    case value_type::u16: return std::uint64_t{in.scalar<std::uint16_t>()};
    case value_type::i16: return std::int64_t{in.scalar<std::int16_t>()};
    case value_type::u32: return std::uint64_t{in.scalar<std::uint32_t>()};
    case value_type::i32: return std::int64_t{in.scalar<std::int32_t>()};
    case value_type::u64: return in.scalar<std::uint64_t>();
    case value_type::i64: return in.scalar<std::int64_t>();
    case value_type::f32: return double{in.scalar<float>()};
    case value_type::f64: return in.scalar<double>();
    case value_type::boolean: return in.scalar<std::uint8_t>() != 0;
    case value_type::text: return in.text();
    case value_type::array: return read_array(in, file, depth);
  }
  fail("metadata has a value of unknown type");
}

// Where a tensor lies, relative to the data section that follows all of the header.
struct placement {
  tensor t;
  std::uint64_t offset;
  std::uint64_t bytes;
};

placement read_tensor(cursor& in) {
  placement p{};
  p.t.name = in.text();
  auto const of = "tensor " + quoted(p.t.name);
  auto const dimensions = in.scalar<std::uint32_t>();
  if (dimensions < 1 || dimensions > 4) fail(of + " has " + std::to_string(dimensions) + " axes");

  // Their product stays below 2^40 elements, so no size below can overflow.
  std::int64_t elements = 1;
  for (std::uint32_t axis = 0; axis < dimensions; ++axis) {
    auto const extent = in.scalar<std::uint64_t>();
    if (extent == 0 || extent > (std::uint64_t{1} << 40) / static_cast<std::uint64_t>(elements)) {
      fail(of + " has an impossible shape");
    }
    elements *= static_cast<std::int64_t>(extent);
    if (axis == 0) p.t.columns = elements;
  }
  p.t.rows = elements / p.t.columns;

  auto const type = in.scalar<std::uint32_t>();
  p.t.type = static_cast<tensor_type>(type);
  auto const block = block_columns(p.t.type);
  if (block == 0) fail(of + " has type " + std::to_string(type) + ", which is not read here");
  if (p.t.columns % block != 0) fail(of + " has rows that are not whole blocks");
  p.bytes = static_cast<std::uint64_t>(p.t.rows * row_bytes(p.t.type, p.t.columns));
  p.offset = in.scalar<std::uint64_t>();
  return p;
}

template <class T>
std::vector<std::int64_t> widen(array_value const& a, std::string_view key) {
  cursor in(a.bytes);
  std::vector<std::int64_t> all;
  all.reserve(a.count);
  for (std::uint64_t i = 0; i < a.count; ++i) {
    auto const v = in.scalar<T>();
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      if (v > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
        fail("metadata " + quoted(key) + " has a number out of range");
      }
    }
    all.push_back(static_cast<std::int64_t>(v));
  }
  return all;
}

}  // namespace

mapped_file::mapped_file(std::string const& path) {
  auto const complain = [&](std::string const& why) { fail("cannot read " + path + ": " + why); };
  // O_NONBLOCK: a pipe is refused below rather than waited for.
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) complain(std::strerror(errno));
  struct stat about {};
  void* mapped = MAP_FAILED;
  std::string why;
  if (::fstat(fd, &about) != 0) {
    why = std::strerror(errno);
  } else if (!S_ISREG(about.st_mode)) {
    why = "it is not a regular file";
  } else if (about.st_size == 0) {
    why = "it is empty";
  } else {
    size_ = static_cast<std::size_t>(about.st_size);
    mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) why = std::strerror(errno);
  }
  ::close(fd);
  if (!why.empty()) complain(why);
  begin_ = static_cast<std::byte const*>(mapped);
}

mapped_file::~mapped_file() { ::munmap(const_cast<std::byte*>(begin_), size_); }

std::int64_t block_columns(tensor_type type) {
  switch (type) {
    case tensor_type::f32:
    case tensor_type::f16: return 1;
    case tensor_type::q4_1:
    case tensor_type::q8_0: return 32;
  }
  return 0;
}

std::int64_t row_bytes(tensor_type type, std::int64_t columns) {
  switch (type) {
    case tensor_type::f32: return columns * 4;
    case tensor_type::f16: return columns * 2;
    case tensor_type::q4_1: return columns / 32 * 20;  // f16 scale, f16 minimum, 32 x 4 bits
    case tensor_type::q8_0: return columns / 32 * 34;  // f16 scale, 32 x 8 bits
  }
  return 0;
}

gguf_file::gguf_file(std::string const& path) : file_(path) {
  auto const bytes = file_.bytes();
  cursor in(bytes);
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    fail(path + " is not a GGUF file");
  }
  in.take(4);
  auto const version = in.scalar<std::uint32_t>();
  if (version != 2 && version != 3) {
    fail("GGUF version " + std::to_string(version) + " is not read here (2 and 3 are)");
  }
  auto const tensor_count = in.scalar<std::uint64_t>();
  auto const metadata_count = in.scalar<std::uint64_t>();

  for (std::uint64_t i = 0; i < metadata_count; ++i) {
    auto const key = in.text();
    auto const type = read_value_type(in);
    if (!metadata_.emplace(key, read_value(in, bytes, type)).second) {
      fail("metadata " + quoted(key) + " is there twice");
    }
  }

  std::vector<placement> placements;
  for (std::uint64_t i = 0; i < tensor_count; ++i) placements.push_back(read_tensor(in));

  std::uint64_t alignment = 32;
  if (has("general.alignment")) {
    alignment = static_cast<std::uint64_t>(integer("general.alignment", 1, 1 << 16));
    if (!std::has_single_bit(alignment)) fail("general.alignment is not a power of two");
  }
  auto const header = (in.offset() + alignment - 1) / alignment * alignment;
  auto const data = bytes.subspan(std::min<std::uint64_t>(header, bytes.size()));

  // In the order of the file: each inside it, and none over another.
  std::ranges::sort(placements, {}, &placement::offset);
  std::uint64_t free_from = 0;
  for (auto& p : placements) {
    auto const of = "tensor " + quoted(p.t.name);
    if (p.offset % alignment != 0) fail(of + " is not aligned");
    if (p.offset < free_from) fail(of + " lies over another tensor");
    if (p.offset > data.size() || p.bytes > data.size() - p.offset) {
      fail(of + " lies beyond the end of the file (is the file truncated?)");
    }
    free_from = p.offset + p.bytes;
    p.t.data = data.subspan(p.offset, p.bytes);
    if (!tensors_.emplace(p.t.name, p.t).second) fail(of + " is there twice");
  }
}

value const& gguf_file::at(std::string_view key) const {
  auto const found = metadata_.find(key);
  if (found == metadata_.end()) fail("metadata " + quoted(key) + " is missing");
  return found->second;
}

std::int64_t gguf_file::integer(std::string_view key, std::int64_t least, std::int64_t most) const {
  auto const& v = at(key);
  auto const range = [&](auto number) {
    if (std::cmp_less(number, least) || std::cmp_greater(number, most)) {
      fail("metadata " + quoted(key) + " is " + std::to_string(number) + ", not in [" +
           std::to_string(least) + ", " + std::to_string(most) + "]");
    }
    return static_cast<std::int64_t>(number);
  };
  if (auto const* number = std::get_if<std::uint64_t>(&v)) return range(*number);
  if (auto const* number = std::get_if<std::int64_t>(&v)) return range(*number);
  fail("metadata " + quoted(key) + " is not an integer");
}

double gguf_file::number(std::string_view key) const {
  if (auto const* v = std::get_if<double>(&at(key))) return *v;
  fail("metadata " + quoted(key) + " is not a floating point number");
}

bool gguf_file::boolean(std::string_view key) const {
  if (auto const* v = std::get_if<bool>(&at(key))) return *v;
  fail("metadata " + quoted(key) + " is not a boolean");
}

std::string_view gguf_file::text(std::string_view key) const {
  if (auto const* v = std::get_if<std::string_view>(&at(key))) return *v;
  fail("metadata " + quoted(key) + " is not a string");
}

array_value const& gguf_file::array(std::string_view key) const {
  if (auto const* v = std::get_if<array_value>(&at(key))) return *v;
  fail("metadata " + quoted(key) + " is not an array");
}

std::vector<std::string_view> gguf_file::texts(std::string_view key) const {
  auto const& a = array(key);
  if (a.of != value_type::text) fail("metadata " + quoted(key) + " is not an array of strings");
  cursor in(a.bytes);
  std::vector<std::string_view> all;
  all.reserve(a.count);
  for (std::uint64_t i = 0; i < a.count; ++i) all.push_back(in.text());
  return all;
}

std::vector<std::int64_t> gguf_file::integers(std::string_view key) const {
  auto const& a = array(key);
  switch (a.of) {
    case value_type::u8: return widen<std::uint8_t>(a, key);
    case value_type::i8: return widen<std::int8_t>(a, key);
    case value_type::u16: return widen<std::uint16_t>(a, key);
    case value_type::i16: return widen<std::int16_t>(a, key);
    case value_type::u32: return widen<std::uint32_t>(a, key);
    case value_type::i32: return widen<std::int32_t>(a, key);
    case value_type::u64: return widen<std::uint64_t>(a, key);
    case value_type::i64: return widen<std::int64_t>(a, key);
    default: fail("metadata " + quoted(key) + " is not an array of integers");
  }
}

tensor const& gguf_file::matrix(std::string_view name, std::int64_t rows,
                                std::int64_t columns) const {
  auto const found = tensors_.find(name);
  if (found == tensors_.end()) fail("tensor " + quoted(name) + " is missing");
  auto const& t = found->second;
  if (t.rows != rows || t.columns != columns) {
    fail("tensor " + quoted(name) + " is [" + std::to_string(t.rows) + ", " +
         std::to_string(t.columns) + "], but the metadata says [" + std::to_string(rows) + ", " +
         std::to_string(columns) + "]");
  }
  return t;
}

}  // namespace smollm2
