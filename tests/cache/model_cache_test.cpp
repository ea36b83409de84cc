// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/model_cache.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "cache_oracle.hpp"
#include "dice.hpp"
#include "oriel/cache/kivi_cache.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/codec/scaled.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

using blob = std::vector<std::byte>;

/// Layers of every kind, and sizes that fit them.
struct random_model {
  std::vector<layer_config> layers;
  model_config config;

  explicit random_model(dice& d) {
    index const count = d.between(index{1}, index{6});
    for (index i = 0; i < count; ++i) {
      layer_config of{.kind = static_cast<layer_kind>(d.between(0, i > 0 ? 3 : 2)),
                      .keys = d.between(index{1}, index{12}),
                      .of = i > 0 ? d.between(index{0}, i - 1) : 0,
                      .kv_heads = d.between(index{1}, index{3}),
                      .head_dim = 2 * d.between(index{1}, index{5})};
      if (d.coin()) of.v_dim = d.between(index{1}, index{9});
      if (of.kind != layer_kind::global && d.coin()) of.sinks = d.between(index{0}, index{3});
      layers.push_back(of);
    }
    config = {.layers = layers,
              .context = d.between(index{1}, index{40}),
              .sequences = d.between(index{1}, index{3}),
              .margin = d.between(index{1}, index{8})};
  }
  random_model(random_model const&) = delete;
};

/// The same caches, each in bytes of its own.
template <class Model>
struct alone {
  using cache = typename Model::layer_cache;
  std::vector<index> layer;  // numbers of those that keep rows
  std::vector<std::unique_ptr<aligned_memory>> bytes;
  std::vector<cache> caches;  // [sequences][layer]

  explicit alone(model_config const& c) {
    for (index i = 0; i < c.layer_count(); ++i) {
      if (c.layer(i).kind != layer_kind::shared) layer.push_back(i);
    }
    for (index s = 0; s < c.sequences; ++s) {
      for (index const i : layer) {
        cache_shape const shape = c.shape_of(i, cache::group);
        index const size = cache::required_bytes(shape);
        caches.emplace_back(bytes.emplace_back(std::make_unique<aligned_memory>(size))->span(),
                            shape);
      }
    }
  }
  std::span<cache> of(index sequence) {
    return std::span(caches).subspan(static_cast<std::size_t>(sequence) * layer.size(),
                                     layer.size());
  }
};

template <class Cache>
blob saved(Cache const& cache) {
  blob to(static_cast<std::size_t>(cache.saved_bytes()) + 64);  // g++ 12 fears for an empty one
  to.resize(to.size() - 64);
  EXPECT_TRUE(cache.save(to).ok());
  return to;
}
template <class Model>
blob saved(Model const& model, index sequence) {
  blob to(static_cast<std::size_t>(model.saved_bytes(sequence)) + 64);
  to.resize(to.size() - 64);
  EXPECT_TRUE(model.save(sequence, to).ok());
  return to;
}

