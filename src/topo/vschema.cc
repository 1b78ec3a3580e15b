#include "topo/vschema.h"

#include "topo/keyspace.h"
#include "topo/record_io.h"

namespace vitrail::topo {
namespace {

std::string vschema_what(std::string_view keyspace) { return "VSchema of keyspace " + std::string(keyspace); }

// The four kinds of rules differ in type, path and name only.
template <typename Rules>
net::Task<Result<RulesRecord<Rules>>> read_rules(Store& store, std::string path, std::string what) {
  auto read = co_await internal::read_record<Rules>(store, std::move(path), std::move(what));
  if (read.ok()) co_return RulesRecord<Rules>{std::move(read->record), read->version};
  if (read.error().code() == Code::kNotFound) co_return RulesRecord<Rules>{};
  co_return std::move(read).error();
}

// Writes over the state `expected` (empty: no record), or over any (`any`).
template <typename Rules>
net::Task<Status> write_rules(Store& store, std::string path, std::string what, Rules rules,
                              std::optional<Version> expected, bool any) {
  if (rules.rules().empty()) {
    if (!any && !expected) co_return Status{};
    Status removed = co_await store.remove(std::move(path), expected);
    if (removed.ok() || (any && removed.error().code() == Code::kNotFound)) co_return Status{};
    co_return std::move(removed).error().with_context(what);
  }
  std::string data = internal::serialize_record(rules);
  auto written = !any && !expected ? co_await store.create(std::move(path), std::move(data))
                                   : co_await store.update(std::move(path), std::move(data), expected);
  if (!written.ok()) co_return std::move(written).error().with_context(what);
  co_return Status{};
}

template <typename Rules>
net::Task<Result<Rules>> update_rules(Store& store, std::string path, std::string what, UpdateFn<Rules> fn,
                                      WriteGuard guard = {}) {
  for (int attempt = 0; attempt < kMaxUpdateAttempts; ++attempt) {
    CO_ASSIGN_OR_RETURN(RulesRecord<Rules> current, co_await read_rules<Rules>(store, path, what));
    const bool unchanged_empty = current.version && current.rules.rules().empty();
    CO_ASSIGN_OR_RETURN(const bool changed, fn(current.rules));
    if (!changed && (!guard || !current.version)) co_return std::move(current.rules);
    if (guard && !current.version) {
      // Where nothing is, a version can be had only by making it: first without rules, which means nothing to anybody.
      CO_RETURN_IF_ERROR(co_await internal::create_empty(store, path));
      continue;
    }
    if (guard) {
      Status allowed = co_await guard();
      if (!allowed.ok()) {
        if (unchanged_empty) (void)co_await store.remove(path, current.version);
        co_return std::move(allowed).error();
      }
    }
    Status written = co_await write_rules<Rules>(store, path, what, current.rules, current.version, false);
    if (written.ok()) co_return std::move(current.rules);
    const Code code = written.error().code();
    // Deleted, created or changed by another in between.
    if (code != Code::kAborted && code != Code::kNotFound && code != Code::kAlreadyExists) {
      co_return std::move(written).error();
    }
  }
  co_return fail(Code::kAborted, "the " + what + " are changed by others all the time; try again");
}

constexpr const char* kRules = "routing rules";
constexpr const char* kShardRules = "shard routing rules";
constexpr const char* kKeyspaceRules = "keyspace routing rules";
constexpr const char* kMirrors = "mirror rules";

}  // namespace

net::Task<Result<Versioned<::vschema::Keyspace>>> get_vschema(Server& server, std::string keyspace) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  co_return co_await internal::read_record<::vschema::Keyspace>(server.global(), keyspace_vschema_path(keyspace),
                                                                vschema_what(keyspace));
}

net::Task<Status> save_vschema(Server& server, std::string keyspace, ::vschema::Keyspace record,
                               std::optional<Version> expected) {
  CO_ASSIGN_OR_RETURN(const auto exists, co_await get_keyspace(server, keyspace));
  (void)exists;
  auto written =
      co_await server.global().update(keyspace_vschema_path(keyspace), internal::serialize_record(record), expected);
  if (!written.ok()) co_return internal::tell(std::move(written).error(), vschema_what(keyspace));
  co_return Status{};
}

