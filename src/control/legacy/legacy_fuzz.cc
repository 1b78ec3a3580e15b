// Older command lines, words separated by line ends. Whatever they say, they end, and a refusal says why. Nothing is
// behind them but an empty topology in memory and methods that are all unavailable.
#include <cstdint>
#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "control/legacy/legacy.h"
#include "net/loop.h"

namespace {

using namespace vitrail;

struct World {
  net::LoopThread thread{"fuzz"};
  std::unique_ptr<topo::Server> topology;
  std::unique_ptr<control::TabletClient> tablets;
  World() {
    auto opened = net::block_on(
        thread.loop(), topo::Server::open({.implementation = "memory", .global_server_address = "legacy_fuzz"}));
    if (!opened.ok()) std::abort();
    topology = std::move(*opened);
    tablets = std::make_unique<control::TabletClient>(*topology);
  }
};

net::Task<Result<std::string>> unavailable() { co_return fail(Code::kUnavailable, "no methods here"); }
net::Task<Status> forget() { co_return Status{}; }

net::Task<Status> run(control::TabletClient& tablets, std::vector<std::string> words) {
  const control::LegacyEnvironment environment{
      .tablets = tablets,
      .vtctld = [](std::string, std::string, net::Wait) { return unavailable(); },
      .action_timeout = std::chrono::seconds(1),
      .report = [](control::LegacyLevel, std::string) { return forget(); }};
  co_return co_await control::run_legacy_command(environment, std::move(words));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World& world = *new World;
  if (size > 2048) return 0;
  std::vector<std::string> words;
  for (const std::string_view word : base::split(std::string_view(reinterpret_cast<const char*>(data), size), '\n')) {
    words.emplace_back(word);
  }
  const Status done = net::block_on(world.thread.loop(), run(*world.tablets, std::move(words)));
  if (!done.ok() && done.error().message().empty()) std::abort();
  return 0;
}
