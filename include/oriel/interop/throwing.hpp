// SPDX-License-Identifier: BSL-1.0
// For programs that prefer exceptions to statuses.
#pragma once

#include <stdexcept>
#include <string>

#include "oriel/core/status.hpp"

namespace oriel::inline v0 {

/// A status that was not ok.
class error : public std::invalid_argument {
 public:
  explicit error(status const& s)
      : std::invalid_argument(std::string("oriel: ") + s.what), status_(s) {}
  status const& code() const noexcept { return status_; }

 private:
  status status_;
};

/// Throws `error` unless s is ok: require(attend(call, workspace)).
inline void require(status const& s) {
  if (!s.ok()) throw error(s);
}

}  // namespace oriel::inline v0
