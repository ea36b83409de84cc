// SPDX-License-Identifier: BSL-1.0
#include "generate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace smollm2 {
namespace {

// The prompt through the layers, a piece at a time; f(first, states) sees the states of each piece,
// whose first token is number `first`. The last `singles` tokens are pieces of their own.
template <class F>
void for_each_piece(session& s, std::span<token_id const> tokens, listener const& heard, F&& f,
                    index singles = 0) {
  index const total = std::ssize(tokens);
  index const alone = total - std::min(singles, total);
  for (index first = 0, n = 0; first < total; first += n) {
    n = first < alone ? std::min(s.options().piece, alone - first) : 1;
    f(first,
      s.forward(tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n))));
    if (heard.prompt) heard.prompt(first + n);
  }
}

// The likeliest token after each state.
std::vector<token_id> best_next(session& s, rows_view const& states) {
  std::vector<token_id> best;
  auto const logits = s.logits(states);
  for (index i = 0; i < logits.rows(); ++i) {
    float const* const first = logits.row(i).data();
    best.push_back(static_cast<token_id>(std::max_element(first, first + logits.cols()) - first));
  }
  return best;
}

}  // namespace

std::span<token_id const> lookup(std::span<token_id const> text, index most) {
  index const size = std::ssize(text);
  for (index n = std::min<index>(4, size - 1); n >= 2 && most > 0; --n) {
    auto const last = text.last(static_cast<std::size_t>(n));
    for (index at = size - n - 1; at >= 0; --at) {
      auto const place = text.subspan(static_cast<std::size_t>(at));
      if (!std::ranges::equal(place.first(last.size()), last)) continue;
      auto const after = place.subspan(last.size());
      return after.first(std::min(after.size(), static_cast<std::size_t>(most)));
    }
  }
  return {};
}

std::vector<token_id> generate(session& s, std::span<token_id const> prompt, index count,
                               token_id end, listener const& heard) {
  index const room = s.options().context - s.position() - std::ssize(prompt);
  index const most = std::min(count, room);
  token_id next = end;
  for_each_piece(s, prompt, heard, [&](index first, rows_view const& states) {
    bool const last = first + states.rows() == std::ssize(prompt);
    if (last && most > 0) next = best_next(s, states.bottomRows(1))[0];
  });

  std::vector<token_id> out;
  std::vector<token_id> text(prompt.begin(), prompt.end());
  auto const say = [&](token_id token) {  // false: it is the last
    out.push_back(token);
    text.push_back(token);
    if (heard.token) heard.token(token);
    return token != end && std::ssize(out) < most;
  };
  while (most > 0 && say(next)) {
    std::vector<token_id> pass{next};
    auto const draft = lookup(text, std::min(s.options().draft, most - std::ssize(out) - 1));
    pass.insert(pass.end(), draft.begin(), draft.end());
    index const before = s.position();
    auto const best = best_next(s, s.forward(pass, true));
    std::size_t taken = 0;
    while (taken + 1 < pass.size() && pass[taken + 1] == best[taken]) ++taken;
    if (heard.draft && pass.size() > 1) {
      heard.draft(std::ssize(pass) - 1, static_cast<index>(taken));
    }
    if (taken + 1 < pass.size()) s.truncate(before + 1 + static_cast<index>(taken));
    for (std::size_t i = 1; i <= taken; ++i) {
      if (!say(pass[i])) return out;
    }
    next = best[taken];
  }
  return out;
}

std::vector<prediction> predict(session& s, std::span<token_id const> tokens, listener const& heard,
                                index singles) {
  std::vector<prediction> out;
  auto const of_piece = [&](index first, rows_view const& states) {
    for (index row = 0; row < states.rows(); row += session::logits_rows) {
      index const rows = std::min(session::logits_rows, states.rows() - row);
      auto const logits = s.logits(states.middleRows(row, rows));
      for (index i = 0; i < rows; ++i) {
        index const predicted = first + row + i + 1;
        if (predicted == std::ssize(tokens)) return;
        index best = 0;
        float const most = logits.row(i).maxCoeff(&best);
        float const log_sum = most + std::log((logits.row(i).array() - most).exp().sum());
        out.push_back({log_sum - logits(i, tokens[static_cast<std::size_t>(predicted)]),
                       static_cast<token_id>(best)});
      }
    }
  };
  for_each_piece(s, tokens, heard, of_piece, singles);
  return out;
}

std::vector<double> nll(session& s, std::span<token_id const> tokens, listener const& heard) {
  std::vector<double> out;
  for (prediction const& p : predict(s, tokens, heard)) out.push_back(p.nll);
  return out;
}

double mean(std::span<double const> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace smollm2
