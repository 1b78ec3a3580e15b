#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/loop.h"
#include "net/scope.h"
#include "rpc/http.h"

namespace vitrail::control {

// Documents that change, sent to whoever watches them as server-sent events: an event of the document's name with its
// text at first, and whenever it is another one.
//
// A document is made again and again while somebody watches it, once for all who do: every `pause`, or after
// three times what making it took. Nobody watches: nothing runs.
//
//   Threads: open() on any, its stream on the HTTP server's; documents are made on `loop`, which outlives this object.
//   End    : stop() on the loop, after the HTTP server's end.
class WebFeed {
 public:
  // Makes a document: one line of JSON. An error becomes {"error": "..."}.
  using Make = std::function<net::Task<Result<std::string>>(std::string name)>;
  static constexpr size_t kNamesMax = 16;

  WebFeed(net::Loop& loop, Make make, base::Duration pause) : loop_(loop), make_(std::move(make)), pause_(pause) {}

  // A stream of these documents, until the client goes away.
  rpc::HttpResponse open(std::vector<std::string> names);
  net::Task<void> stop();

 private:
  struct Document {
    std::string name;
    size_t watchers = 0;
    bool made = false;  // A task makes it.
    uint64_t version = 0;
    std::string event;
  };
  class Watcher;

  static net::Task<void> keep_making(WebFeed& self, std::shared_ptr<Document> document);

  net::Loop& loop_;
  const Make make_;
  const base::Duration pause_;
  net::Scope scope_;
  std::mutex mutex_;  // Guards what follows, and the documents.
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Document>> documents_;
  bool stopping_ = false;
};

}  // namespace vitrail::control
