#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"

namespace vitrail::base {

// The bytes that a process holds for its clients, bounded for each of them and for all together. What is small and
// bounded otherwise (buffers at rest, plans) is not counted.
//
//   Threads: any; a Session belongs to one thread.
//   Full   : kResourceExhausted (errno 1041) that names the flag; nothing was taken.
class MemoryBudget {
 public:
  enum class Kind : uint8_t { kResults, kLongData, kPrepared, kStatements };
  static constexpr size_t kKinds = 4;
  static constexpr uint16_t kErrno = 1041;  // Of refusals.
  struct Limits {
    uint64_t session = 0;  // 0: none.
    uint64_t process = 0;
    std::string session_flag, process_flag;  // "--memory-per-session": for errors.
  };

  // Declares the gauge MemoryHeldBytes{kind} and the counter MemoryRefused{kind}.
  MemoryBudget(Limits limits, Metrics& metrics);

  // One client's share. What it still has goes back with it.
  class Session {
   public:
    explicit Session(MemoryBudget& budget) : budget_(&budget) {}
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    Status take(Kind kind, uint64_t bytes);
    void give(Kind kind, uint64_t bytes);  // At most what was taken.
    uint64_t held(Kind kind) const { return held_[static_cast<size_t>(kind)]; }

   private:
    MemoryBudget* budget_;
    std::array<uint64_t, kKinds> held_{};
  };

  // What one piece of work takes of a session; given back with it.
  class Hold {
   public:
    Hold(Session& session, Kind kind) : session_(&session), kind_(kind) {}
    ~Hold() { session_->give(kind_, bytes_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    Status add(uint64_t bytes);

   private:
    Session* session_;
    Kind kind_;
    uint64_t bytes_ = 0;
  };

  uint64_t held() const { return total_.load(std::memory_order_relaxed); }

 private:
  Status refuse(Kind kind, uint64_t bytes, uint64_t limit, const char* of, const std::string& flag);

  const Limits limits_;
  std::atomic<uint64_t> total_{0};
  std::array<std::atomic<uint64_t>, kKinds> by_kind_{};
  Family<Counter>& refused_;
  Metrics::Subscription gauge_;
};

}  // namespace vitrail::base
