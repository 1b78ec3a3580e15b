#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::shard {

// What a statement is aimed at: one shard of a keyspace, and the type of tablet. Written "commerce/0@primary"; this is
// also what a vtgate names as its database when it logs in to a tablet's MySQL data port.
struct Target {
  std::string keyspace;
  std::string shard;
  std::string tablet_type = "primary";  // Lower case: primary, replica, rdonly ...

  std::string to_string() const { return keyspace + "/" + shard + "@" + tablet_type; }
  bool operator==(const Target&) const = default;

  // "ks/shard@type" or "ks:shard@type"; "@type" may be left out (primary), and "master" is primary.
  static Result<Target> parse(std::string_view text) {
    Target target;
    std::string_view rest = text;
    if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
      target.tablet_type.clear();
      for (const char c : rest.substr(at + 1)) {
        target.tablet_type.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
      }
      if (target.tablet_type == "master") target.tablet_type = "primary";
      rest = rest.substr(0, at);
    }
    const size_t slash = rest.find_first_of("/:");
    if (slash == std::string_view::npos || slash == 0 || slash + 1 == rest.size() || target.tablet_type.empty()) {
      return fail(Code::kInvalidArgument, "'" + std::string(text) + "' is no target: give keyspace/shard@type");
    }
    target.keyspace = rest.substr(0, slash);
    target.shard = rest.substr(slash + 1);
    return target;
  }
};

}  // namespace vitrail::shard