template <class Stored>
void follow(std::uint64_t seed, int rounds) {
  using model = model_cache<Stored>;
  using cache = typename model::layer_cache;
  dice d(seed);
  for (int round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
    random_model const of(d);
    guarded_bytes memory(model::required_bytes(of.config));
    model all(memory.bytes(), of.config);
    ASSERT_TRUE(all.check().ok()) << all.check().what;
    alone<model> each(of.config);
    auto const contents = [&] { return blob(memory.bytes().begin(), memory.bytes().end()); };
    aligned_memory scratch(erase_bytes(64, cache::group));
    auto const none_of = [](cache const& c) { return c.positions().empty() && c.lost().empty(); };
    for (int step = 0; step < 60; ++step) {
      index const s = d.between(index{0}, of.config.sequences - 1);
      auto const own = each.of(s);
      index const end = all.end(s);
      switch (d.between(0, 7)) {
        case 0:
        case 1:
        case 2: {  // a pass, now and then one that stops after some of the layers
          index const n = std::min(d.between(index{0}, index{6}), of.config.margin);
          if (n > all.room(s)) break;
          std::optional<index> first;
          if (all.empty(s) && d.coin()) first = d.between(index{0}, index{9});
          std::size_t const stop =
              d.between(0, 3) == 0
                  ? static_cast<std::size_t>(d.between(index{0}, static_cast<index>(own.size())))
                  : own.size();
          bool const was_empty = all.empty(s);
          for (std::size_t i = 0; i < stop; ++i) {
            layer_config const& l = of.config.layer(each.layer[i]);
            random_rows const k(d, n, l.kv_heads, l.head_dim);
            random_rows const v(d, n, l.kv_heads, l.v_dim.value_or(l.head_dim));
            ASSERT_TRUE(own[i].append(k.view(), v.view(), first).ok());
            status const got = all.append(s, each.layer[i], k.view(), v.view(), first);
            ASSERT_TRUE(got.ok()) << got.what;
          }
          if (stop == own.size()) {
            EXPECT_EQ(all.end(s), n == 0 ? end : (was_empty ? first.value_or(0) : end) + n);
          } else {  // what all layers have
            index const back = all.end(s);
            if (!was_empty) {
              EXPECT_EQ(back, end);
            }
            bool can = true;  // not where erasing has taken rows of the window
            for (cache& c : own) can = can && (none_of(c) || c.can_resume(back));
            ASSERT_EQ(all.truncate(s, back).ok(), can);
            for (cache& c : own) {
              if (!none_of(c) && can) {
                ASSERT_TRUE(c.truncate(back).ok());
              }
            }
            if (!can) {
              ASSERT_TRUE(all.drop(s).ok());
              for (cache& c : own) c.clear();
            }
          }
          break;
        }
        case 3: {
          index const near = d.between(index{-1}, end + 1);
          index const to = d.coin() ? round_down(near, cache::group) : near;
          bool can = true;
          for (cache const& c : own) can = can && c.can_resume(to);
          EXPECT_EQ(all.can_resume(s, to), can);
          blob const before = contents();
          EXPECT_EQ(all.truncate(s, to).ok(), can);
          if (!can) {
            EXPECT_EQ(contents(), before);
          }
          for (cache& c : own) {
            if (can) {
              ASSERT_TRUE(c.truncate(to).ok());
            }
          }
          break;
        }
        case 4: {
          range gone{d.between(index{-1}, end), d.between(index{0}, end + 1)};
          if (d.coin()) gone.begin = round_down(gone.begin, cache::group);
          if (d.coin()) gone.end = round_down(gone.end, cache::group);
          bool can = true;
          for (cache const& c : own) can = can && c.check_erase(gone).ok();
          blob const before = contents();
          bool const turned = d.coin();
          std::vector<rope> ropes;
          for (layer_config const& l : of.layers) {
            bool const none = l.kind == layer_kind::shared || d.between(0, 2) == 0;
            ropes.push_back({.dim = none ? 0 : l.head_dim});
          }
          status const got = turned ? all.erase(s, gone, ropes, scratch) : all.erase(s, gone);
          ASSERT_EQ(got.ok(), can) << got.what;
          if (!can) {
            EXPECT_EQ(contents(), before);
            break;
          }
          for (std::size_t i = 0; i < own.size(); ++i) {
            rope const& by = ropes[static_cast<std::size_t>(each.layer[i])];
            status const one =
                turned && by.dim > 0 ? own[i].erase(gone, by, scratch) : own[i].erase(gone);
            ASSERT_TRUE(one.ok());
          }
          break;
        }
        case 5: {
          index const to = d.between(index{0}, of.config.sequences - 1);
          ASSERT_TRUE(all.fork(s, to).ok());
          for (std::size_t i = 0; i < own.size(); ++i) {
            ASSERT_TRUE(each.of(to)[i].copy(own[i]).ok());
          }
          break;
        }
        case 6: {
          if (d.coin()) break;
          ASSERT_TRUE(all.drop(s).ok());
          for (cache& c : own) c.clear();
          EXPECT_TRUE(all.empty(s));
          break;
        }
        default: {
          index const to = d.between(index{0}, of.config.sequences - 1);
          blob const bytes = saved(all, s);
          ASSERT_TRUE(all.restore(to, bytes).ok());
          for (std::size_t i = 0; i < own.size(); ++i) {
            ASSERT_TRUE(each.of(to)[i].restore(saved(own[i])).ok());
          }
        }
      }
      // A sequence that has nothing may begin anywhere.
      if (std::all_of(own.begin(), own.end(), none_of)) {
        for (cache& c : own) c.clear();
      }
      for (index q = 0; q < of.config.sequences; ++q) {
        for (std::size_t i = 0; i < own.size(); ++i) {
          ASSERT_EQ(saved(all.at(q, each.layer[i])), saved(each.of(q)[i])) << round << ' ' << step;
        }
      }
      ASSERT_TRUE(memory.intact());
    }
  }
}

TEST(ModelCache, DoesToEveryLayerWhatIsDoneToCachesOneByOne) { follow<f32>(1, 150); }
TEST(ModelCache, DoesSoWithRowsOfACodec) { follow<f16>(2, 60); }
TEST(ModelCache, DoesSoWithGroupsOfKeys) { follow<kivi_cache<4, 16>>(5, 150); }

template <class Model>
class ModelCacheBytes : public testing::Test {};
using models = testing::Types<model_cache<f32, bf16>, model_cache<kivi_cache<4, 16>>>;
TYPED_TEST_SUITE(ModelCacheBytes, models);

