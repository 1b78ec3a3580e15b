#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "net/loop.h"
#include "net/scope.h"
#include "topo/store.h"

// What every test of a Store needs: a loop on a thread, and calls that wait for its coroutines.
namespace vitrail::topo::conformance {

// One empty topology server of one implementation.
class Environment {
 public:
  virtual ~Environment() = default;
  // A new store on the server, as another process would open it.
  virtual net::Task<Result<std::shared_ptr<Store>>> open(std::string root) = 0;
};

struct Implementation {
  std::string name;
  std::function<std::unique_ptr<Environment>()> make;
  friend void PrintTo(const Implementation& implementation, std::ostream* out) { *out << implementation.name; }
};

// A folder of its own, removed at the end. `in_memory`: where writing through costs nothing, if there is such a place.
class TempFolder {
 public:
  explicit TempFolder(bool in_memory = false);
  ~TempFolder();
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// How long a server stays away: `ordinary` in ordinary runs; VITRAIL_OUTAGE_SECONDS=30 shows what no ordinary run has
// time for.
std::chrono::seconds outage(std::chrono::seconds ordinary);

// A TCP port of the loopback address that nobody listens on.
uint16_t free_port();

// Returns when a process that got a stop signal does nothing any more: thread by thread it takes effect.
void await_stopped(int pid);

Implementation memory_implementation();
Implementation sqlite_implementation();

inline net::Wait soon() { return net::Wait::within(std::chrono::seconds(20)); }
inline net::Wait brief() { return net::Wait::within(std::chrono::milliseconds(30)); }

// Runs coroutines to their end on the loop.
class Runner {
 public:
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(thread_.loop(), std::move(task));
  }
  void run(net::Task<void> task) { net::block_on(thread_.loop(), std::move(task)); }
  // Destroys on the loop what belongs to the loop.
  template <typename T>
  void drop(T object) {
    run(drop_task(std::move(object)));
  }
  net::Loop& loop() { return thread_.loop(); }

 private:
  template <typename T>
  static net::Task<void> drop_task(T object) {
    {
      const T gone = std::move(object);
    }
    co_return;
  }
  net::LoopThread thread_{"test"};
};

// Reads a watch until `done` says so for one of the changes, or 20 s are over.
bool wait_for_change(Runner& runner, Watch& watch, const std::function<bool(const Change&)>& done);

#define EXPECT_CODE(expected, result)                                                               \
  do {                                                                                              \
    const auto& vitrail_result_ = (result);                                                         \
    EXPECT_FALSE(vitrail_result_.ok());                                                             \
    if (!vitrail_result_.ok()) {                                                                    \
      EXPECT_EQ((expected), vitrail_result_.error().code()) << vitrail_result_.error().to_string(); \
    }                                                                                               \
  } while (false)
#define ASSERT_OK(result)                                                     \
  do {                                                                        \
    const auto& vitrail_result_ = (result);                                   \
    ASSERT_TRUE(vitrail_result_.ok()) << vitrail_result_.error().to_string(); \
  } while (false)

}  // namespace vitrail::topo::conformance
