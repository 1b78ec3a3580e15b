// The other process of the multi-process tests: does one thing with a store, as its arguments say, and reports line by
// line on standard output. Every command: <command> <implementation> <address> <path> [...].

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "net/loop.h"
#include "topo/server.h"

namespace vitrail::topo {
namespace {

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

int complain(const Error& error) {
  say("error " + error.to_string());
  return 1;
}

// A line from standard input; empty at its end.
net::Task<std::string> read_command() {
  co_return co_await net::offload([] {
    std::string line;
    char c = 0;
    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') line += c;
    return line;
  });
}

// hold ... <dir> <ttl ms>: takes the lock; answers "check" lines; gives it back at the end of input.
net::Task<int> hold(std::shared_ptr<Store> store, std::string dir, int ttl_ms) {
  auto lock = co_await store->lock(dir, "helper", {.ttl = std::chrono::milliseconds(ttl_ms), .require_dir = false});
  if (!lock.ok()) co_return complain(lock.error());
  say("held");
  for (;;) {
    const std::string command = co_await read_command();
    if (command.empty()) break;
    const Status held = co_await (*lock)->check_held();
    say(held.ok() ? "held" : held.error().to_string());
  }
  const Status released = co_await (*lock)->unlock();
  say(released.ok() ? "released" : released.error().to_string());
  co_return 0;
}

// count ... <path> <times>: adds one to a number that others change too.
net::Task<int> count(std::shared_ptr<Store> store, std::string path, int times) {
  for (int i = 0; i < times;) {
    const auto record = co_await store->get(path);
    if (!record.ok()) co_return complain(record.error());
    const auto written = co_await store->update(path, std::to_string(std::stoi(record->data) + 1), record->version);
    if (written.ok())
      ++i;
    else if (written.error().code() != Code::kAborted)
      co_return complain(written.error());
  }
  say("done");
  co_return 0;
}

// locked_count ... <dir> <times>: the same under a lock instead of versions; "<dir>/value" holds the number.
net::Task<int> locked_count(std::shared_ptr<Store> store, std::string dir, int times) {
  for (int i = 0; i < times; ++i) {
    auto lock = co_await store->lock(dir, "counter");
    if (!lock.ok()) co_return complain(lock.error());
    const auto record = co_await store->get(dir + "/value");
    if (!record.ok()) co_return complain(record.error());
    const auto written = co_await store->update(dir + "/value", std::to_string(std::stoi(record->data) + 1),
                                                std::nullopt, {.fence = (*lock)->fence()});
    if (!written.ok()) co_return complain(written.error());
    const Status released = co_await (*lock)->unlock();
    if (!released.ok()) co_return complain(released.error());
  }
  say("done");
  co_return 0;
}

// write ... <path>: writes 1, 2, 3 ... until it is killed, and says each number once it is written.
net::Task<int> write(std::shared_ptr<Store> store, std::string path) {
  for (int i = 1;; ++i) {
    const auto written = co_await store->update(path, std::to_string(i), std::nullopt);
    if (!written.ok()) co_return complain(written.error());
    say(std::to_string(i));
  }
}

// watch ... <path>: says each value it sees.
net::Task<int> watch(std::shared_ptr<Store> store, std::string path) {
  auto watch = co_await store->watch(path);
  if (!watch.ok()) co_return complain(watch.error());
  for (;;) {
    const auto changes = co_await (*watch)->next({});
    if (!changes.ok()) co_return complain(changes.error());
    for (const Change& change : *changes) say(change.record ? "=" + change.record->data : "gone");
  }
}

// echo ... <from> <to>: copies each value of one record to another.
net::Task<int> echo(std::shared_ptr<Store> store, std::string from, std::string to) {
  auto watch = co_await store->watch(from);
  if (!watch.ok()) co_return complain(watch.error());
  say("ready");
  for (;;) {
    const auto changes = co_await (*watch)->next({});
    if (!changes.ok()) co_return complain(changes.error());
    if (!changes->front().record) continue;
    const auto written = co_await store->update(to, changes->front().record->data, std::nullopt);
    if (!written.ok()) co_return complain(written.error());
  }
}

net::Task<int> run(std::vector<std::string> args) {
  if (args.size() < 5) {
    co_return complain(Error(Code::kInvalidArgument, "usage: <command> <implementation> <address> <path> [...]"));
  }
  auto store = co_await open_store(args[2], args[3], "/vitrail/global");
  if (!store.ok()) co_return complain(store.error());
  const std::string& command = args[1];
  const std::string path = args[4];
  const std::string more = args.size() > 5 ? args[5] : "0";
  int code = 1;
  if (command == "hold")
    code = co_await hold(*store, path, std::stoi(more));
  else if (command == "count")
    code = co_await count(*store, path, std::stoi(more));
  else if (command == "locked_count")
    code = co_await locked_count(*store, path, std::stoi(more));
  else if (command == "write")
    code = co_await write(*store, path);
  else if (command == "watch")
    code = co_await watch(*store, path);
  else if (command == "echo")
    code = co_await echo(*store, path, more);
  co_await (*store)->close();
  co_return code;
}

}  // namespace
}  // namespace vitrail::topo

int main(int argc, char** argv) {
  vitrail::net::LoopThread thread("helper");
  return vitrail::net::block_on(thread.loop(), vitrail::topo::run(std::vector<std::string>(argv, argv + argc)));
}