net::Task<Result<::vschema::Keyspace>> update_vschema_fields(Server& server, std::string keyspace,
                                                             UpdateFn<::vschema::Keyspace> fn, WriteGuard guard) {
  CO_ASSIGN_OR_RETURN(const auto exists, co_await get_keyspace(server, keyspace));
  (void)exists;
  auto updated = co_await internal::update_record<::vschema::Keyspace>(server.global(), keyspace_vschema_path(keyspace),
                                                                       vschema_what(keyspace), std::move(fn), {}, true,
                                                                       std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return std::move(updated->record);
}

net::Task<Status> delete_vschema(Server& server, std::string keyspace) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  Status removed = co_await server.global().remove(keyspace_vschema_path(keyspace), std::nullopt);
  if (!removed.ok() && removed.error().code() != Code::kNotFound) co_return removed;
  co_return Status{};
}

net::Task<Result<RulesRecord<::vschema::RoutingRules>>> get_routing_rules(Server& server) {
  return read_rules<::vschema::RoutingRules>(server.global(), routing_rules_path(), kRules);
}
net::Task<Status> save_routing_rules(Server& server, ::vschema::RoutingRules rules) {
  return write_rules(server.global(), routing_rules_path(), kRules, std::move(rules), std::nullopt, true);
}
net::Task<Result<::vschema::RoutingRules>> update_routing_rules(Server& server, UpdateFn<::vschema::RoutingRules> fn,
                                                                WriteGuard guard) {
  return update_rules(server.global(), routing_rules_path(), kRules, std::move(fn), std::move(guard));
}

net::Task<Result<RulesRecord<::vschema::ShardRoutingRules>>> get_shard_routing_rules(Server& server) {
  return read_rules<::vschema::ShardRoutingRules>(server.global(), shard_routing_rules_path(), kShardRules);
}
net::Task<Status> save_shard_routing_rules(Server& server, ::vschema::ShardRoutingRules rules) {
  return write_rules(server.global(), shard_routing_rules_path(), kShardRules, std::move(rules), std::nullopt, true);
}
net::Task<Result<::vschema::ShardRoutingRules>> update_shard_routing_rules(Server& server,
                                                                           UpdateFn<::vschema::ShardRoutingRules> fn,
                                                                           WriteGuard guard) {
  return update_rules(server.global(), shard_routing_rules_path(), kShardRules, std::move(fn), std::move(guard));
}

net::Task<Result<RulesRecord<::vschema::KeyspaceRoutingRules>>> get_keyspace_routing_rules(Server& server) {
  return read_rules<::vschema::KeyspaceRoutingRules>(server.global(), keyspace_routing_rules_path(), kKeyspaceRules);
}
net::Task<Status> save_keyspace_routing_rules(Server& server, ::vschema::KeyspaceRoutingRules rules) {
  return write_rules(server.global(), keyspace_routing_rules_path(), kKeyspaceRules, std::move(rules), std::nullopt,
                     true);
}
net::Task<Result<::vschema::KeyspaceRoutingRules>> update_keyspace_routing_rules(
    Server& server, UpdateFn<::vschema::KeyspaceRoutingRules> fn, WriteGuard guard) {
  return update_rules(server.global(), keyspace_routing_rules_path(), kKeyspaceRules, std::move(fn), std::move(guard));
}

net::Task<Result<RulesRecord<::vschema::MirrorRules>>> get_mirror_rules(Server& server) {
  return read_rules<::vschema::MirrorRules>(server.global(), mirror_rules_path(), kMirrors);
}
net::Task<Result<::vschema::MirrorRules>> update_mirror_rules(Server& server, UpdateFn<::vschema::MirrorRules> fn,
                                                              WriteGuard guard) {
  return update_rules(server.global(), mirror_rules_path(), kMirrors, std::move(fn), std::move(guard));
}
net::Task<Status> save_mirror_rules(Server& server, ::vschema::MirrorRules rules) {
  return write_rules(server.global(), mirror_rules_path(), kMirrors, std::move(rules), std::nullopt, true);
}

}  // namespace vitrail::topo
