#pragma once

#include <map>
#include <string>

#include "base/clock.h"
#include "control/tablet_client.h"
#include "net/scope.h"

namespace vitrail::control {

// What tablets say of their health, asked for while somebody wants to know: for pages. Answers are a moment old, and
// nobody waits for a tablet that does not answer.
//
//   Threads: one loop. stop() before destruction.
//   Bounds : kAskedAtOnce calls at a time.
class TabletHealths {
 public:
  static constexpr size_t kAskedAtOnce = 64;
  static constexpr base::Duration kAnswerTime = std::chrono::seconds(2);

  struct Health {
    bool known = false;  // Asked at least once.
    bool serving = false;
    std::string error;  // Why it is not well; "" when it is.
    uint32_t lag_s = 0;
    double qps = 0;
  };

  explicit TabletHealths(TabletClient& tablets) : tablets_(tablets) {}

  // What is known of the tablet. It is asked anew when that is older than `age_max`.
  Health want(const ::topodata::Tablet& tablet, base::Duration age_max);
  net::Task<void> stop();

 private:
  struct Entry {
    Health health;
    base::TimePoint heard;
    bool asked = false;
  };
  static net::Task<void> ask(TabletHealths& self, ::topodata::Tablet tablet);

  TabletClient& tablets_;
  std::map<std::string, Entry> entries_;  // By alias; of tablets that are gone, until `kKept` are there.
  net::Scope scope_;
};

}  // namespace vitrail::control
