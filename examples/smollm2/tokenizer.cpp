// SPDX-License-Identifier: BSL-1.0
#include "tokenizer.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <queue>
#include <stdexcept>

namespace smollm2 {
namespace {

// The words of GPT-2: contractions, letters, numbers, the rest, white space (which leaves its last
// character to the word that follows). White space is spelled out as Unicode's White_Space, because
// PCRE2's own \s counts U+180E too.
//
// SmolLM's own split also sets digits apart. No merge of this vocabulary contains a digit, so they
// come out one by one either way; transformers, which computed the reference, reads a GGUF file
// with the GPT-2 pattern alone (so does this: "\n 51" keeps its newline and its space apart).
#define WHITE R"(\t-\r\x{85}\p{Z})"
constexpr char words[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{L}\p{N})" WHITE
                         R"(]+|[)" WHITE R"(]+(?![^)" WHITE R"(])|[)" WHITE R"(]+)";
#undef WHITE

// The one chat template known here, as it stands in the file (Jinja, which is not interpreted):
// ChatML, with a system message put before a conversation that has none.
constexpr std::string_view known_template =
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, "
    "trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

enum token_type { normal = 1, control = 3, user_defined = 4 };

// GPT-2 spells a byte as a printable character: itself where Latin-1 prints it, and otherwise
// U+0100, U+0101, ... in the order of the bytes. Source: openai/gpt-2, encoder.py.
std::array<std::string, 256> byte_spellings() {
  std::array<std::string, 256> all;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    bool const prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    unsigned const c = prints ? byte : next++;
    if (c >= 0x80) all[byte].push_back(static_cast<char>(0xc0 | c >> 6));
    all[byte].push_back(static_cast<char>(c < 0x80 ? c : 0x80 | (c & 0x3f)));
  }
  return all;
}

std::uint64_t pair_key(token_id left, token_id right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    auto const byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    unsigned const lead = byte(i);
    // The first continuation byte has a narrower range after four of the lead bytes: no overlong
    // forms (E0, F0), no surrogates (ED), nothing above U+10FFFF (F4).
    unsigned const low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned const high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    std::size_t const length = lead < 0x80                    ? 1
                               : lead >= 0xc2 && lead <= 0xdf ? 2
                               : lead >= 0xe0 && lead <= 0xef ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    std::size_t good = length == 0 ? 0 : 1;
    while (good > 0 && good < length && i + good < text.size() &&
           byte(i + good) >= (good == 1 ? low : 0x80u) &&
           byte(i + good) <= (good == 1 ? high : 0xbfu)) {
      ++good;
    }
    if (length > 0 && good == length) {
      out += text.substr(i, length);
    } else {
      out += "\xef\xbf\xbd";
    }
    i += std::max<std::size_t>(good, 1);
  }
  return out;
}

struct tokenizer::pattern {
  pcre2_code* code = nullptr;
  pcre2_match_data* match = nullptr;

  explicit pattern(char const* expression) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression), PCRE2_ZERO_TERMINATED,
                         PCRE2_UTF | PCRE2_ANCHORED, &error, &at, nullptr);
    if (code == nullptr) throw std::runtime_error("PCRE2 refuses the pattern that splits words");
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // faster where it is possible, the same if not
    match = pcre2_match_data_create(1, nullptr);
    if (match == nullptr) {
      pcre2_code_free(code);
      throw std::bad_alloc();
    }
  }
  pattern(pattern const&) = delete;
  pattern& operator=(pattern const&) = delete;
  ~pattern() {
    pcre2_match_data_free(match);
    pcre2_code_free(code);
  }

  // Length of the word that starts `at` a byte of well-formed text.
  std::size_t word(std::string_view text, std::size_t at) const {
    int const found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  PCRE2_NO_UTF_CHECK, match, nullptr);
    PCRE2_SIZE const* const range = pcre2_get_ovector_pointer(match);
    if (found < 0 || range[1] <= at) {
      throw std::runtime_error("PCRE2 cannot split the text (error " + std::to_string(found) + ")");
    }
    return range[1] - at;
  }
};

