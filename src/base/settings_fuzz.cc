#include <cstdint>
#include <cstdlib>

#include "base/settings.h"
#include "base/text.h"

// Command lines and their completion. Words are the input's lines. Refused or not, the command line must be read
// without a crash, what is accepted must not change when it is read again, and completion must end with its directive.
namespace {

using namespace vitrail;

struct Tool {
  base::Settings settings{"tool", "all kinds of settings"};
  std::string text;
  bool flag = false;
  int64_t number = 0;
  uint16_t port = 0;
  double ratio = 0;
  base::Duration time{};
  std::chrono::milliseconds milliseconds{};
  std::vector<std::string> list;
  base::LiveText live;

  Tool() {
    settings.add("text_value", &text, "text").alias("t");
    settings.add("flag", &flag, "yes or no");
    settings.add("number", &number, "a number");
    settings.add("port", &port, "a port");
    settings.add("ratio", &ratio, "a ratio");
    settings.add("time", &time, "a duration");
    settings.add("milliseconds", &milliseconds, "a duration");
    settings.add("list", &list, "a list");
    settings.add("live", &live, "text").one_of({"one", "two"});
    settings.add_command("run", "runs", {"Run"}).arguments("[<name> ...]", 0, 3).add("dry-run", &flag2, "not really");
    settings.add_command("hand_on", "hands on").arguments("<word> ...", 1, 9).pass_through();
    settings.add_completion();
  }
  bool flag2 = false;
};

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  std::vector<std::string> words;
  for (const std::string_view word : base::split(std::string_view(reinterpret_cast<const char*>(data), size), '\n')) {
    words.emplace_back(word);
  }
  Tool first, second;
  const auto outcome = first.settings.parse(words);
  const auto again = second.settings.parse(words);
  require(outcome.ok() == again.ok());
  if (outcome.ok()) {
    require(first.settings.to_json() == second.settings.to_json());
    require(first.settings.positional() == second.settings.positional());
    require(!first.settings.help().empty());
  } else {
    require(!outcome.error().message().empty());
  }
  Tool third;
  const std::string candidates = third.settings.complete(words, true);
  require(candidates.ends_with(":4\n") || candidates.ends_with(":0\n"));
  return 0;
}
