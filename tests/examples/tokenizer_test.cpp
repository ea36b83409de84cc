// SPDX-License-Identifier: BSL-1.0
#include "tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "gguf_writer.hpp"

namespace smollm2_test {
namespace {

using smollm2::gguf_file;
using smollm2::repair_utf8;
using smollm2::token_id;
using smollm2::tokenizer;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto template_text =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
    "Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

// Tokens of the test vocabulary, in the order of their ids.
enum : token_id {
  end_of_text,
  turn,
  turn_again,
  user_defined,  // special
  a,
  b,
  c,
  space,
  line,
  one,
  two,
  apostrophe,
  s,
  high,
  low,
  bang,  // bytes
  ab,
  abc,
  bc,
  space_a,
  quote_s,
  spaces,
  line_space,
  c_cedilla,
  aa,
  aaaa,
  mark,  // merges
};

gguf_writer vocabulary() {
  gguf_writer w;
  w.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
  w.texts("tokenizer.ggml.tokens", {"<|end|>",
                                    "<|turn",
                                    "<|turn|>",
                                    "<u\xc3\x9f>",
                                    "a",
                                    "b",
                                    "c",
                                    "\xc4\xa0",
                                    "\xc4\x8a",
                                    "1",
                                    "2",
                                    "'",
                                    "s",
                                    "\xc3\x83",
                                    "\xc4\xa9",
                                    "!",
                                    "ab",
                                    "abc",
                                    "bc",
                                    "\xc4\xa0"
                                    "a",
                                    "'s",
                                    "\xc4\xa0\xc4\xa0",
                                    "\xc4\x8a\xc4\xa0",
                                    "\xc3\x83\xc4\xa9",
                                    "aa",
                                    "aaaa",
                                    "!!"});
  std::vector<std::int32_t> types(27, 1);
  types[end_of_text] = types[turn] = types[turn_again] = 3;
  types[user_defined] = 4;
  w.i32s("tokenizer.ggml.token_type", types);
  w.texts("tokenizer.ggml.merges",
          {"b c", "a b", "ab c", "\xc4\xa0 a", "' s", "\xc4\xa0 \xc4\xa0", "\xc4\x8a \xc4\xa0",
           "\xc3\x83 \xc4\xa9", "a a", "aa aa", "! !"});
  w.u32("tokenizer.ggml.eos_token_id", turn_again).u32("tokenizer.ggml.unknown_token_id", 0);
  w.boolean("tokenizer.ggml.add_bos_token", false);
  w.text("tokenizer.chat_template", template_text);
  return w;
}

tokenizer load(gguf_writer const& w) {
  temporary_file const file(w.str());
  gguf_file const g(file.path());
  return tokenizer(g);  // copies what it keeps
}

TEST(tokenizer, merges_by_rank_then_from_the_left) {
  auto const t = load(vocabulary());
  EXPECT_THAT(t.encode("abc"), ElementsAre(a, bc));  // "b c" ranks first
  EXPECT_THAT(t.encode("abab"), ElementsAre(ab, ab));
  EXPECT_THAT(t.encode("aaa"), ElementsAre(aa, a));
  EXPECT_THAT(t.encode("aaaaa"), ElementsAre(aaaa, a));
  EXPECT_THAT(t.encode(""), ElementsAre());
}

TEST(tokenizer, splits_like_gpt2) {
  auto const t = load(vocabulary());
  EXPECT_THAT(t.encode("a a"), ElementsAre(a, space_a));
  EXPECT_THAT(t.encode("a  a"), ElementsAre(a, space, space_a));  // the last space goes with a
  EXPECT_THAT(t.encode("a  "), ElementsAre(a, spaces));
  EXPECT_THAT(t.encode("\n a"), ElementsAre(line, space_a));
  EXPECT_THAT(t.encode("\n 1"), ElementsAre(line, space, one));
  EXPECT_THAT(t.encode("\n "), ElementsAre(line_space));
  EXPECT_THAT(t.encode("a's"), ElementsAre(a, quote_s));
  EXPECT_THAT(t.encode("12"), ElementsAre(one, two));
  EXPECT_THAT(t.encode("a!!b"), ElementsAre(a, mark, b));
}

TEST(tokenizer, special_tokens_are_found_in_the_text_the_longest_first) {
  auto const t = load(vocabulary());
  EXPECT_THAT(t.encode("a<|turn|>b"), ElementsAre(a, turn_again, b));
  EXPECT_THAT(t.encode("<|turnb"), ElementsAre(turn, b));
  EXPECT_THAT(t.encode("<|end|><|end|>"), ElementsAre(end_of_text, end_of_text));
  EXPECT_THAT(t.encode("b<u\xc3\x9f>c"), ElementsAre(b, user_defined, c));
  EXPECT_THAT(t.encode("b c <|turn|> c"),
              ElementsAre(b, space, c, space, turn_again, space, c));  // a boundary for words
}

TEST(tokenizer, a_byte_without_a_token_is_unknown) {
  EXPECT_THAT(load(vocabulary()).encode("axyb"), ElementsAre(a, end_of_text, b));
  EXPECT_THAT(load(vocabulary()).encode(std::string_view("\0", 1)), ElementsAre(end_of_text));
}

TEST(tokenizer, decodes_to_bytes) {
  auto const t = load(vocabulary());
  EXPECT_THAT(t.encode("\xc3\x87"), ElementsAre(c_cedilla));  // two bytes, one token
  EXPECT_EQ(t.decode(high), "\xc3");
  EXPECT_EQ(t.decode(low), "\x87");
  EXPECT_EQ(t.decode(c_cedilla), "\xc3\x87");
  EXPECT_EQ(t.decode(line_space), "\n ");
  EXPECT_EQ(t.decode(user_defined), "<u\xc3\x9f>");
  EXPECT_EQ(t.decode(turn), "");
  EXPECT_EQ(t.decode(-1), "");
  EXPECT_EQ(t.decode(t.size()), "");
}

TEST(tokenizer, long_words_take_no_quadratic_time) {
  auto const t = load(vocabulary());
  EXPECT_EQ(t.encode(std::string(1 << 20, 'a')).size(), std::size_t{1} << 18);
  EXPECT_EQ(t.encode(std::string(1 << 20, ' ')).size(), std::size_t{1} << 19);
  EXPECT_EQ(t.encode(std::string(1 << 20, ' ') + "a").size(), (std::size_t{1} << 19) + 1);
}

TEST(tokenizer, chat_is_the_known_template) {
  auto const t = load(vocabulary());
  EXPECT_EQ(t.end_of_turn(), turn_again);
  EXPECT_EQ(t.chat("Hi."),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n");
}

TEST(tokenizer, refuses_files_that_it_does_not_know) {
  auto const refusal = [](gguf_writer const& w) -> std::string {
    try {
      load(w);
      return {};
    } catch (std::runtime_error const& e) {
      return e.what();
    }
  };
  auto const start = [](char const* model, char const* pre) {
    return gguf_writer().text("tokenizer.ggml.model", model).text("tokenizer.ggml.pre", pre);
  };
  auto const rest = [&](std::vector<std::string> const& tokens,
                        std::vector<std::int32_t> const& types, std::uint32_t end,
                        std::vector<std::string> const& merges) {
    auto w = start("gpt2", "smollm");
    return refusal(w.texts("tokenizer.ggml.tokens", tokens)
                       .i32s("tokenizer.ggml.token_type", types)
                       .u32("tokenizer.ggml.eos_token_id", end)
                       .texts("tokenizer.ggml.merges", merges));
  };
  EXPECT_THAT(refusal(start("llama", "smollm")), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(refusal(start("gpt2", "qwen2")), HasSubstr("tokenizer.ggml.pre"));
  EXPECT_THAT(refusal(start("gpt2", "smollm")), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_EQ(rest({"a", "b", "ab"}, {1, 1, 1}, 2, {"a b"}), "");
  EXPECT_THAT(rest({}, {}, 0, {}), HasSubstr("do not belong together"));
  EXPECT_THAT(rest({"a", "b"}, {1}, 0, {}), HasSubstr("do not belong together"));
  EXPECT_THAT(rest({"a", "b"}, {1, 1}, 2, {}), HasSubstr("eos_token_id"));
  EXPECT_THAT(rest({"a", "b"}, {1, 1}, 0, {"a b"}), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(rest({"a", "b", "ab"}, {1, 1, 1}, 0, {"ab"}), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(rest({"a", ""}, {1, 3}, 0, {""}), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(refusal(vocabulary().boolean("tokenizer.ggml.add_space_prefix", true)),
              HasSubstr("add_space_prefix"));

  auto no_chat = start("gpt2", "smollm");
  no_chat.texts("tokenizer.ggml.tokens", {"a"}).i32s("tokenizer.ggml.token_type", {1});
  no_chat.u32("tokenizer.ggml.eos_token_id", 0).texts("tokenizer.ggml.merges", {});
  auto const t = load(no_chat);
  EXPECT_THROW(t.chat("Hi."), std::runtime_error);
  EXPECT_THAT(t.encode("ab"), ElementsAre(0));  // no token for b, and none for unknown bytes
}

TEST(repair_utf8, keeps_what_is_well_formed) {
  for (std::string const s :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xf0\x9f\x99\x82z"}) {
    EXPECT_EQ(repair_utf8(s), s);
  }
}

TEST(repair_utf8, replaces_the_longest_beginnings_of_characters) {
  std::string const r = "\xef\xbf\xbd";
  EXPECT_EQ(repair_utf8("\xff"), r);
  EXPECT_EQ(repair_utf8("a\x80"
                        "b"),
            "a" + r + "b");
  EXPECT_EQ(repair_utf8("\xc0\xaf"), r + r);                  // overlong
  EXPECT_EQ(repair_utf8("\xe0\x9f\xbf"), r + r + r);          // overlong
  EXPECT_EQ(repair_utf8("\xed\xa0\x80"), r + r + r);          // a surrogate
  EXPECT_EQ(repair_utf8("\xf4\x90\x80\x80"), r + r + r + r);  // above U+10FFFF
  EXPECT_EQ(repair_utf8("\xe2\x82"), r);                      // cut short: one
  EXPECT_EQ(repair_utf8("\xf0\x9f\x99x"), r + "x");
  EXPECT_EQ(repair_utf8("\xf0\x9f\xf0\x9f\x99\x82"), r + "\xf0\x9f\x99\x82");
}

}  // namespace
}  // namespace smollm2_test
