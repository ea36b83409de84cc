// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <oriel/oriel.hpp>

oriel::index workspace_bytes(oriel::attention const& call);
oriel::status attend(oriel::attention const& call, oriel::workspace memory);
