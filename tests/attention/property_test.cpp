// SPDX-License-Identifier: BSL-1.0
// Random compositions of masks and scores, at random shapes, through every source and kernel,
// against the definition.
//
//   ORIEL_SEED=n   other cases than those of every run
//   ORIEL_CASE=i   case i alone, as a failure names it
//   ORIEL_CASES=n  so many of them
#include <charconv>
#include <cstdlib>
#include <deque>
#include <sstream>
#include <utility>

#include "dice.hpp"
#include "example_masks.hpp"
#include "oriel/oriel.hpp"
#include "problem.hpp"
#include "score_values.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

/// One functor of four, chosen as a test runs.
struct step {
  struct table {
    softcap cap;
    alibi distance;
    bias added;
    zebra own;
  };
  int kind;
  table const* of;

  status check(index heads, range queries, range keys) const noexcept {
    return kind == 0   ? of->cap.check(heads, queries, keys)
           : kind == 1 ? of->distance.check(heads, queries, keys)
           : kind == 2 ? of->added.check(heads, queries, keys)
                       : status{};
  }
  template <class V>
  auto for_rows(score_rows<V> const&) const noexcept {
    return [*this](V const& score, score_keys<V> const& keys) -> V {
      switch (kind) {
        case 0: return of->cap.for_rows(*keys.rows)(score, keys);
        case 1: return of->distance.for_rows(*keys.rows)(score, keys);
        case 2: return of->added.for_rows(*keys.rows)(score, keys);
        default: return of->own.for_rows(*keys.rows)(score, keys);
      }
    };
  }
};

/// Where the queries and keys of a call lie, in the positions of a mask.
struct frame {
  range q, k;

  frame behind(index by) const { return {{q.begin - by, q.end - by}, {k.begin - by, k.end - by}}; }
};

/// Masks and what they refer to, made at random.
class random_masks {
 public:
  std::string text;  ///< of the last tree

  explicit random_masks(dice& d) : d_(d) {}

  any_mask tree_of(int depth, frame const& at) {
    text.clear();
    return grow(depth, at);
  }

 private:
  dice& d_;
  std::deque<any_mask> masks_;
  std::deque<std::vector<index>> bounds_;
  std::deque<std::vector<std::int32_t>> ints_;
  std::deque<std::vector<range>> spans_;
  std::deque<std::vector<unsigned char>> bytes_;

  mask_ref grown(int depth, frame const& at) {
    return mask_ref(masks_.emplace_back(grow(depth, at)));
  }

  any_mask grow(int depth, frame const& at) {
    int const kind = depth == 0 ? 0 : d_.between(0, 13);
    if (kind < 4) return leaf(at);
    if (kind == 12 && at.k.begin > -10) {
      index const slots = max_of(0, at.k.begin + d_.between(-8, 20));
      say("left_padded{", slots, ", ");
      mask_ref const inner = grown(depth - 1, at.behind(slots));
      say("}");
      return left_padded{slots, inner};
    }
    if (kind == 13) {
      std::span<index const> const cuts = random_cuts(at);
      say("each_document{");
      say_all(cuts);
      say(", ");
      mask_ref const inner = grown(depth - 1, {{0, at.k.size() / 2 + 1}, {0, at.k.size() / 2 + 1}});
      say("}");
      return each_document{cuts, inner};
    }
    bool const is_and = kind < 9;
    say("(");
    mask_ref const a = grown(depth - 1, at);
    say(is_and ? " & " : " | ");
    mask_ref const b = grown(depth - 1, at);
    say(")");
    return is_and ? any_mask(a & b) : any_mask(a | b);
  }