TYPED_TEST(ModelCacheBytes, AreWhatIsUsedToTheByte) {
  dice d(3);
  using model = TypeParam;
  using cache = typename model::layer_cache;
  for (int round = 0; round < 300; ++round) {
    random_model const of(d);
    // Entries, states and rows, each to 64 bytes.
    index caches = 0;
    index rows = 0;
    for (index i = 0; i < of.config.layer_count(); ++i) {
      if (of.config.layer(i).kind == layer_kind::shared) continue;
      ++caches;
      rows += round_up(cache::required_bytes(of.config.shape_of(i, cache::group)), 64);
    }
    index const expected = round_up(of.config.layer_count() * 24, 64) +
                           round_up(caches * of.config.sequences * index{sizeof(cache)}, 64) +
                           of.config.sequences * rows;
    ASSERT_EQ(model::required_bytes(of.config), expected);
    guarded_bytes memory(expected);
    EXPECT_EQ(model(memory.bytes().first(memory.bytes().size() - 1), of.config).check().code,
              errc::memory);
    model const all(memory.bytes(), of.config);
    ASSERT_TRUE(all.check().ok());
    // The rows of the caches lie one behind the other, up to the end.
    std::byte const* at = memory.bytes().data() + (expected - of.config.sequences * rows);
    for (index s = 0; s < of.config.sequences; ++s) {
      for (index i = 0; i < of.config.layer_count(); ++i) {
        if (of.config.layer(i).kind == layer_kind::shared) {
          EXPECT_EQ(&all.at(s, i), &all.at(s, of.config.layer(i).of));
          continue;
        }
        cache_shape const shape = of.config.shape_of(i, cache::group);
        if (cache::group == 1) {  // else there are floats before them
          EXPECT_EQ(static_cast<void const*>(all.at(s, i).run_at(0, 0).k.row(0)), at);
        }
        EXPECT_EQ(all.at(s, i).capacity(),
                  round_up(shape.sinks, cache::group) + round_up(shape.ring(), cache::group));
        at += round_up(cache::required_bytes(shape), 64);
      }
    }
    EXPECT_EQ(at, memory.bytes().data() + expected);
    EXPECT_TRUE(memory.intact());
  }
}

TYPED_TEST(ModelCacheBytes, TokensThatFitIsTheInverse) {
  using model = TypeParam;
  dice d(4);
  for (int round = 0; round < 3000; ++round) {
    random_model of(d);
    auto const needed = [&](index context) {
      of.config.context = context;
      return model::required_bytes(of.config);
    };
    bool const huge = d.coin();
    index const bytes = huge ? d.between(index{0}, INT64_MAX) : d.between(index{0}, index{200000});
    index const fits = model::tokens_that_fit(of.config, bytes);
    if (fits > 0) {
      EXPECT_LE(needed(fits), bytes);
    }
    if (fits < max_position) {
      EXPECT_GT(needed(fits + 1), bytes);
    }
    // Exactly those of a context are enough for it, and one less is not.
    index const context = d.between(index{1}, index{60});
    index const exact = needed(context);
    index const most = model::tokens_that_fit(of.config, exact);
    EXPECT_GE(most, context);
    EXPECT_EQ(needed(most == max_position ? context : most), exact);
    index const less = model::tokens_that_fit(of.config, exact - 1);
    EXPECT_LT(less, context);
    EXPECT_TRUE(less == 0 || needed(less) < exact);
  }
}

TEST(ModelCacheSizes, NothingOverflows) {
  alignas(64) static std::byte memory[4096];
  std::span<std::byte> const bytes(memory, 64);
  using model = model_cache<>;
  std::vector<layer_config> const small{{.head_dim = 1}};
  for (index const huge : {INT64_MAX, INT64_MAX - 63, index{1} << 60}) {
    std::vector<layer_config> const wide{{.head_dim = huge}};
    std::vector<layer_config> const many{{.kv_heads = huge, .head_dim = 1}};
    std::vector<layer_config> const window{
        {.kind = layer_kind::window, .keys = huge, .head_dim = 8}};
    for (model_config const& c :
         {model_config{.layers = wide, .context = 2}, model_config{.layers = many, .context = 2},
          model_config{.layers = window, .context = max_position},
          model_config{.layers = small, .context = max_position, .sequences = huge},
          model_config{.layers = small, .context = 8, .sequences = huge}}) {
      EXPECT_EQ(model::required_bytes(c), INT64_MAX);
      EXPECT_EQ(model(bytes, c).check().code, errc::memory);
      index const fits = model::tokens_that_fit(c, INT64_MAX);
      EXPECT_LT(fits, max_position);
      EXPECT_EQ(model::tokens_that_fit(c, -1), 0);
      EXPECT_EQ(model::tokens_that_fit(c, INT64_MIN), 0);
    }
  }
  EXPECT_EQ(model::tokens_that_fit({}, INT64_MAX), 0);
  EXPECT_EQ(model::required_bytes({}), 0);
  // Windows: any context fits, or none.
  std::vector<layer_config> const window{{.kind = layer_kind::window, .keys = 4, .head_dim = 8}};
  model_config c{.layers = window, .context = max_position};
  index const needed = model::required_bytes(c);
  EXPECT_EQ(model::tokens_that_fit(c, needed), max_position);
  EXPECT_EQ(model::tokens_that_fit(c, needed - 1), 3);
}

