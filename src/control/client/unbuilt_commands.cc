// Commands of Vitess's client that this one has not: they say so, and what to use.
#include "control/client/client.h"

namespace vitrail::control {

void add_unbuilt_commands(CommandSet& set) {
  constexpr std::pair<const char*, const char*> kCommands[] = {
      {"OnlineDDL", "ApplySchema changes tables directly"},
      {"DistributedTransaction", "transactions over shards are not atomic, so that none is ever left in doubt"},
      {"ApplyMirrorRules", "MoveTables mirrortraffic makes the rules, and takes them away"},
  };
  for (const auto& [name, why] : kCommands) {
    if (set.root().knows_command(name)) continue;
    const std::string text = std::string(name) + " is not built yet: " + why;
    set.add(set.root(), name, "not built yet",
            [text](const ClientContext&) {
              return [](std::string what) -> net::Task<Result<std::string>> {
                co_return fail(Code::kUnimplemented, std::move(what));
              }(text);
            })
        .arguments("", 0, SIZE_MAX)
        .take_all()
        .hidden_command();
  }
}

}  // namespace vitrail::control