  any_mask leaf(frame const& at) {
    switch (d_.between(0, 16)) {
      case 0: return say("full"), full{};
      case 1:
      case 2: return say("causal"), causal{};
      case 3: {
        index const keys = size();
        return say("sliding_window{", keys, "}"), sliding_window{keys};
      }
      case 4: {
        local_window const m{size() - 1, size() - 1};
        return say("local_window{", m.left, ", ", m.right, "}"), m;
      }
      case 5: {
        index const keys = d_.coin() ? size() : 64;
        return say("chunked{", keys, "}"), chunked{keys};
      }
      case 6: {
        index const keys = max_of(0, near(at.k));
        return say("prefix{", keys, "}"), prefix{keys};
      }
      case 7: {
        std::span<index const> const cuts = random_cuts(at);
        say("documents{");
        say_all(cuts);
        return say("}"), documents{cuts};
      }
      case 8: {
        range const real = random_range(at.k);
        return say("key_padding{", real.begin, ", ", real.end, "}"), key_padding{real};
      }
      case 9: return random_spans(at);
      case 10: return random_tree(at);
      case 11: return random_dense(at);
      case 12: return say("same_parity"), same_parity{};
      case 13: {
        sinks_and_recent const m{max_of(0, at.k.begin + size()), size()};
        return say("sinks_and_recent{", m.sinks, ", ", m.recent, "}"), m;
      }
      case 14: {
        range const a = random_range(at.k);
        range const b{a.end + 1, a.end + 1 + size()};
        say("two_spans{", a.begin, ", ", a.end, ", ", b.begin, ", ", b.end, "}");
        return two_spans{a, b};
      }
      case 15: {
        index const keys = size();
        return say("causal & sliding_window{", keys, "}"), causal{} & sliding_window{keys};
      }
      default: {
        index const keys = size();
        index const early = max_of(0, at.k.begin + d_.between(0, 9));
        say("causal & (sliding_window{", keys, "} | sinks{", early, "})");
        return causal{} & (sliding_window{keys} | sinks{early});
      }
    }
  }

  any_mask random_spans(frame const& at) {
    std::vector<range>& list = spans_.emplace_back();
    say("spans{");
    for (index p = at.k.begin - d_.between(0, 5); p < at.k.end + 5;) {
      range const next{p, p + size()};
      list.push_back(next);
      say(next.begin, "-", next.end, " ");
      p = next.end + (d_.coin() ? 0 : size());
    }
    return say("}"), spans{list};
  }
  any_mask random_tree(frame const& at) {
    std::vector<std::int32_t>& parents = ints_.emplace_back();
    int const count = d_.between(0, 30);
    for (int i = 0; i < count; ++i) parents.push_back(d_.between(d_.coin() ? -1 : i - 1, i - 1));
    index const first = near(at.q);
    say("tree{", first, ", ");
    say_all(parents);
    return say("}"), tree{first, parents};
  }
  any_mask random_dense(frame const& at) {
    range const q{at.q.begin + d_.between(-2, 2), at.q.end + d_.between(-2, 2)};
    range const k{at.k.begin + d_.between(-2, 2), at.k.end + d_.between(-2, 2)};
    index const stride = d_.between(0, 3) == 0 ? 0 : k.size();
    int const shown = d_.between(1, 20);  // of 20, in runs
    std::vector<unsigned char>& data = bytes_.emplace_back();
    data.resize(static_cast<std::size_t>(max_of(1, stride == 0 ? k.size() : q.size() * stride)));
    for (std::size_t i = 0; i < data.size();) {
      bool const seen = d_.between(1, 20) <= shown;
      for (index left = size(); left > 0 && i < data.size(); --left) data[i++] = seen ? 255 : 0;
    }
    say("dense_mask{", q.begin, "-", q.end, ", ", k.begin, "-", k.end, ", ", stride, "}");
    return dense_mask(data.data(), q, k, stride);
  }

  std::span<index const> random_cuts(frame const& at) {
    std::vector<index>& cuts = bounds_.emplace_back();
    cuts.push_back(at.k.begin + d_.between(-5, 9));
    while (cuts.back() < at.k.end && cuts.size() < 20) cuts.push_back(cuts.back() + size() - 1);
    if (d_.coin()) cuts.push_back(max_of(cuts.back(), at.k.end + 500));
    return cuts;
  }
  range random_range(range around) {
    index const begin = near(around);
    return {begin, begin + size()};
  }
  index near(range r) { return d_.between(r.begin - 8, max_of(r.begin, r.end) + 8); }
  index size() { return d_.pick(std::vector<index>{1, 2, 7, 40, 127, 128, 200, 500}); }