TEST(ModelCacheSizes, NothingOverflowsInGroups) {
  using model = model_cache<kivi_cache<4, 16>>;
  std::vector<layer_config> const small{{.head_dim = 1}};
  for (index const huge : {INT64_MAX, INT64_MAX - 63, index{1} << 60}) {
    std::vector<layer_config> const many{{.kv_heads = huge, .head_dim = 1}};
    std::vector<layer_config> const window{
        {.kind = layer_kind::window, .keys = huge, .head_dim = 8}};
    for (model_config const& c :
         {model_config{.layers = many, .context = 2},
          model_config{.layers = window, .context = max_position},
          model_config{.layers = small, .context = max_position, .margin = huge},
          model_config{.layers = small, .context = 8, .sequences = huge}}) {
      EXPECT_EQ(model::required_bytes(c), INT64_MAX);
      EXPECT_EQ(model({}, c).check().code, errc::memory);
      EXPECT_LT(model::tokens_that_fit(c, INT64_MAX), max_position);
      EXPECT_EQ(model::tokens_that_fit(c, -1), 0);
    }
  }
  std::vector<layer_config> const wide{{.head_dim = 4}, {.head_dim = 8, .v_dim = 4097}};
  EXPECT_EQ(model::check({.layers = wide, .context = 2}).where, 1);
  EXPECT_EQ(model::required_bytes({.layers = wide, .context = 2}), 0);
}

TEST(ModelCacheSizes, OfMistral7B) {
  std::vector<layer_config> const layers(
      32, {.kind = layer_kind::window, .keys = 4096, .kv_heads = 8, .head_dim = 128});
  model_config const c{.layers = layers, .context = 32768};
  using model = model_cache<bf16>;
  EXPECT_EQ(model::required_bytes(c),
            32 * 24 + round_up(32 * index{sizeof(model::layer_cache)}, 64) + (index{512} << 20));
}

/// One global layer, one window with sinks, one of chunks, one that shares the window's rows.
struct small_model {
  std::vector<layer_config> layers{
      {.kv_heads = 2, .head_dim = 16},
      {.kind = layer_kind::window, .keys = 8, .kv_heads = 2, .head_dim = 16, .sinks = 2},
      {.kind = layer_kind::chunked, .keys = 8, .kv_heads = 2, .head_dim = 16},
      {.kind = layer_kind::shared, .of = 1}};
  model_config config{.layers = layers, .context = 100, .sequences = 3, .margin = 4};
  aligned_memory bytes{model_cache<>::required_bytes(config)};
  model_cache<> all{bytes, config};
  tensor q = tensor(200, 4, 16).filled(1);
  tensor k = tensor(200, 2, 16).filled(2);
  tensor v = tensor(200, 2, 16).filled(3);

  status append(index sequence, range tokens) {
    for (index l = 0; l < 3; ++l) {
      status const s = all.append(sequence, l, k.view.slice(tokens), v.view.slice(tokens));
      if (!s.ok()) return s;
    }
    return {};
  }
  /// Of the last token, from the cache and from all tokens in plain memory.
  void expect_exact(index sequence, index layer) {
    index const end = all.end(sequence);
    attention call{.q = q.view.slice({end - 1, end}),
                   .kv = contiguous(k.view.slice({0, end}), v.view.slice({0, end})),
                   .mask = config.mask(layer)};
    auto const expected = attend_anew(call).bits();
    call.kv = all.at(sequence, layer);
    EXPECT_EQ(attend_anew(call).bits(), expected) << sequence << ' ' << layer << " at " << end;
  }
};

TEST(ModelCache, EveryLayerAttendsToWhatItsKindShows) {
  small_model m;
  for (index p = 0; p < 60; ++p) {
    ASSERT_TRUE(m.append(0, {p, p + 1}).ok());
    if (p == 30) {
      ASSERT_TRUE(m.all.fork(0, 2).ok());
    }
    if (p > 30 && p < 35) {  // the other sequence stays behind
      ASSERT_TRUE(m.append(2, {p, p + 1}).ok());
    }
    for (index l = 0; l < 4; ++l) m.expect_exact(0, l);
    if (p >= 30) {
      for (index l = 0; l < 4; ++l) m.expect_exact(2, l);
    }
  }
  EXPECT_EQ(m.all.end(0), 60);
  EXPECT_EQ(m.all.end(2), 35);
  EXPECT_TRUE(m.all.empty(1));
  EXPECT_EQ(m.all.find_empty(), 1);
  ASSERT_TRUE(m.all.drop(0).ok());
  EXPECT_EQ(m.all.find_empty(), 0);
  EXPECT_EQ(m.all.end(0), 0);
  for (index l = 0; l < 4; ++l) m.expect_exact(2, l);
}

