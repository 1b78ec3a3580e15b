#pragma once

namespace vitrail::base {

// For main(): SIGINT and SIGTERM are handled by waiting for them, so that the end of a program is ordinary code. Call
// block_termination_signals() before the first thread is started; also ignores SIGPIPE.
void block_termination_signals();
void wait_for_termination_signal();

}  // namespace vitrail::base