  template <class... T>
  void say(T const&... words) {
    std::ostringstream line;
    (line << ... << words);
    text += line.str();
  }
  void say_all(auto const& list) {
    for (auto const x : list) say(x, " ");
  }
};

/// Score functors and what they refer to, made at random.
class random_scores {
 public:
  std::string text;

  random_scores(dice& d, index heads, frame const& at) {
    bool const wide = at.k.size() > 300 || d.coin();
    range const q{at.q.begin - 2, at.q.end + 3};
    range const k{at.k.begin - 1, at.k.end + 4};
    index const plane = d.coin() ? k.size() : q.size() * k.size();
    for (index h = 0; h < heads; ++h)
      slopes_.push_back(static_cast<float>(d.between(0, 40)) / 64.0f);
    bias_.resize(static_cast<std::size_t>(wide ? plane : heads * plane));
    int const hidden = d.between(0, 5);  // of 20
    for (float& x : bias_) {
      x = d.between(1, 20) <= hidden ? (d.coin() ? -infinity : -3e38f) : d.real() * 3.0f;
    }
    table_ = {{static_cast<float>(d.between(1, 40)) / 2.0f},
              {slopes_},
              {.data = bias_.data(),
               .queries = q,
               .keys = k,
               .head_stride = wide ? 0 : plane,
               .query_stride = plane == k.size() ? 0 : k.size()},
              {d.real() * 2.0f}};
    made_ = pick(d);
    if (made_) text += " (cap " + std::to_string(table_.cap.cap) + ")";
  }
  any_score made() const { return made_; }

 private:
  std::vector<float> slopes_, bias_;
  step::table table_ = {};
  any_score made_;

  any_score pick(dice& d) {
    step::table const& t = table_;
    switch (d.between(0, 14)) {
      case 0: return text = "softcap", t.cap;
      case 1: return text = "alibi", t.distance;
      case 2: return text = "bias", t.added;
      case 3: return text = "zebra", t.own;
      case 4: return text = "softcap >> alibi", t.cap >> t.distance;
      case 5: return text = "zebra >> softcap >> bias", t.own >> t.cap >> t.added;
      case 6: return chain(d, 2);
      case 7: return chain(d, 3);
      default: return text = "none", any_score();
    }
  }
  any_score chain(dice& d, int length) {
    step some[3] = {};
    for (step& s : some) s = {d.between(0, 3), &table_};
    static constexpr char const* names[] = {"softcap", "alibi", "bias", "zebra"};
    text = "steps";
    for (int i = 0; i < length; ++i) text += std::string(" ") + names[some[i].kind];
    if (length == 2) return some[0] >> some[1];
    return some[0] >> some[1] >> some[2];
  }
};

/// What a call writes, each in a layout of its own; lse and lse_sink where they are asked for.
struct written {
  tensor out, lse, lse_sink;

