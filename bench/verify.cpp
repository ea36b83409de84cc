// SPDX-License-Identifier: BSL-1.0
#include "verify.hpp"

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace bench {
namespace {

constexpr double hidden = -std::numeric_limits<double>::infinity();

using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// How far the truth is from the numbers that round to the answer.
double error_of(float answer, double truth) { return std::abs(double{answer} - truth); }
template <class T>
double error_of(T answer, double truth) {
  constexpr unsigned sign = 0x8000u;
  unsigned const size = answer.bits & ~sign;
  auto const number = [](unsigned bits) {
    T x;
    x.bits = static_cast<std::uint16_t>(bits);
    return double{static_cast<float>(x)};
  };
  double const up = (number(size) + number(size + 1)) / 2;  // half-way to its neighbours
  double const down = size == 0 ? -up : (number(size) + number(size - 1)) / 2;
  double const x = (answer.bits & sign) != 0 ? -truth : truth;
  if (x >= down && x <= up) return 0.0;
  return x > up ? x - up : down - x;  // a NaN stays one
}

/// Row (token, head) of the answers.
void compare(oriel::output_view const& out, index token, index head, double const* truth,
             verdict& so_far) {
  out.visit([&](auto const& answers) {
    for (index d = 0; d < out.dim; ++d) {
      double const error = error_of(answers.row(token, head)[d], truth[d]);
      if (!(error <= so_far.error)) so_far.error = error;  // a NaN stays: nothing is <= NaN
      so_far.largest = std::fmax(so_far.largest, std::abs(truth[d]));
    }
  });
  ++so_far.rows;
}

/// Query tokens to compare with the definition.
std::set<index> sample(oriel::attention const& call, mask_edges const& edges) {
  std::set<index> tokens;
  oriel::range const queries = call.queries();
  auto const add_edge = [&](index position) {
    for (index const p : {position - 1, position}) {
      if (queries.contains(p)) tokens.insert(p - queries.begin);
    }
  };
  tokens.insert(0);
  tokens.insert(call.q.tokens - 1);
  for (index const step : {oriel::tile_keys, oriel::leaf_keys}) {
    index const edge = oriel::round_down(queries.begin + step, step);  // the first one in the call
    add_edge(edge);
    add_edge(oriel::round_down(queries.end - 1, step));
    for (index const width : edges.widths) add_edge(edge + width);
  }
  for (index const position : edges.positions) add_edge(position);
  if (call.select) {
    add_edge(call.select.dense_before());
    add_edge(oriel::round_down(queries.end - 1, call.select.block()));
  }
  constexpr index enough_rows = 64;
  std::mt19937_64 random(1);
  std::uniform_int_distribution<index> any(0, call.q.tokens - 1);
  auto const most = static_cast<std::size_t>(call.q.tokens);
  std::size_t const wanted = tokens.size() + 4;
  while (tokens.size() < most && (tokens.size() < wanted ||
                                  static_cast<index>(tokens.size()) * call.q.heads < enough_rows)) {
    tokens.insert(any(random));
  }
  return tokens;
}

void compare_sampled(oriel::attention const& call, mask_edges const& edges, verdict& so_far) {
  oriel::output_view const& out = call.out;
  std::vector<double> truth(static_cast<std::size_t>(call.q.heads * out.dim));
  for (index const token : sample(call, edges)) {
    oriel::attention row = call;
    row.q = call.q.slice({token, token + 1});
    row.first_query = call.queries().begin + token;
    if (!oriel::reference(row, {truth.data(), 1, call.q.heads, out.dim}).ok()) {
      so_far.error = std::nan("");
      return;
    }
    for (index h = 0; h < call.q.heads; ++h) {
      compare(out, token, h, truth.data() + h * out.dim, so_far);
    }
  }
}

/// What the mask shows of a block of tokens, asked once for all heads of a group.
struct block_mask {
  oriel::range tokens;
  oriel::range queries;  ///< their positions
  oriel::range keys;     ///< positions of all keys that any of them may see
  std::vector<char> seen = {};

  bool at(index t, index i) const {
    return seen[static_cast<std::size_t>(t * keys.size() + i)] != 0;
  }
};

block_mask mask_of(oriel::attention const& call, oriel::range tokens) {
  index const first = call.queries().begin;
  oriel::range const held = call.kv.positions();
  oriel::range const queries{first + tokens.begin, first + tokens.end};
  auto const reach = intersect(call.mask.reach(queries), oriel::key_ranges(held));
  block_mask block{.tokens = tokens,
                   .queries = queries,
                   .keys = reach.empty() ? oriel::range{held.begin, held.begin} : reach.hull()};
  for (index q = queries.begin; q < queries.end; ++q) {
    for (index k = block.keys.begin; k < block.keys.end; ++k) {
      block.seen.push_back(call.mask.visible(q, k) ? 1 : 0);
    }
  }
  return block;
}

/// Attention of one head for a block of tokens, every key in double.
void compare_block(oriel::attention const& call, index head, block_mask const& block,
                   matrix const& all_k, matrix const& all_v, verdict& so_far) {
  oriel::range const held = call.kv.positions();
  oriel::range const tokens = block.tokens;
  oriel::range const keys = block.keys;
  oriel::output_view const& out = call.out;
  matrix q(tokens.size(), call.q.dim);
  call.q.visit([&](auto const& queries) {
    for (index t = 0; t < tokens.size(); ++t) {
      auto const* const row = queries.row(tokens.begin + t, head);
      for (index d = 0; d < call.q.dim; ++d) q(t, d) = static_cast<float>(row[d]);
    }
  });
  q /= std::sqrt(static_cast<double>(call.q.dim));
  auto const k = all_k.middleRows(keys.begin - held.begin, keys.size());
  auto const v = all_v.middleRows(keys.begin - held.begin, keys.size());
  matrix p(tokens.size(), keys.size());
  p.noalias() = q * k.transpose();
  for (index t = 0; t < tokens.size(); ++t) {
    index const query = block.queries.begin + t;
    double top = hidden;
    for (index i = 0; i < keys.size(); ++i) {
      index const key = keys.begin + i;
      p(t, i) = block.at(t, i) ? call.score.exact(p(t, i), query, head, key) : hidden;
      top = std::fmax(top, p(t, i));
    }
    if (top == hidden) {
      p.row(t).setZero();
      continue;
    }
    p.row(t) = (p.row(t).array() - top).exp();
    double total = p.row(t).sum();
    if (!call.sink_logits.empty()) {
      total +=
          std::exp(static_cast<double>(call.sink_logits[static_cast<std::size_t>(head)]) - top);
    }
    p.row(t) /= total;
  }
  matrix truth(tokens.size(), out.dim);
  truth.noalias() = p * v;
  for (index t = 0; t < tokens.size(); ++t) {
    compare(out, tokens.begin + t, head, truth.row(t).data(), so_far);
  }
}

void compare_all(oriel::attention const& call, verdict& so_far) {
  oriel::range const held = call.kv.positions();
  auto const shape = call.kv.shape();
  matrix k(held.size(), shape.head_dim);
  matrix v(held.size(), shape.v_dim);
  std::vector<float> row(static_cast<std::size_t>(oriel::max_of(shape.head_dim, shape.v_dim)));
  for (index kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    for (index i = 0; i < held.size(); ++i) {
      oriel::kv_run const run = call.kv.run_at(kv_head, held.begin + i);
      float const* const key = run.floats(run.k, shape.head_dim, row.data());
      for (index d = 0; d < shape.head_dim; ++d) k(i, d) = key[d];
      float const* const value = run.floats(run.v, shape.v_dim, row.data());
      for (index d = 0; d < shape.v_dim; ++d) v(i, d) = value[d];
    }
    constexpr index step = 64;
    for (index t = 0; t < call.q.tokens; t += step) {
      block_mask const block = mask_of(call, {t, oriel::min_of(t + step, call.q.tokens)});
      for (index h = 0; h < call.heads().group(); ++h) {
        compare_block(call, call.heads().first_q_head(kv_head) + h, block, k, v, so_far);
      }
    }
  }
}

}  // namespace

verdict verify(oriel::attention const& call, index pairs, mask_edges const& edges) {
  verdict sampled;
  compare_sampled(call, edges, sampled);
  verdict all;
  if (!call.select && pairs <= index{1} << 26) {
    compare_all(call, all);
  }
  verdict result = all.rows > 0 ? all : sampled;
  if (!(sampled.error <= result.error)) result.error = sampled.error;
  double const bound = call.compute == oriel::compute_choice::fast ? 3e-4 : 2e-6;
  result.right = result.error <= bound * result.largest;
  return result;
}

}  // namespace bench
