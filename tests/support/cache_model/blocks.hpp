// SPDX-License-Identifier: BSL-1.0
// Summaries of blocks of keys, as they follow a sequence's operations, and what they should be.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "oriel/cache/block_summary.hpp"
#include "row_list.hpp"

namespace oriel::model {

/// One kind of summary in memory of its own.
template <class Kind>
class summary {
 public:
  explicit summary(block_shape const& shape)
      : bytes_(block_summary<Kind>::required_bytes(shape)), of_(bytes_.span(), shape) {}

  /// Rows that the cache has lost already are passed over: the summary begins anew behind them.
  std::string append(any_source const& kv) {
    range const unsettled{settled_, of_.positions().end};
    status const got = of_.append(kv);
    bool const gap = got.code == errc::position && kv.lost().end > of_.positions().end;
    if (gap) return anew(kv);
    std::string found = done(got, "append", kv);
    if (!unsettled.empty()) pass_over_lost(kv, unsettled.begin, unsettled.end);
    return found;
  }
  std::string truncate(index position, any_source const& kv) {
    if (position < of_.positions().begin || of_.positions().empty()) return anew(kv);
    return done(of_.truncate(position, kv), "truncate", kv, position);
  }
  std::string erase(range erased, any_source const& kv) {
    if (erased.empty()) return "";
    if (erased.begin < of_.positions().begin || of_.positions().empty()) return anew(kv);
    return done(of_.erase(erased, kv), "erase", kv, erased.begin);
  }

  /// Each block that is held has the bits of one made of the list's rows, and those whose rows are
  /// held, all and behind the lost ones, are held as far as there is room. None was made of the NaN
  /// in dead rows.
  std::string compare(row_list const& list, range lost) const {
    block_shape const& shape = of_.shape();
    if (list.tokens.empty()) return of_.positions().empty() ? "" : "a summary is not empty";
    index const complete = list.end() / shape.block;
    index const behind = lost.empty() ? list.first : std::max(list.first, lost.end);
    if (behind == list.end()) return "";  // nothing to take
    if (of_.positions().end != list.end()) return "a summary's end differs";
    index const from = std::max(ceil_div(behind, shape.block), made_room_);
    range const held = of_.held();
    if (from < complete && (held.begin > from || held.end != complete)) return "a block is missing";
    for (index b = held.begin; b < held.end; ++b) {
      bool known = true;
      for (index i = 0; i < shape.block; ++i) known = known && list.holds(b * shape.block + i);
      for (index h = 0; h < shape.kv_heads; ++h) {
        if (known && !equals(list, h, b)) return "a block's summary differs";
        if (std::isnan(*of_.of(h, b))) return "a summary is of dead rows";
      }
    }
    return "";
  }

 private:
  std::string anew(any_source const& kv) {
    of_.clear();
    made_room_ = 0;
    return done(of_.append(kv), "append", kv);
  }
  /// After an operation that changed what lies from `changed` on.
  std::string done(status const& got, char const* name, any_source const& kv,
                   index changed = std::numeric_limits<index>::max()) {
    block_shape const& shape = of_.shape();
    index const end = of_.positions().end;
    made_room_ = std::min(made_room_, changed / shape.block);
    made_room_ = std::max(made_room_, end / shape.block - shape.blocks);
    if (changed <= end) pass_over_lost(kv, std::min(settled_, kv.settled(changed)), end);
    settled_ = kv.settled(end);
    return got.ok() ? "" : std::string("a summary's ") + name + " says: " + got.what;
  }
  /// Blocks that were taken again behind a gap: what lies before it is gone too.
  void pass_over_lost(any_source const& kv, index from, index end) {
    index const block = of_.shape().block;
    if (intersect(kv.lost(), {round_down(from, block), end}).empty()) return;
    made_room_ = std::max(made_room_, ceil_div(kv.lost().end, block));
  }
  bool equals(row_list const& list, index head, index b) const {
    block_shape const& shape = of_.shape();
    float const* const got = of_.of(head, b);
    for (index d = 0; d < shape.head_dim; ++d) {
      auto const key = [&](index i) {
        return list.at(b * shape.block + i).k[static_cast<std::size_t>(head * shape.head_dim + d)];
      };
      float sum = key(0), least = sum, largest = sum;
      for (index i = 1; i < shape.block; ++i) {
        sum += key(i);
        least = std::min(least, key(i));
        largest = std::max(largest, key(i));
      }
      if constexpr (Kind::rows == 1) {
        if (got[d] != sum * (1.0f / static_cast<float>(shape.block))) return false;
      } else {
        if (got[d] != least || got[shape.head_dim + d] != largest) return false;
      }
    }
    return true;
  }

  lines bytes_;
  block_summary<Kind> of_;
  index made_room_ = 0;  ///< blocks before this one are gone
  index settled_ = 0;    ///< keys from here on may be read otherwise by now
};

/// Both kinds.
class blocks {
 public:
  explicit blocks(block_shape const& shape) : means_(shape), bounds_(shape) {}

  std::string append(any_source const& kv) { return either(means_.append(kv), bounds_.append(kv)); }
  std::string truncate(index position, any_source const& kv) {
    return either(means_.truncate(position, kv), bounds_.truncate(position, kv));
  }
  std::string erase(range erased, any_source const& kv) {
    return either(means_.erase(erased, kv), bounds_.erase(erased, kv));
  }
  std::string compare(row_list const& list, range lost) const {
    return either(means_.compare(list, lost), bounds_.compare(list, lost));
  }

 private:
  static std::string either(std::string first, std::string second) {
    return first.empty() ? std::move(second) : std::move(first);
  }

  summary<mean_of_keys> means_;
  summary<bounds_of_keys> bounds_;
};

}  // namespace oriel::model
