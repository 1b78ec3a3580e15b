#include "control/web_feed.h"

#include <algorithm>

#include "base/text.h"

namespace vitrail::control {

using namespace std::chrono_literals;

// One client's stream.
class WebFeed::Watcher {
 public:
  Watcher(WebFeed& feed, const std::vector<std::string>& names) : feed_(feed) {
    const std::scoped_lock lock(feed_.mutex_);
    for (const std::string& name : names) {
      std::shared_ptr<Document>& document = feed_.documents_[name];
      if (document == nullptr) document = std::make_shared<Document>(Document{.name = name});
      ++document->watchers;
      seen_.emplace_back(document, 0);
      if (document->made || feed_.stopping_) continue;
      document->made = true;
      feed_.loop_.post([feed = &feed_, document] { feed->scope_.spawn(keep_making(*feed, document)); });
    }
  }
  ~Watcher() {
    const std::scoped_lock lock(feed_.mutex_);
    for (const auto& [document, version] : seen_) --document->watchers;
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Events of what changed. After a second without any a comment: a write that fails is how we learn that the client
  // is gone.
  std::optional<std::string> next() {
    std::unique_lock lock(feed_.mutex_);
    feed_.changed_.wait_for(lock, 1s, [this] {
      return feed_.stopping_ || std::ranges::any_of(seen_, [](const auto& s) { return s.first->version != s.second; });
    });
    if (feed_.stopping_) return std::nullopt;
    std::string out;
    for (auto& [document, version] : seen_) {
      if (document->version == version) continue;
      out += document->event;
      version = document->version;
    }
    return out.empty() ? ":\n\n" : out;
  }

 private:
  WebFeed& feed_;
  std::vector<std::pair<std::shared_ptr<Document>, uint64_t>> seen_;
};

rpc::HttpResponse WebFeed::open(std::vector<std::string> names) {
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty() || names.size() > kNamesMax) {
    return {.status = 400, .body = "give topics=<name>[,<name> ...], at most " + std::to_string(kNamesMax) + "\n"};
  }
  return {.content_type = "text/event-stream",
          .body = "retry: 500\n\n",
          .headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}},
          .more = [watcher = std::make_shared<Watcher>(*this, names)] { return watcher->next(); }};
}

net::Task<void> WebFeed::keep_making(WebFeed& self, std::shared_ptr<Document> document) {
  for (;;) {
    {
      const std::scoped_lock lock(self.mutex_);
      if (document->watchers == 0 || self.stopping_) {
        document->made = false;
        self.documents_.erase(document->name);
        co_return;
      }
    }
    const base::TimePoint start = base::system_clock().now();
    const auto text = co_await self.make_(document->name);
    std::string event = "event: " + document->name + "\ndata: ";
    event += text.ok() ? *text : "{\"error\": " + base::json_string(text.error().message()) + "}";
    event += "\n\n";
    const base::Duration took = base::system_clock().now() - start;
    {
      const std::scoped_lock lock(self.mutex_);
      if (event != document->event) {
        document->event = std::move(event);
        ++document->version;
        self.changed_.notify_all();
      }
    }
    // Cancelled: the next turn ends this.
    static_cast<void>(co_await net::sleep_for(std::max(self.pause_, 3 * took), self.scope_.token()));
  }
}

net::Task<void> WebFeed::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::control
