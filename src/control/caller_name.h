#pragma once

#include <string>

#include "rpc/server.h"

namespace vitrail::control {

// Who calls, for logs of what was done: the name of the certificate or of the password; else the machine; "" for
// calls of this process.
inline std::string caller_of(const rpc::CallContext& context) {
  if (!context.peer_subject.empty()) return context.peer_subject;
  if (const auto user = context.find_metadata("username"); !user.empty()) return std::string(user);
  // "ipv4:10.0.0.7:51234"
  const size_t begin = context.peer.find(':');
  const size_t end = context.peer.rfind(':');
  return begin == std::string::npos || begin == end ? "" : context.peer.substr(begin + 1, end - begin - 1);
}

// The same where the request says who sends it: a name that was proved counts more.
inline std::string caller_of(const rpc::CallContext& context, const std::string& said) {
  const bool proved = !context.peer_subject.empty() || !context.find_metadata("username").empty();
  return proved || said.empty() ? caller_of(context) : said;
}

}  // namespace vitrail::control