TEST(ModelCache, OneSequenceIsReadByManyWhileOthersChange) {
  small_model m;
  ASSERT_TRUE(m.append(1, {0, 50}).ok());
  std::vector<attention> calls;
  std::vector<std::vector<std::uint32_t>> expected;
  for (index l = 0; l < 4; ++l) {
    calls.push_back(
        {.q = m.q.view.slice({49, 50}), .kv = m.all.at(1, l), .mask = m.config.mask(l)});
    expected.push_back(attend_anew(calls.back()).bits());
  }
  std::atomic<bool> changing = true;
  std::atomic<int> wrong = 0;
  auto const read = [&] {
    for (int i = 0; i < 5 || changing; ++i) {
      auto const l = static_cast<std::size_t>(i % 4);
      if (attend_anew(calls[l]).bits() != expected[l]) ++wrong;
      if (m.all.end(1) != 50 || !m.all.can_resume(1, 49)) ++wrong;
    }
  };
  std::thread first(read);
  std::thread second(read);
  for (int round = 0; round < 5; ++round) {
    for (index p = 0; p < 60; p += 2) {
      EXPECT_TRUE(m.append(0, {p, p + 2}).ok());
      EXPECT_TRUE(m.all.truncate(0, p + 2).ok());
    }
    EXPECT_TRUE(m.all.fork(1, 2).ok()) << "a copy reads too";
    EXPECT_TRUE(m.append(2, {50, 60}).ok());
    EXPECT_TRUE(m.all.drop(0).ok());
  }
  changing = false;
  first.join();
  second.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ModelCache, DraftsAreGivenBackInAllLayersOrInNone) {
  small_model m;
  ASSERT_TRUE(m.append(1, {0, 50}).ok());
  for (index p = 50; p < 90; ++p) {
    ASSERT_TRUE(m.append(1, {p, p + 4}).ok());
    ASSERT_TRUE(m.all.truncate(1, p + 1).ok());
    for (index l = 0; l < 4; ++l) m.expect_exact(1, l);
  }
  status const s = m.all.truncate(1, 80);
  EXPECT_EQ(s.code, errc::evicted);
  EXPECT_EQ(s.where, 1) << "the window; the global layer could";
  EXPECT_EQ(m.all.end(1), 90);
  EXPECT_EQ(m.all.at(1, 0).positions(), (range{0, 90}));
  EXPECT_FALSE(m.all.can_resume(1, 80));
  EXPECT_TRUE(m.all.at(1, 0).can_resume(80));
}

TEST(ModelCache, APassThatFailsHalfwayIsTakenBack) {
  small_model m;
  ASSERT_TRUE(m.append(0, {0, 40}).ok());
  for (index done = 0; done < 3; ++done) {
    index const p = 40 + done;
    for (index l = 0; l < done; ++l) {
      ASSERT_TRUE(m.all.append(0, l, m.k.view.slice({100, 104}), m.v.view.slice({100, 104})).ok());
    }
    EXPECT_EQ(m.all.end(0), p);
    ASSERT_TRUE(m.all.truncate(0, m.all.end(0)).ok());
    ASSERT_TRUE(m.append(0, {p, p + 1}).ok());
    for (index l = 0; l < 4; ++l) m.expect_exact(0, l);
  }
  // The first pass of all.
  ASSERT_TRUE(m.all.append(1, 0, m.k.view.slice({0, 3}), m.v.view.slice({0, 3}), 1000).ok());
  EXPECT_EQ(m.all.end(1), 1000);
  ASSERT_TRUE(m.all.truncate(1, 1000).ok());
  EXPECT_TRUE(m.all.empty(1));
}

TEST(ModelCache, AGlobalLayerIsFullAtTheContextAndSaysSo) {
  small_model m;
  ASSERT_TRUE(m.append(0, {0, 97}).ok());
  EXPECT_EQ(m.all.room(0), 3);
  EXPECT_EQ(m.all.room(1), 100);
  status const s = m.append(0, {97, 101});
  EXPECT_EQ(s.code, errc::full);
  EXPECT_EQ(s.where, 0);
  EXPECT_EQ(m.all.end(0), 97);
  ASSERT_TRUE(m.append(0, {97, 100}).ok());
  EXPECT_EQ(m.all.room(0), 0);
  EXPECT_EQ(m.append(0, {100, 101}).code, errc::full);
  // Context shift makes room.
  ASSERT_TRUE(m.all.erase(0, {2, 50}).ok());
  EXPECT_EQ(m.all.room(0), 48);
  EXPECT_EQ(m.all.end(0), 52);
  // Without global layers there is always room.
  std::vector<layer_config> const window{{.kind = layer_kind::window, .keys = 4, .head_dim = 8}};
  model_config const c{.layers = window, .context = 10};
  aligned_memory bytes(model_cache<>::required_bytes(c));
  model_cache<> rings(bytes, c);
  EXPECT_EQ(rings.room(0), max_position);
  tensor const rows = tensor(50, 1, 8).filled(1);
  EXPECT_TRUE(rings.append(0, 0, rows.view, rows.view).ok());
  EXPECT_EQ(rings.at(0, 0).positions(), (range{46, 50}));
}

