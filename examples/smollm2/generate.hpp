// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model.hpp"

namespace smollm2 {

// Called as things happen; either may be empty.
struct listener {
  std::function<void(index done)> prompt;     // after each piece: tokens of the prompt so far
  std::function<void(token_id token)> token;  // after each generated token
  std::function<void(index drafted, index taken)> draft;  // after each pass that checks a draft
};

// Greedy continuation of a prompt that fits the session's context: at most `count` tokens, fewer
// when the context is full or after `end`, which is the last one returned then. With drafts, tokens
// that the text suggests are checked together, and given back from the first wrong one on: the same
// tokens in fewer passes.
std::vector<token_id> generate(session& s, std::span<token_id const> prompt, index count,
                               token_id end, listener const& heard = {});

// The tokens that followed where the last n of `text` stood before, 2 <= n <= 4: the longest n, of it
// the last place; at most `most`. Prompt lookup: no model, and right where text repeats itself.
std::span<token_id const> lookup(std::span<token_id const> text, index most);

// What the token at position i says of the next, for every i < n - 1.
struct prediction {
  double nll;     // -log p(tokens[i + 1] | tokens[0 .. i]), natural log
  token_id best;  // the likeliest
};
// The last `singles` tokens pass the layers one by one, as when they are generated.
std::vector<prediction> predict(session& s, std::span<token_id const> tokens,
                                listener const& heard = {}, index singles = 0);

std::vector<double> nll(session& s, std::span<token_id const> tokens, listener const& heard = {});

// Their mean; of at least one.
double mean(std::span<double const> values);

}  // namespace smollm2
