// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gguf.hpp"

namespace smollm2 {

using token_id = std::int32_t;

// `text` with every ill-formed part replaced by U+FFFD: one for each longest prefix of a character
// (Unicode 15, section 3.9, "substitution of maximal subparts"; what Python's errors="replace" does).
std::string repair_utf8(std::string_view text);

// Byte-level byte pair encoding, with vocabulary and merges from a GGUF file whose
// tokenizer.ggml.model is "gpt2" and whose tokenizer.ggml.pre is "smollm".
//
// Special tokens written in the text (<|im_start|> ...) become those tokens. The rest is split into
// words by the GPT-2 pattern, and within a word the pair of lowest rank merges first, the leftmost
// on a tie. A byte that has no token of its own becomes the file's unknown token.
// One thread at a time.
class tokenizer {
 public:
  explicit tokenizer(gguf_file const& file);

  std::vector<token_id> encode(std::string_view text) const;

  // The bytes a token stands for (not always whole characters); nothing for a special token.
  std::string decode(token_id token) const;

  // One user turn and the opening of the answer, in the file's chat template.
  std::string chat(std::string_view user) const;

  token_id end_of_turn() const { return end_of_turn_; }
  token_id size() const { return static_cast<token_id>(tokens_.size()); }

 private:
  struct merge {
    std::int32_t rank;
    token_id into;
  };
  struct pattern;  // a compiled PCRE2 expression
  struct pattern_deleter {
    void operator()(pattern* p) const;
  };

  merge const* find_merge(token_id left, token_id right) const;
  void encode_words(std::string_view text, std::vector<token_id>& out) const;
  void encode_word(std::string_view word, std::vector<token_id>& out) const;

  std::vector<std::string> tokens_;  // as in the file: bytes spelled as printable characters
  std::vector<token_id> special_;    // longest first
  std::vector<bool> is_control_;     // [tokens] never printed
  std::vector<bool> spelled_;        // [tokens] an ordinary token, in that spelling
  std::unordered_map<std::uint64_t, merge> merges_;  // by (left << 32 | right)
  std::array<token_id, 256> token_of_byte_{};        // -1: none
  std::unordered_map<std::string, char> byte_of_;    // printable spelling -> byte
  token_id unknown_ = -1;
  token_id end_of_turn_ = -1;
  bool knows_chat_ = false;
  std::unique_ptr<pattern, pattern_deleter> split_;
};

}  // namespace smollm2
