// SPDX-License-Identifier: BSL-1.0
#include "smoke.hpp"

oriel::status attend_in_other_unit(smoke_problem& p) { return attend_here(p); }
