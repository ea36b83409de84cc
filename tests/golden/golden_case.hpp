// SPDX-License-Identifier: BSL-1.0
// One golden case: its line of cases.tsv and its arrays.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "npy.hpp"
#include "oriel/oriel.hpp"

namespace oriel::test {

/// A float array with up to one leading axis ("batch") before [tokens, heads, dim].
struct golden_tensor {
  std::vector<float> values;
  std::vector<index> shape;

  /// Item `i` of the first axis, or the whole array, as [tokens, heads, dim]; lse has dim 1.
  tensor_view<float const> item(index i, bool batched, bool has_dim = true) const {
    std::size_t const at = batched ? 1 : 0;
    index const tokens = shape[at];
    index const heads = shape[at + 1];
    index const dim = has_dim ? shape[at + 2] : 1;
    return {values.data() + i * tokens * heads * dim, tokens, heads, dim};
  }
};

class golden_case {
 public:
  std::string name;
  std::string kind;
  std::string error;  ///< the first thing that was missing or malformed

  golden_case(std::filesystem::path directory, std::map<std::string, std::string> fields)
      : directory_(std::move(directory)), fields_(std::move(fields)) {
    name = fields_["name"];
    kind = fields_["kind"];
    directory_ /= name;
    // A name is one directory, not a path.
    if (name.empty() || name.find('/') != std::string::npos || name == "..") fail("bad name");
  }

  bool ok() const { return error.empty(); }

  /// A number of cases.tsv.
  template <class T = index>
  T number(char const* field) {
    std::string const& text = fields_[field];
    T x{};
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), x);
    if (code != std::errc() || end != text.data() + text.size()) {
      fail(std::string("cases.tsv: ") + field + " is no number: '" + text + "'");
    }
    return x;
  }

  std::string path(char const* array) const { return directory_ / (std::string(array) + ".npy"); }
  bool has(char const* array) const { return std::filesystem::exists(path(array)); }

  /// An array of floats of this shape; -1 is any length.
  golden_tensor floats(char const* array, std::vector<index> shape) {
    npy const file = load(array, "<f4");
    std::vector<index> got = file.shape;
    for (std::size_t i = 0; i < std::min(got.size(), shape.size()); ++i) {
      if (shape[i] < 0) shape[i] = got[i];
    }
    if (ok() && got != shape) fail(std::string(array) + ".npy has another shape");
    return {file.values<float>(), shape};
  }
  /// An array of floats of any shape.
  golden_tensor any_floats(char const* array) {
    npy const file = load(array, "<f4");
    return {file.values<float>(), file.shape};
  }
  /// An array of bytes, signed or not; a flat list.
  std::vector<std::uint8_t> bytes(char const* array) {
    npy const file = read_npy(path(array));
    if (!file.ok()) fail(file.error);
    if (file.ok() && file.type != "|u1" && file.type != "|i1") {
      fail(std::string(array) + ".npy is not |u1 or |i1");
    }
    return {file.bytes.begin(), file.bytes.end()};
  }
  /// An array of integers; a flat list.
  std::vector<index> integers(char const* array) {
    auto const values = load(array, "<i4").values<std::int32_t>();
    return {values.begin(), values.end()};
  }

  void fail(std::string why) {
    if (error.empty()) error = std::move(why);
  }

 private:
  npy load(char const* array, char const* type) {
    npy file = read_npy(path(array));
    if (!file.ok()) fail(file.error);
    if (file.ok() && file.type != type) fail(std::string(array) + ".npy is not " + type);
    return file;
  }

  std::filesystem::path directory_;
  std::map<std::string, std::string> fields_;
};

/// The cases of a directory, or none with a message on stderr.
inline std::vector<golden_case> read_cases(std::filesystem::path const& directory) {
  auto const path = directory / "cases.tsv";
  std::ifstream file(path);
  auto const refuse = [&](std::string const& why) {
    std::fprintf(stderr, "%s %s\n", path.c_str(), why.c_str());
    return std::vector<golden_case>();
  };
  if (!file) return refuse("can't be opened");
  auto const split = [](std::string line) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    std::vector<std::string> words;
    for (std::size_t at = 0; at <= line.size();) {
      std::size_t const end = std::min(line.find('\t', at), line.size());
      words.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    return words;
  };
  std::string line;
  std::getline(file, line);
  std::vector<std::string> const columns = split(line);
  if (columns.size() < 2 || columns[0] != "name") return refuse("has no header line");
  std::vector<golden_case> cases;
  while (std::getline(file, line)) {
    if (line.empty()) continue;
    std::vector<std::string> const words = split(line);
    if (words.size() != columns.size()) return refuse("has a line of another length: " + line);
    std::map<std::string, std::string> fields;
    for (std::size_t i = 0; i < words.size(); ++i) fields[columns[i]] = words[i];
    cases.emplace_back(directory, fields);
  }
  if (cases.empty()) return refuse("holds no case");
  return cases;
}

}  // namespace oriel::test
