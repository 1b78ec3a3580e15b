#pragma once

#include <functional>
#include <optional>
#include <string>

#include "topo/store.h"

namespace vitrail::topo {

// A decoded record and the state it was read in. Unknown protobuf fields are kept and written back.
template <typename Message>
struct Versioned {
  Message record;
  Version version;
};

// Changes a record in place; true: write it, false: leave it as it is, an Error: give up with it. Called again with the
// newer record when somebody else wrote in between, so it must not have other effects.
template <typename Message>
using UpdateFn = std::move_only_function<Result<bool>(Message&)>;

// Asked between reading a record and writing it back: may this still be written? An error gives the update up with it.
// The write is conditional on the version that was read before, so it cannot take effect once somebody who answers the
// question differently has written the same record. Therefore an update with a guard writes also when nothing is
// changed.
using WriteGuard = std::function<net::Task<Status>()>;

// How often an update_*_fields function tries before it gives up with kAborted.
inline constexpr int kMaxUpdateAttempts = 50;

}  // namespace vitrail::topo
