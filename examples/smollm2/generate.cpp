// SPDX-License-Identifier: BSL-1.0
#include "generate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace smollm2 {
namespace {

// The prompt through the layers, a piece at a time; f(first, states) sees the states of each piece,
// whose first token is number `first`.
template <class F>
void for_each_piece(session& s, std::span<token_id const> tokens, listener const& heard, F&& f) {
  index const total = std::ssize(tokens);
  for (index first = 0; first < total; first += s.options().piece) {
    index const n = std::min(s.options().piece, total - first);
    f(first,
      s.forward(tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n))));
    if (heard.prompt) heard.prompt(first + n);
  }
}

token_id best_next(session& s, rows_view const& last_state) {
  auto const logits = s.logits(last_state);
  float const* const first = logits.data();
  return static_cast<token_id>(std::max_element(first, first + logits.cols()) - first);
}

}  // namespace

std::vector<token_id> generate(session& s, std::span<token_id const> prompt, index count,
                               token_id end, listener const& heard) {
  index const room = s.options().context - s.position() - std::ssize(prompt);
  index const most = std::min(count, room);
  token_id next = end;
  for_each_piece(s, prompt, heard, [&](index first, rows_view const& states) {
    bool const last = first + states.rows() == std::ssize(prompt);
    if (last && most > 0) next = best_next(s, states.bottomRows(1));
  });

  std::vector<token_id> out;
  while (std::ssize(out) < most) {
    out.push_back(next);
    if (heard.token) heard.token(next);
    if (next == end || std::ssize(out) == most) break;
    next = best_next(s, s.forward({&next, 1}));
  }
  return out;
}

std::vector<double> nll(session& s, std::span<token_id const> tokens, listener const& heard) {
  std::vector<double> out;
  for_each_piece(s, tokens, heard, [&](index first, rows_view const& states) {
    for (index row = 0; row < states.rows(); row += session::logits_rows) {
      index const rows = std::min(session::logits_rows, states.rows() - row);
      auto const logits = s.logits(states.middleRows(row, rows));
      for (index i = 0; i < rows; ++i) {
        index const predicted = first + row + i + 1;
        if (predicted == std::ssize(tokens)) return;
        float const most = logits.row(i).maxCoeff();
        float const log_sum = most + std::log((logits.row(i).array() - most).exp().sum());
        out.push_back(log_sum - logits(i, tokens[static_cast<std::size_t>(predicted)]));
      }
    }
  });
  return out;
}

double mean(std::span<double const> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace smollm2
