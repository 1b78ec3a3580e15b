#pragma once

#include <memory>

#include "shard/lookup.h"
#include "shard/vindex.h"

namespace vitrail::shard {

// A unique lookup vindex as the first one of a table that does not own it: its rows are where the rows of another table
// with the same values are. The values alone do not tell where that is: map() is kUnimplemented.
std::shared_ptr<const Vindex> create_placement(std::shared_ptr<const Lookup> lookup);

// The lookup of such a vindex; null for a function.
std::shared_ptr<const Lookup> placing_lookup(const Vindex& vindex);

}  // namespace vitrail::shard
