// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <Eigen/Core>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/thread_pool.hpp>
#include <oriel/oriel.hpp>
#include <span>
#include <vector>

#include "gguf.hpp"
#include "kv_caches.hpp"
#include "tokenizer.hpp"

namespace smollm2 {

using oriel::index;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using vector = Eigen::RowVectorXf;
using rows_view = Eigen::Ref<matrix const, 0, Eigen::OuterStride<>>;  // some rows of a matrix
using rows_out = Eigen::Ref<matrix, 0, Eigen::OuterStride<>>;

// The model's dimensions, from the file's metadata.
struct dimensions {
  index layers, hidden, feed_forward, q_heads, kv_heads, head_dim, vocabulary, trained_context;
  float rope_base, rms_epsilon;
};

// A Llama model (arXiv 2302.13971): every weight widened to fp32 when it is loaded, [out, in].
struct model {
  struct layer {
    vector attention_norm;     // [hidden]
    matrix qkv;                // [(q_heads + 2 kv_heads) * head_dim, hidden], q above k above v
    matrix attention_output;   // [hidden, q_heads * head_dim]
    vector feed_forward_norm;  // [hidden]
    matrix gate_up;            // [2 * feed_forward, hidden], gate above up
    matrix down;               // [hidden, feed_forward]
  };

  // Throws when the file is not a Llama model, or its tensors do not fit its metadata.
  model(gguf_file const& file, oriel::thread_pool& pool);

  dimensions dim;
  matrix embedding;  // [vocabulary, hidden]
  std::vector<layer> layers;
  vector output_norm;    // [hidden]
  matrix untied_output;  // [vocabulary, hidden]; empty when the embedding serves again

  matrix const& output() const { return untied_output.size() > 0 ? untied_output : embedding; }
};

struct session_options {
  index context = 4096;  // positions there will ever be
  index window = 0;      // keys a token sees, itself included; 0: all before it
  index sinks = 0;       // first tokens that it sees besides (arXiv 2309.17453)
  index block = 0;  // it sees only blocks of so many keys (MoBA, arXiv 2502.13189); 0: all keys
  index top_k = 0;  // so many of them, its own included
  bool in_cache = false;  // rotary positions are places in the cache, not in the text
  index draft = 0;        // tokens that are guessed, checked at once and given back where wrong
  index piece = 512;      // tokens that go through the layers at once
  index workers = 1;
  std::string kv = "f32";   // what the caches store, see kv_caches.hpp
  bool rotate = false;      // after a Hadamard rotation
  bool fast = false;        // attention to single tokens may round (compute_choice::fast)
  bool one_by_one = false;  // every token goes through attention alone, as the next one of a text
};

// One sequence: the caches of all layers, and the scratch matrices of one piece.
class session {
 public:
  session(model const& m, session_options const& options, oriel::thread_pool& pool);

  // The next 1 <= n <= piece tokens through all layers; their final states, normalised,
  // [n, hidden], valid until the next call. Where they go `one_by_one`, each has the bits that it has
  // in a call of its own (and so have its logits), but weights are read once for all of them.
  rows_view forward(std::span<token_id const> tokens, bool one_by_one = false);

  // Forgets the last tokens, at most `draft`: the next one is number `position`.
  void truncate(index position);

  // Logits of such states, [n, vocabulary]; n <= logits_rows.
  rows_view logits(rows_view const& states);
  static constexpr index logits_rows = 64;

  index position() const { return position_; }  // tokens so far
  session_options const& options() const { return options_; }

  index cache_rows() const { return caches_->capacity(); }
  index cache_bytes() const { return caches_->row_bytes(); }
  index means_bytes() const;
  index workspace_bytes() const { return workspace_.size(); }

 private:
  void multiply(rows_view const& x, matrix const& w, rows_out y);
  void attend(index layer, index tokens);
  void attend_to(index layer, oriel::range tokens);
  void rotate(index tokens);

  model const& model_;
  session_options options_;
  oriel::thread_pool& pool_;
  index position_ = 0;
  bool one_by_one_ = false;  // the last tokens

  oriel::any_mask mask_;
  std::unique_ptr<kv_caches> caches_;
  oriel::aligned_bytes place_bytes_;
  oriel::rope_table places_;  // the turns of keys to their places in the cache, where in_cache
  std::vector<oriel::aligned_bytes> means_bytes_;  // [layers] with a block, else none
  std::vector<oriel::block_means> means_;
  oriel::attend_plan plan_;
  oriel::aligned_bytes workspace_;

  matrix x_, normed_, delta_;  // [piece, hidden]
  matrix qkv_;                 // [piece, (q_heads + 2 kv_heads) * head_dim]
  matrix attended_;            // [piece, q_heads * head_dim]
  matrix gate_up_;             // [piece, 2 * feed_forward]
  matrix angles_;              // [piece, head_dim], of rotary positions
  matrix logits_;              // [logits_rows, vocabulary]
};

}  // namespace smollm2
