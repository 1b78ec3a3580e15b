#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "net/sync.h"
#include "sql/statement.h"

// Equal reads that wait for a connection to the server at the same time are run once. When all connections are in use
// because very many clients ask the same, the queue then is as long as the number of different questions.
//
// A read that is under way already is not joined: it may have begun before a change that its asker knows of. One that
// has not been sent yet is as new as each of those who wait for it.
namespace vitrail::tablet {

// Whether two that ask this at one time get the same answer: a query that locks nothing, and in which nothing tells
// moments, sessions or chances apart.
bool is_shareable(const sql::Statement& statement);

struct SharedReadSettings {
  bool enabled = true;            // --enable-consolidator
  bool replicas_only = false;     // --enable-consolidator-replicas, where that is off
  size_t waiters_max = 0;         // Of one read; 0: any number.
  uint64_t bytes_max = 2u << 20;  // Of an answer; a larger one is the first asker's alone.
};

// One read that has not been sent. Confined to its loop.
struct SharedRead {
  net::Event done;
  std::string answer;  // As it went to the first asker; empty: the others have to ask for themselves.
  size_t followers = 0;
};

// The waiting reads of one event loop.
//   Threads: that loop; seen() any.
class SharedReads {
 public:
  SharedReads(const SharedReadSettings& settings, base::Counter& shared) : settings_(settings), shared_(shared) {}

  bool wanted(bool primary) const { return settings_.enabled || (settings_.replicas_only && !primary); }
  const SharedReadSettings& settings() const { return settings_; }

  // A first asker's part. Ends what is shared: whoever is not answered by then asks for himself.
  class Lead {
   public:
    Lead() = default;
    Lead(SharedReads* reads, std::string key, std::shared_ptr<SharedRead> read)
        : reads_(reads), key_(std::move(key)), read_(std::move(read)) {}
    Lead(Lead&& other) noexcept
        : reads_(std::exchange(other.reads_, nullptr)), key_(std::move(other.key_)), read_(std::move(other.read_)) {}
    Lead& operator=(Lead&&) = delete;
    ~Lead() {
      close();
      if (read_ != nullptr) read_->done.set();
    }
    // The read is about to be sent: nobody joins it any more. Whether anybody did.
    bool close() {
      if (reads_ != nullptr) std::exchange(reads_, nullptr)->reads_.erase(key_);
      return read_ != nullptr && read_->followers > 0;
    }
    void give(std::string answer) { read_->answer = std::move(answer); }

   private:
    SharedReads* reads_ = nullptr;
    std::string key_;
    std::shared_ptr<SharedRead> read_;
  };

  // The read of this key that waits already, which counts one more; null: there is none, or too many wait for it.
  std::shared_ptr<SharedRead> join(const std::string& key);
  // Null when there is one (which has enough waiters).
  Lead lead(std::string key);

  // `query`: without its values. Of an asker who was answered by another one's read.
  void note(const std::string& query);
  // How often which query was answered so. Any thread.
  std::vector<std::pair<std::string, uint64_t>> seen() const;

 private:
  const SharedReadSettings settings_;
  base::Counter& shared_;
  std::map<std::string, std::shared_ptr<SharedRead>> reads_;
  mutable std::mutex mutex_;  // Guards seen_.
  std::map<std::string, uint64_t> seen_;
};

}  // namespace vitrail::tablet
