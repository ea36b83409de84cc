// SPDX-License-Identifier: BSL-1.0
#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <oriel/interop/throwing.hpp>
#include <stdexcept>
#include <string>

#include "dequantize.hpp"

namespace smollm2 {
namespace {

// f(first, last) over [0, count) in about four parts a worker, on the pool.
template <class F>
void in_parallel(oriel::thread_pool& pool, index count, F&& f) {
  index const part = (count / (4 * pool.workers()) / 8 + 1) * 8;
  pool.run((count + part - 1) / part, [&](index task, index /*worker*/) {
    f(task * part, std::min(count, (task + 1) * part));
  });
}

// y [n, out] = x [n, in] * w [out, in]^T, shared out by the rows of w. Few rows of x one by one, each
// by the same matrix-vector product and so with the bits that it has alone; parts of w are small
// enough that they come from memory once for all of them. More rows by a matrix product.
void multiply_rows(rows_view const& x, matrix const& w, rows_out y, bool one_by_one,
                   oriel::thread_pool& pool) {
  constexpr index in_cache = 32;  // rows of w: 72 KiB of 576 floats
  in_parallel(pool, w.rows(), [&](index first, index last) {
    if (!one_by_one) {
      y.middleCols(first, last - first).noalias() =
          x * w.middleRows(first, last - first).transpose();
      return;
    }
    for (index at = first; at < last; at += in_cache) {
      index const n = std::min(in_cache, last - at);
      auto const part = w.middleRows(at, n);
      for (index i = 0; i < x.rows(); ++i) {
        y.row(i).segment(at, n).transpose().noalias() = part * x.row(i).transpose();
      }
    }
  });
}

// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row (arXiv 1910.07467).
void rms_norm(rows_view const& x, vector const& weight, float epsilon, rows_out y) {
  for (index i = 0; i < x.rows(); ++i) {
    float const mean = x.row(i).squaredNorm() / static_cast<float>(x.cols());
    y.row(i) = (x.row(i) / std::sqrt(mean + epsilon)).cwiseProduct(weight);
  }
}

// silu(gate) * up, in the place of gate; rows of [gate | up] (arXiv 2002.05202).
void swiglu(rows_out gate_up) {
  auto const half = gate_up.cols() / 2;
  auto gate = gate_up.leftCols(half).array();
  gate *= gate_up.rightCols(half).array() / (1.0f + (-gate).exp());
}

dimensions read_dimensions(gguf_file const& file) {
  constexpr index most = 1 << 24;
  if (file.text("general.architecture") != "llama") {
    throw std::runtime_error("the file's general.architecture is not 'llama'");
  }
  dimensions d{};
  d.layers = file.integer("llama.block_count", 1, 1 << 10);
  d.hidden = file.integer("llama.embedding_length", 1, most);
  d.feed_forward = file.integer("llama.feed_forward_length", 1, most);
  d.q_heads = file.integer("llama.attention.head_count", 1, most);
  d.kv_heads = file.integer("llama.attention.head_count_kv", 1, most);
  d.vocabulary = file.integer("llama.vocab_size", 1, most);
  d.trained_context = file.integer("llama.context_length", 1, most);
  d.rope_base = static_cast<float>(file.number("llama.rope.freq_base"));
  d.rms_epsilon = static_cast<float>(file.number("llama.attention.layer_norm_rms_epsilon"));

  if (d.hidden % d.q_heads != 0 || d.q_heads % d.kv_heads != 0) {
    throw std::runtime_error("the file's head counts do not divide");
  }
  d.head_dim = d.hidden / d.q_heads;
  for (auto const* key : {"llama.rope.dimension_count", "llama.attention.key_length",
                          "llama.attention.value_length"}) {
    if (file.has(key) && file.integer(key, 1, most) != d.head_dim) {
      throw std::runtime_error(std::string("the file's ") + key + " is not embedding / heads");
    }
  }
  if (d.head_dim % 2 != 0) throw std::runtime_error("the file's head dimension is odd");
  if (!std::isfinite(d.rope_base) || d.rope_base <= 0 || !std::isfinite(d.rms_epsilon) ||
      d.rms_epsilon < 0) {
    throw std::runtime_error("the file's rope base or rms epsilon is not a sensible number");
  }
  for (auto const* key : {"llama.rope.scaling.type", "llama.rope.scale_linear"}) {
    if (file.has(key)) {
      throw std::runtime_error(std::string("the file has ") + key + ", which is not done here");
    }
  }
  return d;
}

// What a token sees: everything up to itself, its window, or its window and the sinks.
oriel::any_mask mask_of(session_options const& o) {
  if (o.window == 0) return oriel::causal{};
  oriel::sliding_window const window{.keys = o.window};
  if (o.sinks == 0) return oriel::causal{} & window;
  return oriel::causal{} & (window | oriel::sinks{.keys = o.sinks});
}

// The caches of all layers: what a token sees, and drafts that are given back.
std::unique_ptr<kv_caches> caches_of(dimensions const& d, session_options const& o) {
  oriel::layer_config layer{.kv_heads = d.kv_heads, .head_dim = d.head_dim};
  if (o.window > 0) {
    layer.kind = oriel::layer_kind::window;
    layer.keys = o.window, layer.sinks = o.sinks;
  }
  std::vector<oriel::layer_config> const layers(static_cast<std::size_t>(d.layers), layer);
  return make_kv_caches(
      o.kv, o.rotate,
      {.layers = layers, .context = o.context, .margin = std::max<index>(1, o.draft)});
}

// Neighbours are pairs: a GGUF file of this architecture has its q and k weights permuted so.
oriel::rope rope_of(dimensions const& d) {
  return {.dim = d.head_dim, .pairs = oriel::rope_pairs::neighbours, .theta = double{d.rope_base}};
}

}  // namespace

model::model(gguf_file const& file, oriel::thread_pool& pool) : dim(read_dimensions(file)) {
  std::size_t used = 0;
  // Tensors of equal width, one above the other.
  auto const load = [&](std::initializer_list<std::pair<std::string, index>> parts, index columns) {
    index rows = 0;
    for (auto const& [name, part_rows] : parts) {
      file.matrix(name, part_rows, columns);  // before anything is allocated
      rows += part_rows;
    }
    matrix w(rows, columns);
    float* out = w.data();
    for (auto const& [name, part_rows] : parts) {
      auto const& t = file.matrix(name, part_rows, columns);
      in_parallel(pool, part_rows, [&](index first, index last) {
        for (index row = first; row < last; ++row) widen_row(t, row, out + row * columns);
      });
      out += part_rows * columns;
      ++used;
    }
    return w;
  };
  auto const load_vector = [&](std::string const& name) {
    return vector(load({{name, 1}}, dim.hidden));
  };

  index const q_width = dim.q_heads * dim.head_dim;
  index const kv_width = dim.kv_heads * dim.head_dim;
  embedding = load({{"token_embd.weight", dim.vocabulary}}, dim.hidden);
  for (index i = 0; i < dim.layers; ++i) {
    auto const name = [&](char const* part) {
      return "blk." + std::to_string(i) + "." + part + ".weight";
    };
    layer l;
    l.attention_norm = load_vector(name("attn_norm"));
    l.qkv =
        load({{name("attn_q"), q_width}, {name("attn_k"), kv_width}, {name("attn_v"), kv_width}},
             dim.hidden);
    l.attention_output = load({{name("attn_output"), dim.hidden}}, q_width);
    l.feed_forward_norm = load_vector(name("ffn_norm"));
    l.gate_up = load({{name("ffn_gate"), dim.feed_forward}, {name("ffn_up"), dim.feed_forward}},
                     dim.hidden);
    l.down = load({{name("ffn_down"), dim.hidden}}, dim.feed_forward);
    layers.push_back(std::move(l));
  }
  output_norm = load_vector("output_norm.weight");
  if (file.tensors().contains("output.weight")) {
    untied_output = load({{"output.weight", dim.vocabulary}}, dim.hidden);
  }
  if (used != file.tensors().size()) {
    throw std::runtime_error("the file has " + std::to_string(file.tensors().size()) +
                             " tensors, of which a Llama model of its metadata uses " +
                             std::to_string(used));
  }
}

session::session(model const& m, session_options const& options, oriel::thread_pool& pool)
    : model_(m),
      options_(options),
      pool_(pool),
      mask_(mask_of(options)),
      caches_(caches_of(m.dim, options)),
      place_bytes_(options.in_cache ? oriel::rope_table::required_bytes(
                                          rope_of(m.dim), cache_rows() + options.piece)
                                    : 0),
      places_(oriel::rope_table::make(place_bytes_, rope_of(m.dim),
                                      options.in_cache ? cache_rows() + options.piece : 0)),
      plan_(oriel::plan_attend({.q_len = options.piece,
                                .kv_len = std::min(options.context, cache_rows() + options.piece),
                                .q_heads = m.dim.q_heads,
                                .kv_heads = m.dim.kv_heads,
                                .head_dim = m.dim.head_dim,
                                .chosen_blocks = options.top_k,
                                .coded = options.in_cache || options.kv != "f32" || options.rotate},
                               options.workers)),
      workspace_(plan_.workspace_bytes()) {
  auto const& d = m.dim;
  if (options.block > 0) {
    oriel::block_shape const blocks{.block = options.block,
                                    .blocks = std::max<index>(1, cache_rows() / options.block),
                                    .kv_heads = d.kv_heads,
                                    .head_dim = d.head_dim};
    means_.reserve(static_cast<std::size_t>(d.layers));  // calls refer to them: they stay put
    for (index i = 0; i < d.layers; ++i) {
      auto& bytes = means_bytes_.emplace_back(oriel::block_means::required_bytes(blocks));
      require(means_.emplace_back(bytes.span(), blocks).check());
    }
  }
  index const n = options.piece;
  x_.resize(n, d.hidden);
  normed_.resize(n, d.hidden);
  delta_.resize(n, d.hidden);
  qkv_.resize(n, (d.q_heads + 2 * d.kv_heads) * d.head_dim);
  attended_.resize(n, d.q_heads * d.head_dim);
  gate_up_.resize(n, 2 * d.feed_forward);
  angles_.resize(n, d.head_dim);
  logits_.resize(std::min(n, logits_rows), d.vocabulary);
}

index session::means_bytes() const {
  index all = 0;
  for (auto const& bytes : means_bytes_) all += bytes.size();
  return all;
}

rows_view session::forward(std::span<token_id const> tokens, bool one_by_one) {
  one_by_one_ = one_by_one || options_.one_by_one;
  auto const& m = model_;
  auto const n = std::ssize(tokens);
  auto const x = x_.topRows(n);
  auto const normed = normed_.topRows(n);
  auto const delta = delta_.topRows(n);
  auto const gate_up = gate_up_.topRows(n);

  for (index i = 0; i < n; ++i) {
    x_.row(i) = m.embedding.row(tokens[static_cast<std::size_t>(i)]);
  }
  // Where the piece begins: in the text, or after the rows that the caches hold.
  index const first = options_.in_cache ? caches_->held() : position_;
  for (index i = 0; i < n; ++i) rope_of(m.dim).cos_sin(first + i, angles_.row(i).data());
  for (index i = 0; i < m.dim.layers; ++i) {
    auto const& layer = m.layers[static_cast<std::size_t>(i)];
    rms_norm(x, layer.attention_norm, m.dim.rms_epsilon, normed);
    multiply(normed, layer.qkv, qkv_.topRows(n));
    rotate(n);
    attend(i, n);
    multiply(attended_.topRows(n), layer.attention_output, delta);
    x_.topRows(n) += delta;

    rms_norm(x, layer.feed_forward_norm, m.dim.rms_epsilon, normed);
    multiply(normed, layer.gate_up, gate_up);
    swiglu(gate_up);
    multiply(gate_up.leftCols(m.dim.feed_forward), layer.down, delta);
    x_.topRows(n) += delta;
  }
  position_ += n;
  rms_norm(x, m.output_norm, m.dim.rms_epsilon, normed);
  return normed;
}

// Rotary position embedding of q and k, in place (arXiv 2104.09864); of q alone where keys are
// rotated as they are read.
void session::rotate(index tokens) {
  auto const& d = model_.dim;
  oriel::rope const by = rope_of(d);
  index const heads = d.q_heads + (options_.in_cache ? 0 : d.kv_heads);
  for (index i = 0; i < tokens; ++i) {
    for (index h = 0; h < heads; ++h) {
      by.rotate(angles_.row(i).data(), qkv_.row(i).data() + h * d.head_dim);
    }
  }
}

// attended = attention of the piece's q over what the cache holds and the piece's own k and v, all
// read where the projection left them; then the cache takes k and v. Prefill and decode alike. With
// blocks, their means take k first, as it will be kept: a token may choose a block of its own piece.
void session::attend(index layer, index tokens) {
  index const step = one_by_one_ ? 1 : tokens;  // one row has a kernel of its own
  for (index i = 0; i < tokens; i += step) attend_to(layer, {i, i + step});
}

void session::attend_to(index layer, oriel::range part) {
  index const tokens = part.size();
  auto const at = static_cast<std::size_t>(layer);
  auto const& d = model_.dim;
  using view = oriel::tensor_view<float const>;
  float const* const first = qkv_.row(part.begin).data();
  index const stride = qkv_.cols();
  view const q(first, tokens, d.q_heads, d.head_dim, stride, d.head_dim);
  view const k(first + d.q_heads * d.head_dim, tokens, d.kv_heads, d.head_dim, stride, d.head_dim);
  view const v(k.data + d.kv_heads * d.head_dim, tokens, d.kv_heads, d.head_dim, stride,
               d.head_dim);
  oriel::tensor_view<float> const out(attended_.row(part.begin).data(), tokens, d.q_heads,
                                      d.head_dim);

  oriel::any_source const both = caches_->joined_with(layer, k, v);
  auto const kv = options_.in_cache ? oriel::any_source(oriel::relative{both, places_}) : both;
  oriel::attention call{.q = q, .kv = kv, .mask = mask_, .out = out};
  if (options_.fast) call.compute = oriel::compute_choice::fast;
  if (options_.block > 0) {
    require(means_[at].append(both));
    call.select = oriel::moba(means_[at], options_.top_k);
  }
  require(oriel::attend(plan_, call, workspace_, pool_));
  require(caches_->append(layer, k, v));
}

void session::truncate(index position) {
  require(caches_->truncate(position));
  position_ = position;
}

void session::multiply(rows_view const& x, matrix const& w, rows_out y) {
  multiply_rows(x, w, y, one_by_one_ || x.rows() == 1, pool_);
}

rows_view session::logits(rows_view const& states) {
  multiply(states, model_.output(), logits_.topRows(states.rows()));
  return logits_.topRows(states.rows());
}

}  // namespace smollm2
