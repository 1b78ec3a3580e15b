#pragma once

#include <coroutine>

namespace vitrail::net {

// Resumes `handle` on this thread's loop when all that is ready there now has run, before the loop looks at its
// descriptors again: for who sends what others have left with it. Only on a loop's thread.
void resume_at_turn_end(std::coroutine_handle<> handle);

}  // namespace vitrail::net