/// The layers of small_model, in groups of 16 keys.
struct small_model_in_groups : small_model {
  using model = model_cache<kivi_cache<4, 16>>;
  aligned_memory group_bytes{model::required_bytes(config)};
  model groups{group_bytes, config};

  void append(index sequence, range tokens) {
    for (index l = 0; l < 3; ++l) {
      ASSERT_TRUE(groups.append(sequence, l, k.view.slice(tokens), v.view.slice(tokens)).ok());
    }
  }
  /// The bits of a model that has only ever seen these tokens, in pieces of one.
  void expect_as_new(index sequence) {
    aligned_memory other_bytes(model::required_bytes(config));
    model other(other_bytes, config);
    index const end = groups.end(sequence);
    for (index p = 0; p < end; ++p) {
      for (index l = 0; l < 3; ++l) {
        range const one{p, p + 1};
        ASSERT_TRUE(other.append(0, l, k.view.slice(one), v.view.slice(one)).ok());
      }
    }
    for (index l = 0; l < 4; ++l) {
      attention call{
          .q = q.view.slice({end - 1, end}), .kv = groups.at(sequence, l), .mask = config.mask(l)};
      auto const got = attend_anew(call).bits();
      call.kv = other.at(0, l);
      EXPECT_EQ(got, attend_anew(call).bits()) << sequence << ' ' << l << " at " << end;
    }
  }
};

/// Rows of a complete group are no floats any more: margin says from how far back they are, also in
/// a layer that keeps all.
TEST(ModelCacheInGroups, DraftsAreGivenBackInAllLayersOrInNone) {
  small_model_in_groups m;
  m.append(1, {0, 50});
  for (index p = 50; p < 90; ++p) {
    m.append(1, {p, p + 4});
    ASSERT_TRUE(m.groups.truncate(1, p + 1).ok()) << p;
    m.expect_as_new(1);
  }
  ASSERT_TRUE(m.groups.fork(1, 2).ok());
  blob const before(m.group_bytes.span().begin(), m.group_bytes.span().end());
  status s = m.groups.truncate(1, 75);
  EXPECT_EQ(s.code, errc::evicted) << "within a group";
  EXPECT_EQ(s.where, 0);
  EXPECT_TRUE(m.groups.can_resume(1, 80));
  s = m.groups.truncate(1, 64);
  EXPECT_EQ(s.code, errc::evicted) << "the window is overwritten";
  EXPECT_EQ(s.where, 1);
  s = m.groups.erase(1, {70, 73});
  EXPECT_EQ(s.code, errc::evicted);
  EXPECT_EQ(s.where, 0);
  EXPECT_EQ(blob(m.group_bytes.span().begin(), m.group_bytes.span().end()), before);
  // What it refuses another goes on without.
  m.append(2, {90, 95});
  m.expect_as_new(2);
}

TEST(ModelCacheInGroups, AGlobalLayerHoldsTheContextWherever) {
  for (index const first : {index{0}, index{1}, index{7}, index{8}, index{1} << 40}) {
    small_model_in_groups m;
    ASSERT_TRUE(
        m.groups.append(0, 0, m.k.view.slice({0, 97}), m.v.view.slice({0, 97}), first).ok());
    for (index p = 97; p < 100; ++p) {
      range const one{p, p + 1};
      ASSERT_TRUE(m.groups.append(0, 0, m.k.view.slice(one), m.v.view.slice(one)).ok());
    }
    range const one{100, 101};
    EXPECT_EQ(m.groups.append(0, 0, m.k.view.slice(one), m.v.view.slice(one)).code, errc::full);
    EXPECT_EQ(m.groups.at(0, 0).positions(), (range{first, first + 100}));
    EXPECT_TRUE(m.groups.at(0, 0).lost().empty());
  }
}

TEST(ModelCacheInGroups, KeysAreTurnedAGroupAtATime) {
  small_model_in_groups m;
  m.append(0, {0, 50});
  rope const by{.dim = 16};
  aligned_memory one(erase_bytes(16)), group(erase_bytes(16, 16));
  EXPECT_EQ(m.groups.erase(0, {16, 32}, {&by, 1}, one).code, errc::workspace);
  EXPECT_EQ(m.groups.end(0), 50);
  EXPECT_TRUE(m.groups.erase(0, {16, 32}, {&by, 1}, group).ok());
  EXPECT_EQ(m.groups.end(0), 34);
}

/// Saved bytes are of one way of storing.
TEST(ModelCacheInGroups, OthersBytesAreRefused) {
  small_model_in_groups m;
  m.append(0, {0, 50});
  ASSERT_TRUE(m.small_model::append(0, {0, 50}).ok());
  EXPECT_EQ(m.groups.restore(1, saved(m.all, 0)).code, errc::saved);
  EXPECT_EQ(m.all.restore(1, saved(m.groups, 0)).code, errc::saved);
  EXPECT_TRUE(m.groups.restore(1, saved(m.groups, 0)).ok());
  m.expect_as_new(1);
}

