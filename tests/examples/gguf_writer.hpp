// SPDX-License-Identifier: BSL-1.0
// Writes small GGUF files for the tests, good ones and broken ones.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace smollm2_test {

// Little-endian bytes, one after the other.
class bytes {
 public:
  template <class T>
  bytes& put(T v) {
    char raw[sizeof v];
    std::memcpy(raw, &v, sizeof v);
    all_.append(raw, sizeof v);
    return *this;
  }
  bytes& text(std::string_view s) {
    put(std::uint64_t{s.size()});
    all_ += s;
    return *this;
  }
  bytes& raw(std::string_view s) {
    all_ += s;
    return *this;
  }
  std::string const& str() const { return all_; }

 private:
  std::string all_;
};

class gguf_writer {
 public:
  gguf_writer& u32(std::string_view key, std::uint32_t v) {
    ++metadata_count_;
    metadata_.text(key).put(std::uint32_t{4}).put(v);
    return *this;
  }
  gguf_writer& f32(std::string_view key, float v) {
    ++metadata_count_;
    metadata_.text(key).put(std::uint32_t{6}).put(v);
    return *this;
  }
  gguf_writer& boolean(std::string_view key, bool v) {
    ++metadata_count_;
    metadata_.text(key).put(std::uint32_t{7}).put(static_cast<std::uint8_t>(v));
    return *this;
  }
  gguf_writer& text(std::string_view key, std::string_view v) {
    ++metadata_count_;
    metadata_.text(key).put(std::uint32_t{8}).text(v);
    return *this;
  }
  gguf_writer& texts(std::string_view key, std::vector<std::string> const& v) {
    ++metadata_count_;
    metadata_.text(key).put(std::uint32_t{9}).put(std::uint32_t{8}).put(std::uint64_t{v.size()});
    for (auto const& s : v) metadata_.text(s);
    return *this;
  }
  gguf_writer& i32s(std::string_view key, std::vector<std::int32_t> const& v) {
    ++metadata_count_;
    metadata_.text(key).put(std::uint32_t{9}).put(std::uint32_t{5}).put(std::uint64_t{v.size()});
    for (auto const i : v) metadata_.put(i);
    return *this;
  }
  // A value in bytes of the test's own making, its type number included.
  gguf_writer& value(std::string_view key, bytes const& v) {
    ++metadata_count_;
    metadata_.text(key).raw(v.str());
    return *this;
  }
  // `extents` innermost first; `offset` counts from the data section.
  gguf_writer& tensor(std::string_view name, std::vector<std::uint64_t> const& extents,
                      std::uint32_t type, std::uint64_t offset) {
    ++tensor_count_;
    tensors_.text(name).put(static_cast<std::uint32_t>(extents.size()));
    for (auto const e : extents) tensors_.put(e);
    tensors_.put(type).put(offset);
    return *this;
  }
  gguf_writer& data(std::string_view d) {
    data_ += d;
    return *this;
  }
  gguf_writer& alignment(std::size_t a) {
    alignment_ = a;
    return *this;
  }
  gguf_writer& counts(std::uint64_t tensors, std::uint64_t metadata) {
    tensor_count_ = tensors;
    metadata_count_ = metadata;
    return *this;
  }

  std::string str() const {
    bytes head;
    head.raw("GGUF").put(std::uint32_t{3}).put(tensor_count_).put(metadata_count_);
    auto all = head.str() + metadata_.str() + tensors_.str();
    all.resize((all.size() + alignment_ - 1) / alignment_ * alignment_);
    return all + data_;
  }

 private:
  bytes metadata_, tensors_;
  std::uint64_t metadata_count_ = 0, tensor_count_ = 0;
  std::string data_;
  std::size_t alignment_ = 32;
};

// A file with that content, for as long as this object lives.
class temporary_file {
 public:
  explicit temporary_file(std::string_view content) {
    std::string path = (std::filesystem::temp_directory_path() / "smollm2_test_XXXXXX").string();
    int const fd = ::mkstemp(path.data());
    if (fd >= 0) ::close(fd);
    path_ = path;
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~temporary_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  temporary_file(temporary_file const&) = delete;
  temporary_file& operator=(temporary_file const&) = delete;

  std::string const& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace smollm2_test
