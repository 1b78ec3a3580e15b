#include "gate/older_errors.h"

#include <fmt/core.h>

#include <algorithm>

#include "mysql/errors.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

constexpr std::string_view kRule = "disallowed due to rule: enforce blacklisted tables";

// Set by main() before there are threads.
std::string& own_url() {
  static std::string url;
  return url;
}

std::string& anonymous_caller() {
  static std::string name;
  return name;
}

std::string older_text(const shard::Target& target, const View& view, const std::string& caller, std::string_view code,
                       std::string_view what) {
  std::string tablet = "unknown";
  if (const auto found = view.endpoints.find(target.to_string());
      found != view.endpoints.end() && !found->second.empty()) {
    tablet = fmt::format("{} ({})", found->second[0].alias, found->second[0].address.host);
  }
  return fmt::format(
      "vtgate: {}: target: {}.{}.{}, used tablet: {}, vttablet: rpc error: code = {} desc = {} (CallerID: {})",
      own_url(), target.keyspace, target.shard, target.tablet_type == "primary" ? "master" : target.tablet_type, tablet,
      code, what, anonymous_caller().empty() ? caller : anonymous_caller());
}

}  // namespace

void set_own_url(std::string url) { own_url() = std::move(url); }
void set_anonymous_caller(std::string name) { anonymous_caller() = std::move(name); }

bool is_older_refusal(const Error& error) {
  return error.reason() == base::Reason::kDeniedTable && error.message().find(kRule) != std::string::npos;
}

Error older_refusal(const shard::Target& target, const View& view, const std::string& caller, Error error) {
  return Error(error.code(), older_text(target, view, caller, "FailedPrecondition", kRule))
      .with_reason(error.reason())
      .with_retry(error.retry())
      .with_effect(error.effect())
      .with_origin({.keyspace = target.keyspace, .shard = target.shard, .rule = error.origin().rule});
}

std::optional<Error> older_missing_table(const shard::Target& target, const View& view, const std::string& caller,
                                         const Error& error) {
  if (error.mysql_errno() != mysql::errnos::kNoSuchTable || view.vschema == nullptr) return std::nullopt;
  // "Table 'commerce.customer' doesn't exist": only there the server says which of a statement's tables it is.
  const std::string& text = error.message();
  const size_t end = text.rfind("' doesn't exist");
  const size_t dot = end == std::string::npos ? std::string::npos : text.rfind('.', end);
  if (dot == std::string::npos) return std::nullopt;
  const std::string table = text.substr(dot + 1, end - dot - 1);
  const vschema::Keyspace* own = view.vschema->find_keyspace(target.keyspace);
  if (own != nullptr && own->tables.contains(table)) return std::nullopt;
  const bool moved = std::ranges::any_of(view.vschema->keyspaces(), [&](const auto& keyspace) {
    return keyspace.first != target.keyspace && keyspace.second.tables.contains(table);
  });
  if (!moved) return std::nullopt;
  return Error(Code::kInvalidArgument,
               older_text(target, view, caller, "InvalidArgument", fmt::format("table {} not found in schema", table)))
      .with_mysql(mysql::errnos::kUnknown, "HY000")
      .with_retry(error.retry())
      .with_effect(error.effect())
      .with_origin({.keyspace = target.keyspace, .shard = target.shard});
}

}  // namespace vitrail::gate