TEST(ModelCache, SharedLayersAreReadNotAppendedTo) {
  small_model m;
  EXPECT_TRUE(m.all.keeps_rows(1));
  EXPECT_FALSE(m.all.keeps_rows(3));
  EXPECT_FALSE(m.all.keeps_rows(4));
  EXPECT_FALSE(m.all.keeps_rows(-1));
  status const s = m.all.append(0, 3, m.k.view.slice({0, 1}), m.v.view.slice({0, 1}));
  EXPECT_EQ(s.code, errc::shape);
  EXPECT_EQ(s.where, 3);
  EXPECT_EQ(&m.all.at(2, 3), &m.all.at(2, 1));
  EXPECT_NE(&m.all.at(2, 3), &m.all.at(1, 1));
}

TEST(ModelCache, WhatIsDamagedOrForeignIsRefusedAndNothingChanges) {
  small_model m;
  ASSERT_TRUE(m.append(0, {0, 30}).ok());
  ASSERT_TRUE(m.append(1, {50, 60}).ok());
  blob const good = saved(m.all, 0);
  blob const before(m.bytes.span().begin(), m.bytes.span().end());
  auto const refused = [&](blob const& bytes, char const* what) {
    EXPECT_EQ(m.all.restore(1, bytes).code, errc::saved) << what;
    EXPECT_EQ(blob(m.bytes.span().begin(), m.bytes.span().end()), before) << what;
  };
  for (std::size_t i = 0; i < good.size(); i += 3) {
    blob bad = good;
    bad[i] ^= std::byte{static_cast<unsigned char>(1u << (i % 8))};
    refused(bad, "a flipped bit");
  }
  for (std::size_t size = 0; size < good.size(); size += 5) {
    refused(blob(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)), "cut");
  }
  // Made to fit from outside: only the parts tell.
  for (std::size_t i = 40; i + 8 < good.size(); i += 7) {
    blob bad = good;
    bad[i] ^= std::byte{0x10};
    detail::end_saved(bad.data(), std::ssize(bad));
    refused(bad, "a part is damaged");
  }
  // A part's length: too small, huge, negative.
  for (index const length : {index{0}, index{39}, INT64_MAX, INT64_MIN, index{-1}}) {
    blob bad = good;
    std::memcpy(bad.data() + 40 + 24, &length, 8);
    detail::end_saved(bad.data(), std::ssize(bad));
    refused(bad, "a part's length");
  }
  // Of a model with other layers.
  small_model other;
  std::swap(other.layers[1], other.layers[2]);
  other.layers[3].of = 2;
  aligned_memory bytes(model_cache<>::required_bytes(other.config));
  model_cache<> swapped(bytes, other.config);
  refused(saved(swapped, 0), "swapped layers");
  other.config.layers = other.config.layers.first(2);
  aligned_memory fewer(model_cache<>::required_bytes(other.config));
  refused(saved(model_cache<>(fewer, other.config), 0), "fewer layers");
  refused(saved(m.all.at(0, 0)), "of one cache");
  // And the good one is taken, by another sequence, with the same bits from there on.
  ASSERT_TRUE(m.all.restore(1, good).ok());
  for (index p = 30; p < 50; ++p) {
    ASSERT_TRUE(m.append(1, {p, p + 1}).ok());
    for (index l = 0; l < 4; ++l) m.expect_exact(1, l);
  }
}

