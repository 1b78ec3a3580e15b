#pragma once

#include <string>

#include "base/result.h"
#include "net/loop.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::tablet {

// Exit statuses of hooks that did not run, as the tools know them.
inline constexpr int64_t kHookDoesNotExist = -1;
inline constexpr int64_t kHookNoExitStatus = -3;
inline constexpr int64_t kHookInvalidName = -4;
inline constexpr int64_t kHookNoRoot = -5;
inline constexpr int64_t kHookGenericError = -6;
inline constexpr int64_t kHookTimeout = -7;

// Runs the program $VTROOT/vthook/<name> of this machine with the request's parameters and environment, and
// TABLET_ALIAS. What it wrote (at most 1 MiB of each stream) and its exit status are the response; that it cannot be
// run is a status below zero, not an error.
net::Task<Result<::tabletmanagerdata::ExecuteHookResponse>> run_hook(::tabletmanagerdata::ExecuteHookRequest request,
                                                                     std::string tablet_alias, net::Wait wait);

}  // namespace vitrail::tablet
