#include "gate/older_errors.h"

#include <fmt/core.h>

namespace vitrail::gate {
namespace {

constexpr std::string_view kRule = "disallowed due to rule: enforce blacklisted tables";

// Set by main() before there are threads.
std::string& own_url() {
  static std::string url;
  return url;
}

}  // namespace

void set_own_url(std::string url) { own_url() = std::move(url); }

bool is_older_refusal(const Error& error) {
  return error.reason() == base::Reason::kDeniedTable && error.message().find(kRule) != std::string::npos;
}

Error older_refusal(const shard::Target& target, const View& view, const std::string& caller, Error error) {
  std::string tablet = "unknown";
  if (const auto found = view.endpoints.find(target.to_string());
      found != view.endpoints.end() && !found->second.empty()) {
    tablet = fmt::format("{} ({})", found->second[0].alias, found->second[0].address.host);
  }
  std::string text = fmt::format(
      "vtgate: {}: target: {}.{}.{}, used tablet: {}, vttablet: rpc error: code = FailedPrecondition desc = {} "
      "(CallerID: {})",
      own_url(), target.keyspace, target.shard, target.tablet_type == "primary" ? "master" : target.tablet_type, tablet,
      kRule, caller);
  return Error(error.code(), std::move(text))
      .with_reason(error.reason())
      .with_retry(error.retry())
      .with_effect(error.effect())
      .with_origin({.keyspace = target.keyspace, .shard = target.shard, .rule = error.origin().rule});
}

}  // namespace vitrail::gate