TEST(ModelCache, WhatIsNotThereIsNamed) {
  small_model m;
  auto const row = m.k.view.slice({0, 1});
  rope const by{.dim = 16};
  aligned_memory scratch(erase_bytes(16));
  for (index const s : {index{-1}, index{3}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(m.all.append(s, 0, row, row).code, errc::shape);
    EXPECT_EQ(m.all.append(0, s == 3 ? 4 : s, row, row).code, errc::shape);
    EXPECT_EQ(m.all.truncate(s, 0).code, errc::shape);
    EXPECT_EQ(m.all.erase(s, {}).code, errc::shape);
    EXPECT_EQ(m.all.erase(s, {}, {&by, 1}, scratch).code, errc::shape);
    EXPECT_EQ(m.all.fork(s, 0).code, errc::shape);
    EXPECT_EQ(m.all.fork(0, s).code, errc::shape);
    EXPECT_EQ(m.all.drop(s).code, errc::shape);
    EXPECT_EQ(m.all.save(s, m.bytes.span()).code, errc::shape);
    EXPECT_EQ(m.all.restore(s, {}).code, errc::shape);
    EXPECT_EQ(m.all.saved_bytes(s), 0);
    EXPECT_EQ(m.all.room(s), 0);
    EXPECT_EQ(m.all.end(s), 0);
    EXPECT_FALSE(m.all.can_resume(s, 0));
    EXPECT_EQ(m.all.at(s, 0).check().code, errc::shape);
    EXPECT_EQ(m.all.at(0, s == 3 ? 4 : s).check().code, errc::shape);
    EXPECT_TRUE(m.all.at(s, 0).positions().empty());
  }
  EXPECT_EQ(m.all.truncate(0, 1).code, errc::position) << "an empty sequence has no position 1";
  EXPECT_TRUE(m.all.truncate(0, 0).ok());
  EXPECT_EQ(m.all.erase(0, {0, 1}).code, errc::position);
  // Ropes and their memory.
  ASSERT_TRUE(m.append(0, {0, 20}).ok());
  blob const before(m.bytes.span().begin(), m.bytes.span().end());
  std::vector<rope> const ropes(3, by);
  EXPECT_EQ(m.all.erase(0, {0, 1}, ropes, scratch).code, errc::shape);
  std::vector<rope> const odd{{.dim = 0}, {.dim = 0}, {.dim = 3}, {.dim = 0}};
  EXPECT_EQ(m.all.erase(0, {2, 3}, odd, scratch).where, 2);
  EXPECT_EQ(m.all.erase(0, {2, 3}, {&by, 1}, {}).code, errc::memory);
  EXPECT_EQ(m.all.erase(0, {2, 3}, {&by, 1}, {m.bytes.span()}).code, errc::alias);
  EXPECT_EQ(m.all.save(0, m.bytes.span()).code, errc::alias);
  blob other(1000);
  EXPECT_EQ(m.all.save(0, std::span(other).first(10)).code, errc::memory);
  EXPECT_EQ(blob(m.bytes.span().begin(), m.bytes.span().end()), before);
}

TEST(ModelCache, AnUnusableOneSaysWhyToWhateverIsAsked) {
  small_model const good;
  blob bytes(1000);
  model_cache<> all({}, good.config);
  auto const row = good.k.view.slice({0, 1});
  EXPECT_EQ(all.check().code, errc::memory);
  EXPECT_EQ(all.at(0, 0).check().code, errc::memory);
  EXPECT_EQ(all.append(0, 0, row, row).code, errc::memory);
  EXPECT_EQ(all.truncate(0, 0).code, errc::memory);
  EXPECT_EQ(all.erase(0, {}).code, errc::memory);
  EXPECT_EQ(all.erase(0, {}, {}, {}).code, errc::memory);
  EXPECT_EQ(all.fork(0, 0).code, errc::memory);
  EXPECT_EQ(all.drop(0).code, errc::memory);
  EXPECT_EQ(all.save(0, bytes).code, errc::memory);
  EXPECT_EQ(all.restore(0, {}).code, errc::memory);
  EXPECT_EQ(all.sequences(), 0);
  EXPECT_EQ(all.layers(), 0);
  EXPECT_EQ(all.room(0), 0);
  EXPECT_EQ(all.find_empty(), -1);
  EXPECT_FALSE(all.keeps_rows(0));
  // A codec that can't store such rows, and where.
  std::vector<layer_config> const layers{{.head_dim = 64}, {.head_dim = 5000}};
  status const s = model_cache<int8>::check({.layers = layers, .context = 1});
  EXPECT_EQ(s.code, errc::shape);
  EXPECT_EQ(s.where, 1);
}

TEST(ModelCache, EachLayerHasACodecOfItsOwn) {
  // onnxruntime's scales differ by layer.
  using model = model_cache<scaled_int8>;
  std::vector<layer_config> const layers(2, {.head_dim = 4});
  model_config const c{.layers = layers, .context = 2};
  aligned_memory bytes(model::required_bytes(c));
  float const scale[] = {0.5f, 0.25f};
  std::array<model::codecs_of_layer, 2> const codecs{
      model::codecs_of_layer{{.scales = &scale[0]}, {.scales = &scale[0]}},
      model::codecs_of_layer{{.scales = &scale[1]}, {.scales = &scale[1]}}};
  std::array<float, 4> const row{1, 2, -3, 4};
  tensor_view<float const> const rows(row.data(), 1, 1, 4);
  for (std::size_t count : {std::size_t{1}, std::size_t{2}}) {
    model all(bytes, c, std::span(codecs).first(count));
    ASSERT_TRUE(all.check().ok());
    for (index l = 0; l < 2; ++l) {
      ASSERT_TRUE(all.append(0, l, rows, rows).ok());
      kv_run const run = all.at(0, l).run_at(0, 0);
      float read[4];
      float const* const got = run.floats(run.k, 4, read);
      for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(got[i], row[i]);
      auto const code = static_cast<std::int8_t>(*static_cast<std::byte const*>(run.k.data));
      EXPECT_EQ(code, count == 2 && l == 1 ? 4 : 2);
    }
  }
  std::array<model::codecs_of_layer, 3> const three{};
  EXPECT_EQ(model(bytes, c, three).check().code, errc::shape);
}

}  // namespace
}  // namespace oriel::test