  template <class Executor = serial const>
  written(attention call, layout lies, bool with_lse, bool with_sink, Executor&& on = Executor{})
      : out(call.q.tokens, call.q.heads, call.kv.shape().v_dim, lies),
        lse(with_lse ? call.q.tokens : 0, call.q.heads, 1, lies),
        lse_sink(with_sink ? call.q.tokens : 0, call.q.heads, 1) {
    call.out = out.view;
    if (with_lse) call.lse = lse.view;
    if (with_sink) call.lse_sink = lse_sink.view;
    aligned_memory scratch(plan_attend(bounds_of(call), on.workers()).workspace_bytes());
    status const s = attend(call, scratch, on);
    EXPECT_TRUE(s.ok()) << s.what;
    EXPECT_TRUE(scratch.is_untouched_behind()) << "workspace";
    EXPECT_TRUE(out.is_untouched() && lse.is_untouched() && lse_sink.is_untouched()) << "around";
  }
  std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all;
    for (tensor const* const t : {&out, &lse, &lse_sink}) {
      auto const more = bits_of(t->view);
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
};

/// What a run of all cases has met.
struct tally {
  index seeing = 0, rolling = 0, decode = 0;
  double worst = 0.0;  ///< largest error in units of what is allowed
};

std::string seed_and_number(std::uint64_t seed, index number) {
  return "ORIEL_SEED=" + std::to_string(seed) + " ORIEL_CASE=" + std::to_string(number);
}

class property_case {
 public:
  property_case(std::uint64_t seed, index number)
      : d_((seed * 0x9e3779b97f4a7c15) ^ static_cast<std::uint64_t>(number)),
        shape_(random_shape(d_)),
        first_key_(random_first_key(d_)),
        q_(random_tensor(shape_.q_len, shape_.q_heads, shape_.head_dim)),
        k_(random_tensor(shape_.kv_len, shape_.kv_heads, shape_.head_dim)),
        v_(random_tensor(shape_.kv_len, shape_.kv_heads, shape_.value_dim())),
        at_{random_queries(), {first_key_, first_key_ + shape_.kv_len}},
        masks_(d_),
        mask_(masks_.tree_of(d_.between(0, 3), at_)),
        scores_(d_, shape_.q_heads, at_) {
    if (d_.coin()) {
      for (index h = 0; h < shape_.q_heads; ++h) {
        sink_logits_.push_back(d_.between(0, 7) == 0 ? -infinity : d_.real() * 5.0f);
      }
    }
    if (d_.between(0, 2) == 0) {
      scale_ = 2.0f * d_.real() / std::sqrt(static_cast<float>(shape_.head_dim));
    }
    if (d_.coin()) kernel_ = kernel_choice::row_lanes;
    out_lies_ = random_layout(d_);
    with_lse_ = d_.between(0, 4) > 0;
    with_sink_ = d_.between(0, 4) > 0;
  }

  std::string text() const {
    std::ostringstream line;
    line << shape_.name() << " v" << shape_.value_dim() << " first_key " << first_key_
         << " queries " << at_.q.begin << "-" << at_.q.end << (scale_ ? " scaled" : "")
         << (kernel_ == kernel_choice::row_lanes ? " row_lanes" : "")
         << (sink_logits_.empty() ? "" : " sink_logits") << " score " << scores_.text << " mask "
         << masks_.text;
    return line.str();
  }

  void run(tally& met) {
    static threads pool(2);
    attention call{.q = q_.view,
                   .kv = contiguous(k_.view, v_.view, first_key_),
                   .mask = mask_,
                   .score = scores_.made(),
                   .sink_logits = sink_logits_,
                   .first_query = at_.q.begin,
                   .scale = scale_,
                   .kernel = kernel_};
    met.seeing += poison_hidden_keys() ? 1 : 0;
    met.decode +=
        call.heads().group() * shape_.q_len <= decode_rows && kernel_ == kernel_choice::by_length
            ? 1
            : 0;
    written const whole(call, out_lies_, with_lse_, with_sink_);
    compare(call, whole, met);
    auto const bits = whole.bits();
    auto const expect_same = [&](attention const& other, char const* what) {
      EXPECT_EQ(written(other, layout::packed, with_lse_, with_sink_).bits(), bits) << what;
    };
    EXPECT_EQ(written(call, layout::padded, with_lse_, with_sink_, pool).bits(), bits)
        << "two threads";
    cut_in_two(call, whole);
    if (shape_.kv_len > 0 && d_.coin()) spoil_a_value(call, whole);
    if (first_key_ < 0 || shape_.kv_len == 0) return;

    // As few rows as the mask reaches; the fresh ones of `joined` are not in the ring.
    index oldest = at_.k.end;
    if (shape_.q_len > 0) {
      for (range const part : mask_.reach(at_.q)) {
        range const held = intersect(part, at_.k);
        if (!held.empty()) oldest = min_of(oldest, held.begin);
      }
    }
    met.rolling += oldest > first_key_ ? 1 : 0;
    ring all(*this, at_.k.end, oldest);
    call.kv = all.cache;
    expect_same(call, "rolling_cache");
    index const cut = d_.between(first_key_, at_.k.end);
    ring past(*this, cut, oldest);
    range const fresh{cut - first_key_, shape_.kv_len};
    call.kv = joined(past.cache, k_.view.slice(fresh), v_.view.slice(fresh), cut);
    expect_same(call, "joined");
  }