void tokenizer::pattern_deleter::operator()(pattern* p) const { delete p; }

tokenizer::tokenizer(gguf_file const& file) : split_(new pattern(words)) {
  auto const require = [&](std::string_view key, std::string_view expected) {
    if (file.text(key) != expected) {
      throw std::runtime_error("the file's " + std::string(key) + " is not '" +
                               std::string(expected) + "', the one known here");
    }
  };
  require("tokenizer.ggml.model", "gpt2");
  require("tokenizer.ggml.pre", "smollm");
  for (auto const* key : {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix"}) {
    if (file.has(key) && file.boolean(key)) {
      throw std::runtime_error("the file asks for " + std::string(key) +
                               ", which is not done here");
    }
  }

  auto const tokens = file.texts("tokenizer.ggml.tokens");
  auto const types = file.integers("tokenizer.ggml.token_type");
  if (tokens.empty() || tokens.size() > (1u << 24) || types.size() != tokens.size()) {
    throw std::runtime_error("tokenizer.ggml.tokens and .token_type do not belong together");
  }
  auto const last = static_cast<std::int64_t>(tokens.size()) - 1;
  end_of_turn_ = static_cast<token_id>(file.integer("tokenizer.ggml.eos_token_id", 0, last));
  if (auto const* key = "tokenizer.ggml.unknown_token_id"; file.has(key)) {
    unknown_ = static_cast<token_id>(file.integer(key, 0, last));
  }

  std::unordered_map<std::string_view, token_id> id_of;
  spelled_.resize(tokens.size());
  is_control_.resize(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    auto const id = static_cast<token_id>(i);
    tokens_.emplace_back(tokens[i]);
    id_of.emplace(tokens[i], id);
    spelled_[i] = types[i] == normal;
    is_control_[i] = types[i] == control;
    if ((types[i] == control || types[i] == user_defined) && !tokens[i].empty()) {
      special_.push_back(id);
    }
  }
  std::ranges::stable_sort(special_, std::ranges::greater{}, [&](token_id id) {
    return tokens[static_cast<std::size_t>(id)].size();
  });

  auto const spellings = byte_spellings();
  for (std::size_t byte = 0; byte < 256; ++byte) {
    auto const found = id_of.find(spellings[byte]);
    token_of_byte_[byte] = found == id_of.end() ? -1 : found->second;
    byte_of_.emplace(spellings[byte], static_cast<char>(byte));
  }

  auto const merges = file.texts("tokenizer.ggml.merges");
  merges_.reserve(merges.size());
  std::int32_t rank = 0;
  std::string joined;
  for (auto const text : merges) {  // "left right", in the order of their ranks
    auto const space = text.find(' ');
    auto const left = id_of.find(text.substr(0, space));
    auto const right = id_of.find(space == text.npos ? text : text.substr(space + 1));
    joined.assign(text);
    if (space != text.npos) joined.erase(space, 1);
    auto const into = id_of.find(joined);
    if (space == text.npos || left == id_of.end() || right == id_of.end() || into == id_of.end()) {
      throw std::runtime_error("tokenizer.ggml.merges names a token that is not in the vocabulary");
    }
    merges_.emplace(pair_key(left->second, right->second), merge{rank++, into->second});
  }

  auto const* template_key = "tokenizer.chat_template";
  knows_chat_ = file.has(template_key) && file.text(template_key) == known_template;
}

tokenizer::merge const* tokenizer::find_merge(token_id left, token_id right) const {
  auto const found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::vector<token_id> tokenizer::encode(std::string_view text) const {
  auto const repaired = repair_utf8(text);
  std::string_view const all = repaired;
  std::vector<token_id> out;

  std::array<bool, 256> may_start{};  // the first bytes of special tokens
  for (auto const id : special_) {
    may_start[static_cast<unsigned char>(tokens_[static_cast<std::size_t>(id)][0])] = true;
  }
  std::size_t ordinary = 0;  // where the text since the last special token begins
  for (std::size_t i = 0; i < all.size();) {
    auto const here = [&](token_id id) {
      return all.substr(i).starts_with(tokens_[static_cast<std::size_t>(id)]);
    };
    auto const found = may_start[static_cast<unsigned char>(all[i])]
                           ? std::ranges::find_if(special_, here)
                           : special_.end();
    if (found == special_.end()) {
      ++i;
      continue;
    }
    encode_words(all.substr(ordinary, i - ordinary), out);
    out.push_back(*found);
    i += tokens_[static_cast<std::size_t>(*found)].size();
    ordinary = i;
  }
  encode_words(all.substr(ordinary), out);
  return out;
}

void tokenizer::encode_words(std::string_view text, std::vector<token_id>& out) const {
  for (std::size_t at = 0; at < text.size();) {
    auto const length = split_->word(text, at);
    encode_word(text.substr(at, length), out);
    at += length;
  }
}

void tokenizer::encode_word(std::string_view word, std::vector<token_id>& out) const {
  // The word as a linked list of tokens, one per byte to begin with.
  struct symbol {
    token_id token;
    std::int64_t previous, next;  // -1: none
  };
  std::vector<symbol> symbols;
  for (char const c : word) {
    auto token = token_of_byte_[static_cast<unsigned char>(c)];
    if (token < 0) {
      if (unknown_ < 0 || (!symbols.empty() && symbols.back().token == unknown_)) continue;
      token = unknown_;
    }
    auto const i = static_cast<std::int64_t>(symbols.size());
    if (i > 0) symbols.back().next = i;
    symbols.push_back({token, i - 1, -1});
  }
  auto const at = [&](std::int64_t i) -> symbol& { return symbols[static_cast<std::size_t>(i)]; };

  // Every pair that can merge, by (rank, place); one that has changed since is skipped when popped.
  struct candidate {
    std::int32_t rank;
    std::int64_t left;
    token_id left_token, right_token, into;
    bool operator>(candidate const& b) const {
      return rank != b.rank ? rank > b.rank : left > b.left;
    }
  };
  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> queue;
  auto const consider = [&](std::int64_t left) {
    if (left < 0 || at(left).next < 0) return;
    auto const a = at(left).token;
    auto const b = at(at(left).next).token;
    if (auto const* m = find_merge(a, b)) queue.push({m->rank, left, a, b, m->into});
  };
  for (std::int64_t i = 0; i < std::ssize(symbols); ++i) consider(i);

  while (!queue.empty()) {
    auto const best = queue.top();
    queue.pop();
    auto& left = at(best.left);
    if (left.token != best.left_token || left.next < 0 || at(left.next).token != best.right_token) {
      continue;
    }
    auto& right = at(left.next);
    right.token = -1;  // gone: nothing that still names it can match
    left.token = best.into;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (std::int64_t i = symbols.empty() ? -1 : 0; i >= 0; i = at(i).next) {
    out.push_back(at(i).token);
  }
}

std::string tokenizer::decode(token_id token) const {
  auto const i = static_cast<std::size_t>(token);
  if (token < 0 || i >= tokens_.size() || is_control_[i]) return {};
  if (!spelled_[i]) return tokens_[i];  // a user-defined token is written as itself
  std::string_view const spelling = tokens_[i];
  std::string bytes;
  for (std::size_t at = 0; at < spelling.size();) {
    auto const length = static_cast<unsigned char>(spelling[at]) < 0x80 ? 1u : 2u;
    auto const found = byte_of_.find(std::string(spelling.substr(at, length)));
    if (found != byte_of_.end()) bytes += found->second;
    at += length;
  }
  return bytes;
}

std::string tokenizer::chat(std::string_view user) const {
  if (!knows_chat_) {
    throw std::runtime_error(
        "--chat: the file's tokenizer.chat_template is not the one known here");
  }
  return "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
         "<|im_end|>\n<|im_start|>user\n" +
         std::string(user) + "<|im_end|>\n<|im_start|>assistant\n";
}

}  // namespace smollm2
