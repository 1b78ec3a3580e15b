#include "worker/job.h"

#include "base/log.h"

namespace vitrail::worker {

std::string_view state_text(State state) {
  switch (state) {
    case State::kNotStarted: return "not started";
    case State::kInitializing: return "initializing";
    case State::kFindingTargets: return "finding target instances";
    case State::kCloningOnline: return "cloning the data (online)";
    case State::kCloningOffline: return "cloning the data (offline)";
    case State::kSynchronizing: return "synchronizing replication";
    case State::kDiffing: return "running the diff";
    case State::kDiffingWillFail: return "running the diff, already found differences";
    case State::kDebugging: return "running an internal debug command";
    case State::kCleaningUp: return "cleaning up";
    case State::kDone: return "done";
    case State::kError: return "error";
  }
  return "unknown";
}

void Progress::set_state(State state) {
  const std::scoped_lock lock(mutex_);
  state_ = state;
}

State Progress::state() const {
  const std::scoped_lock lock(mutex_);
  return state_;
}

void Progress::set_details(std::string details) {
  const std::scoped_lock lock(mutex_);
  details_ = std::move(details);
}

std::string Progress::status_text() const {
  const std::scoped_lock lock(mutex_);
  std::string text = "State: " + std::string(state_text(state_)) + "\n";
  if (!details_.empty()) text += details_ + "\n";
  return text;
}

std::string Progress::log_text() const {
  const std::scoped_lock lock(mutex_);
  std::string text;
  for (const auto& event : events_) {
    text += event.level() == ::logutil::ERROR ? "E " : event.level() == ::logutil::WARNING ? "W " : "I ";
    text += event.value();
    if (!text.ends_with('\n')) text += '\n';
  }
  return text;
}

std::vector<::logutil::Event> Progress::events_from(uint64_t* next) const {
  const std::scoped_lock lock(mutex_);
  const uint64_t begin = std::max(*next, dropped_) - dropped_;
  *next = dropped_ + events_.size();
  return {events_.begin() + static_cast<std::ptrdiff_t>(std::min<uint64_t>(begin, events_.size())), events_.end()};
}

void Progress::add(::logutil::Level level, std::string text) {
  ::logutil::Event event;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  event.mutable_time()->set_seconds(std::chrono::duration_cast<std::chrono::seconds>(now).count());
  event.mutable_time()->set_nanoseconds(static_cast<int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now % std::chrono::seconds(1)).count()));
  event.set_level(level);
  event.set_file("vtworker");
  event.set_value(std::move(text));
  {
    const std::scoped_lock lock(mutex_);
    events_.push_back(std::move(event));
    if (events_.size() > kEventsMax) {
      const size_t excess = kEventsMax / 10;
      events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(excess));
      dropped_ += excess;
    }
  }
  changed_.notify_all();
}

}  // namespace vitrail::worker