 private:
  /// dice, and bits of it.
  struct seeded : dice {
    using dice::dice;
    std::uint64_t bits() { return static_cast<std::uint64_t>(between(index{0}, index{1} << 60)); }
  };

  /// A cache that holds [oldest, end) at the least.
  struct ring {
    cache_shape shape;
    aligned_memory bytes;
    rolling_cache<f32> cache;

    ring(property_case const& of, index end, index oldest)
        : shape{.window = max_of(1, end - oldest),
                .kv_heads = of.shape_.kv_heads,
                .head_dim = of.shape_.head_dim,
                .v_dim = of.shape_.value_dim()},
          bytes(rolling_cache<f32>::required_bytes(shape)),
          cache(bytes, shape) {
      range const rows{0, end - of.first_key_};
      status const s = cache.append(of.k_.view.slice(rows), of.v_.view.slice(rows), of.first_key_);
      EXPECT_TRUE(s.ok()) << s.what;
    }
  };

  static attention_case random_shape(dice& d) {
    attention_case c;
    int const how = d.between(0, 19);
    c.q_len = how == 0   ? 0
              : how < 8  ? d.between(1, 3)
              : how < 12 ? d.between(1, 20)
                         : d.between(1, 70);
    c.kv_len = how == 1 ? 0 : how < 6 ? d.between(1, 1100) : d.between(1, 300);
    c.kv_heads = d.between(1, 3);
    c.q_heads = c.kv_heads * d.between(1, 5);
    c.head_dim = d.between(1, 40);
    c.v_dim = d.between(1, 40);
    return c;
  }
  static layout random_layout(dice& d) { return static_cast<layout>(d.between(0, 3)); }
  static index random_first_key(dice& d) {
    index const far = d.pick(std::vector<index>{0, 0, 0, 1024, 4096, index{1} << 31, index{1} << 40,
                                                max_position - 5000, -300});
    return far == 0 && d.coin() ? 0 : far + d.between(far > 0 ? -200 : 0, 200);
  }
  range random_queries() {
    index const end = d_.between(0, 2) > 0
                          ? first_key_ + shape_.kv_len
                          : first_key_ + d_.between(index{-10}, shape_.kv_len + 90);
    return {end - shape_.q_len, end};
  }
  tensor random_tensor(index tokens, index heads, index dim) {
    layout const lies = random_layout(d_);
    return tensor(tokens, heads, dim, lies).filled(d_.bits());
  }

  /// NaN in the rows of every key that no query sees. Is there another?
  bool poison_hidden_keys() const {
    bool any = false;
    for (index key = at_.k.begin; key < at_.k.end; ++key) {
      bool seen = false;
      for (index q = at_.q.begin; q < at_.q.end && !seen; ++q) seen = mask_.visible(q, key);
      any = any || seen;
      if (seen) continue;
      range const row{key - first_key_, key - first_key_ + 1};
      auto const spoil = [](float& x) { x = std::bit_cast<float>(canary); };
      for_each_element(k_.view.slice(row), spoil);
      for_each_element(v_.view.slice(row), spoil);
    }
    return any;
  }

  /// Against the definition. Functors round scores as large as lse or so, tanh by 6 ulp; what lies
  /// e^-8 below has no weight to speak of.
  void compare(attention const& call, written const& got, tally& met) const {
    index const rows = shape_.q_len * shape_.q_heads;
    index const dim = shape_.value_dim();
    std::vector<double> out(static_cast<std::size_t>(rows * dim));
    std::vector<double> lse(static_cast<std::size_t>(rows));
    std::vector<double> lse_sink(lse.size());
    auto const view = [&](std::vector<double>& x, index width) {
      return tensor_view<double>(x.data(), shape_.q_len, shape_.q_heads, width);
    };
    status const s = reference(call, view(out, dim), view(lse, 1), view(lse_sink, 1));
    ASSERT_TRUE(s.ok()) << s.what;
    double size = 4.0;
    for (double const x : lse) size = std::isfinite(x) ? std::max(size, std::abs(x)) : size;
    double const spread =
        static_cast<double>(std::abs(call.used_scale())) * std::sqrt(shape_.head_dim);
    bool const capped = scores_.text.find("softcap") != std::string::npos;
    double const bound = error_bound(shape_.head_dim) * std::max(1.0, spread) +
                         0x1p-23 * (capped ? 7.0 * (size + 8.0) : size);
    auto const check = [&](tensor const& of, std::vector<double> const& want, char const* what) {
      if (of.view.tokens == 0) return;
      double const error = largest_error(of.view, want);
      met.worst = std::max(met.worst, error / bound);
      EXPECT_LE(error, bound) << what;
    };
    check(got.out, out, "out");
    check(got.lse, lse, "lse");
    check(got.lse_sink, lse_sink, "lse_sink");
  }

