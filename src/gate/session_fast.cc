// The short way of a statement for one shard whose plan is known: what run_once() would come to, without its stops.
#include "gate/session.h"
#include "gate/shard_search.h"
#include "plan/key_value.h"

namespace vitrail::gate {
namespace {

// Statements that are never the gate's own business, by their kind and what is in them.
bool is_plain(const sql::FingerprintResult& scan) {
  using enum sql::StatementKind;
  switch (scan.kind) {
    case kSelect:
    case kUpdate:
    case kDelete:
    case kInsert:
    case kReplace: break;
    default: return false;
  }
  return !scan.malformed && !scan.has_more && !scan.has_hint && !scan.has_user_variable && !scan.has_system_variable &&
         !scan.has_session_function;
}

}  // namespace

bool ClientSession::may_have_session_values(const sql::FingerprintResult& scan) const {
  return scan.malformed || scan.has_more || scan.has_user_variable || scan.has_system_variable ||
         scan.has_session_function;
}

// The one shard that the statement goes to; null when that is to be found out, or refused, by resolve().
const ActiveShard* ClientSession::only_shard(const plan::Route& route, const std::string& keyspace,
                                             const Statement& statement) {
  const auto* shards = shared_.view()->find_shards(keyspace, tablet_type_);
  if (shards == nullptr || shards->empty()) return nullptr;
  using Kind = plan::Route::Kind;
  const bool any = route.kind == Kind::kAnyShard || route.kind == Kind::kNoShard || route.kind == Kind::kAllShards;
  if (any) return shards->size() == 1 ? &shards->front() : nullptr;
  if (route.kind != Kind::kByValues || route.values.size() != 1) return nullptr;
  auto value = value_of(route.values.front(), route.key_type, statement);
  if (!value.ok()) return nullptr;
  shard::Destination destination;
  const shard::VindexValue mapped = vindex_value(*value);
  if (!route.vindex->map_into({&mapped, 1}, destination).ok()) return nullptr;
  if (destination.kind != shard::Destination::Kind::kKeyspaceId) return nullptr;
  return find_shard(*shards, destination.keyspace_id);
}

std::optional<ClientSession::FastRoute> ClientSession::fast_route(const Statement& statement) {
  const bool own_start = !autocommit_ && !in_transaction_;
  if (directives_.skip_plan_cache || warnings_begun_ || !is_plain(statement.scan) || !shard_.empty() || failed_ ||
      own_start || shared_.settings.warn_sharded_only || statement.scan.literal_count > statement.literals.size()) {
    return std::nullopt;
  }
  auto* const known = shared_.look_up_plan(statement.scan.fingerprint, plan_context_);
  if (known == nullptr) return std::nullopt;
  const plan::Plan& plan = *known->plan;
  if (plan.kind != plan::Plan::Kind::kRoute || plan.is_ddl || plan.text || plan.asks_found_rows ||
      plan.asks_insert_id || plan.effects.leaves != sql::Left::kNothing || !plan.names.empty() || !plan.merge.empty() ||
      (!plan.is_read && tablet_type_ != "primary") ||
      (statement.binary() && !plan::fits(plan.route, statement.parameters))) {
    return std::nullopt;
  }
  const std::string& keyspace = plan.route.keyspace.empty() ? keyspace_ : plan.route.keyspace;
  const ActiveShard* const shard = only_shard(plan.route, keyspace, statement);
  if (shard == nullptr || shard->disabled) return std::nullopt;
  ++known->count;
  counters_ = known->counters;
  use_totals(known->totals);
  begin_warnings(statement);
  count_statement(1);
  FastRoute route{known->plan, {keyspace, shard->name, tablet_type_}};
  shared_.view()->follow_shard_rule(route.target);
  return route;
}

net::MysqlPool* ClientSession::known_pool(const shard::Target& target) {
  if (known_pool_.epoch == shared_.pools_epoch() && known_pool_.form == form_ && known_pool_.target == target) {
    return known_pool_.pool;
  }
  const auto* endpoints = shared_.view()->find_endpoints(target);
  if (endpoints == nullptr || endpoints->size() != 1) return nullptr;
  net::MysqlPool& pool = shared_.pool_for(endpoints->front(), target, form_);
  known_pool_ = {shared_.pools_epoch(), form_, target, &pool};
  return &pool;
}

}  // namespace vitrail::gate
