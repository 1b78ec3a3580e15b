#pragma once

#include <functional>

namespace vitrail::base {

// For main(): SIGINT and SIGTERM are handled by waiting for them, so that the end of a program is ordinary code. Call
// block_termination_signals() before the first thread is started; also ignores SIGPIPE.
void block_termination_signals();
// `reload`: what SIGHUP asks for, run on the calling thread; without it SIGHUP ends the program, too.
void wait_for_termination_signal(const std::function<void()>& reload = {});

}  // namespace vitrail::base
