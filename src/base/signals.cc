#include "base/signals.h"

#include <csignal>

#include "base/check.h"

namespace vitrail::base {
namespace {

sigset_t termination_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

void block_termination_signals() {
  const sigset_t set = termination_signals();
  CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  std::signal(SIGPIPE, SIG_IGN);
}

void wait_for_termination_signal(const std::function<void()>& reload) {
  const sigset_t set = termination_signals();
  for (;;) {
    int signal = 0;
    CHECK(sigwait(&set, &signal) == 0);
    if (signal != SIGHUP || !reload) return;
    reload();
  }
}

}  // namespace vitrail::base
