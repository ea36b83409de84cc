// SPDX-License-Identifier: BSL-1.0
// Tables of how well a text is predicted.
#pragma once

#include <span>

#include "generate.hpp"

namespace smollm2 {

// How well the tokens are predicted with all keys, with the window, with the sinks as well, and with
// blocks of their choice; by the position of the token that predicts.
void print_by_position(model const& m, session_options const& asked, std::span<token_id const> ids,
                       listener const& heard, oriel::thread_pool& pool);

// The same text by what the caches store: the mean negative log-likelihood, the share of positions
// whose likeliest next token is f32's, bytes of all layers' caches by their rows, and tokens a
// second, in pieces and, the last `by_storage_singles`, one by one.
inline constexpr index by_storage_singles = 128;
void print_by_storage(model const& m, session_options const& asked, std::span<token_id const> ids,
                      listener const& heard, oriel::thread_pool& pool);

}  // namespace smollm2