  /// With row_lanes any cut of the queries gives the same bits.
  void cut_in_two(attention const& call, written const& whole) {
    if (kernel_ != kernel_choice::row_lanes || shape_.q_len < 2) return;
    index const cut = d_.between(index{1}, shape_.q_len - 1);
    for (range const part : {range{0, cut}, {cut, shape_.q_len}}) {
      attention piece = call;
      piece.q = call.q.slice(part);
      piece.first_query = at_.q.begin + part.begin;
      written const some(piece, layout::packed, with_lse_, with_sink_);
      EXPECT_EQ(bits_of(some.out.view), bits_of(whole.out.view.slice(part))) << "cut at " << cut;
      if (with_lse_) {
        EXPECT_EQ(bits_of(some.lse.view), bits_of(whole.lse.view.slice(part))) << "cut at " << cut;
      }
    }
  }

  /// A value that is not finite reaches no row that doesn't see it.
  void spoil_a_value(attention const& call, written const& whole) {
    index const key = d_.between(index{0}, shape_.kv_len - 1);
    float& x = v_.view.row(key, d_.between(index{0}, shape_.kv_heads - 1))[0];
    float const kept = std::exchange(x, d_.coin() ? -infinity : std::bit_cast<float>(canary));
    written const got(call, layout::packed, with_lse_, with_sink_);
    x = kept;
    for (index t = 0; t < shape_.q_len; ++t) {
      if (mask_.visible(at_.q.begin + t, first_key_ + key)) continue;
      range const row{t, t + 1};
      EXPECT_EQ(bits_of(got.out.view.slice(row)), bits_of(whole.out.view.slice(row)))
          << "token " << t << ", value " << key << " spoiled";
    }
  }

  seeded d_;
  attention_case shape_;
  index first_key_;
  tensor q_, k_, v_;
  frame at_;
  random_masks masks_;
  any_mask mask_;
  random_scores scores_;
  std::vector<float> sink_logits_;
  std::optional<float> scale_;
  kernel_choice kernel_ = kernel_choice::by_length;
  layout out_lies_ = layout::packed;
  bool with_lse_ = true;
  bool with_sink_ = true;
};

std::optional<std::uint64_t> number_in(char const* variable) {
  char const* const text = std::getenv(variable);
  std::uint64_t x = 0;
  if (text == nullptr) return std::nullopt;
  auto const [end, code] = std::from_chars(text, text + std::strlen(text), x);
  EXPECT_TRUE(code == std::errc() && *end == '\0') << variable << " is no number: " << text;
  return x;
}

TEST(Property, RandomMasksScoresAndShapesAreExact) {
  auto const cases = static_cast<index>(number_in("ORIEL_CASES").value_or(2400));
  std::uint64_t const seed = number_in("ORIEL_SEED").value_or(1);
  auto const only = number_in("ORIEL_CASE");
  tally met;
  for (index i = 0; i < cases && !HasFailure(); ++i) {
    if (only && static_cast<std::uint64_t>(i) != *only) continue;
    property_case one(seed, i);
    SCOPED_TRACE(seed_and_number(seed, i) + ": " + one.text());
    one.run(met);
  }
  RecordProperty("largest_error_of_bound", std::to_string(met.worst));
  if (only) return;
  EXPECT_GT(met.seeing, cases / 2) << "too many calls see nothing";
  EXPECT_GT(met.rolling, cases / 8) << "too few rings are smaller than the sequence";
  EXPECT_GT(met.decode, cases / 10);
}

}  // namespace
}  // namespace oriel::test
