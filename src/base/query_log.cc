#include "base/query_log.h"

#include <algorithm>

namespace vitrail::base {

Status QueryLog::open(const std::string& path) {
  if (path.empty()) return {};
  ASSIGN_OR_RETURN(file_, LineFile::open(path));
  wanted_ = true;
  return {};
}

void QueryLog::write(std::string_view line) {
  if (file_ != nullptr) file_->write(line);
  const std::lock_guard lock(mutex_);
  for (Listener* listener : listeners_) {
    if (listener->lines_.size() >= kLinesMax) continue;
    listener->lines_.emplace_back(line);
    listener->arrived_.notify_one();
  }
}

Result<std::unique_ptr<QueryLog::Listener>> QueryLog::listen() {
  auto listener = std::make_unique<Listener>(*this);  // Before the lock, which its destructor takes.
  const std::lock_guard lock(mutex_);
  if (listeners_.size() >= kListenersMax) {
    return fail(Code::kResourceExhausted, "too many look at the query log already: end one");
  }
  listeners_.push_back(listener.get());
  wanted_ = true;
  return listener;
}

size_t QueryLog::listeners() {
  const std::lock_guard lock(mutex_);
  return listeners_.size();
}

QueryLog::Listener::~Listener() {
  const std::lock_guard lock(log_.mutex_);
  std::erase(log_.listeners_, this);
  log_.wanted_ = log_.file_ != nullptr || !log_.listeners_.empty();
}

std::optional<std::string> QueryLog::Listener::next(Duration wait) {
  std::unique_lock lock(log_.mutex_);
  if (!arrived_.wait_for(lock, wait, [this] { return !lines_.empty(); })) return std::nullopt;
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

}  // namespace vitrail::base
