#include "gate/gate_loop.h"

#include "gate/session.h"

#include <algorithm>
#include <set>

#include "mysql/data_port.h"

namespace vitrail::gate {

net::MysqlClientSettings tablet_login(const Endpoint& endpoint, const shard::Target& target,
                                      std::shared_ptr<const net::TlsContext> tls) {
  net::MysqlClientSettings client;
  client.address = endpoint.address;
  client.address.tls = std::move(tls);
  client.auth.user = "vtgate";
  client.auth.database = target.to_string();
  client.auth.capabilities = mysql::kClientLongPassword | mysql::kClientLongFlag | mysql::kClientProtocol41 |
                             mysql::kClientTransactions | mysql::kClientSecureConnection | mysql::kClientMultiResults |
                             mysql::kClientPsMultiResults | mysql::kClientPluginAuth |
                             mysql::kClientPluginAuthLenencData | mysql::kClientQueryAttributes;
  return client;
}

void GateLoop::set_view(std::shared_ptr<const View> view) {
  view_ = std::move(view);
  ++pools_epoch_;
  if (view_->vschema_version != plans_version_) {
    plans_.clear();
    text_plans_.clear();
    counters_.clear();
    plans_version_ = view_->vschema_version;
  }
  if (view_->schema != text_plans_schema_) {  // They name columns.
    text_plans_.clear();
    text_plans_schema_ = view_->schema;
  }
  view_changed.notify_all();
}

Result<Endpoint> GateLoop::choose(const shard::Target& target) {
  const auto* found = view_->find_endpoints(target);
  if (found == nullptr) {
    return fail(Code::kUnavailable, "target: " + target.to_string() + ": no healthy tablet available")
        .with_reason(Reason::kNoTablet)
        .with_origin({.keyspace = target.keyspace, .shard = target.shard})
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  if (found->size() == 1) return found->front();
  return (*found)[random() % found->size()];
}

uint64_t GateLoop::random() {  // xorshift64
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 7;
  random_state_ ^= random_state_ << 17;
  return random_state_;
}

net::MysqlPool& GateLoop::pool_for(const Endpoint& endpoint, const shard::Target& target, LoginForm form) {
  auto& pool = pools_[PoolKey{endpoint.address.to_string(), target.to_string(), form}];
  if (pool == nullptr) {
    net::MysqlClientSettings client = tablet_login(endpoint, target, tablet_tls);
    client.auth.collation = form.collation;
    client.auth.capabilities |= form.capabilities | mysql::kVitrailCallers;
    auto& group = groups_[endpoint.address.to_string()];
    if (group == nullptr) {
      group = std::make_shared<net::PoolGroup>(
          net::PoolGroup::Options{settings.connections_per_tablet, settings.connection_waiters,
                                  "--connections-per-tablet", "--connection-waiters"});
    }
    if (settings.tablet_streams) {
      auto& carriers = carriers_[endpoint.address.to_string()];
      if (carriers == nullptr) {
        carriers = std::make_unique<net::Carriers>(scope, static_cast<size_t>(std::max(settings.loops, 1)));
      }
      client.carriers = carriers.get();
    }
    net::MysqlPool::Options options;
    options.group = group;
    options.acquire_timeout = settings.connection_timeout;
    options.idle_timeout = settings.connection_idle_timeout;
    options.name = "connections to " + endpoint.alias + " for " + target.to_string();
    pool = std::make_unique<net::MysqlPool>(std::move(client), std::move(options));
  }
  return *pool;
}

net::Task<Result<net::MysqlPool::Lease>> GateLoop::connect(const Endpoint& endpoint, const shard::Target& target,
                                                           LoginForm form, std::string session_settings,
                                                           net::Wait wait) {
  co_return co_await pool_for(endpoint, target, form).acquire(std::move(session_settings), std::move(wait));
}

GateLoop::KnownPlan* GateLoop::look_up_plan(const sql::Fingerprint& fingerprint, std::string_view context) {
  const auto found = plans_.find(PlanKeyView{fingerprint, context});
  return found == plans_.end() ? nullptr : &found->second;
}

const GateLoop::KnownPlan* GateLoop::find_plan(const sql::Fingerprint& fingerprint, std::string_view context) {
  KnownPlan* const known = look_up_plan(fingerprint, context);
  if (known != nullptr) ++known->count;
  return known;
}

const PlanCounters* GateLoop::find_counters(const sql::Fingerprint& fingerprint, const std::string& context) const {
  const auto found = counters_.find(PlanKey{fingerprint, context});
  return found == counters_.end() ? nullptr : found->second;
}

void GateLoop::remember_counters(const sql::Fingerprint& fingerprint, const std::string& context,
                                 const PlanCounters* counters) {
  if (counters_.size() >= settings.plan_cache_size) counters_.clear();
  counters_.emplace(PlanKey{fingerprint, context}, counters);
}

const std::shared_ptr<StatementTotals>& GateLoop::add_totals(PlanKey key, StatementTotals totals) {
  if (totals_.size() >= settings.plan_cache_size) {
    totals_.clear();
    for (auto& [plan_key, known] : plans_) known.totals = nullptr;
    text_plans_.clear();
  }
  return totals_.emplace(std::move(key), std::make_shared<StatementTotals>(std::move(totals))).first->second;
}

void GateLoop::remember_plan(const sql::Fingerprint& fingerprint, const std::string& context, KnownPlan plan) {
  if (plans_.size() >= settings.plan_cache_size) plans_.clear();
  plans_.emplace(PlanKey{fingerprint, context}, std::move(plan));
}

const GateLoop::KnownPlan* GateLoop::find_text_plan(const std::string& key) const {
  const auto found = text_plans_.find(key);
  return found == text_plans_.end() ? nullptr : &found->second;
}

void GateLoop::remember_text_plan(std::string key, KnownPlan plan) {
  if (text_plans_.size() >= std::min(kTextPlans, settings.plan_cache_size)) text_plans_.clear();
  text_plans_.emplace(std::move(key), std::move(plan));
}

bool GateLoop::rules_processes(const std::string& user) const {
  const auto& users = settings.process_users;
  return std::ranges::find(users, "%") != users.end() || std::ranges::find(users, user) != users.end();
}

net::Task<std::vector<Process>> GateLoop::processes(std::string user) const {
  const bool of_all = rules_processes(user);
  std::vector<Process> out;
  for (const GateLoop* other : all) {
    co_await other->loop.enter();
    for (const ClientSession* session : other->sessions) {
      if (of_all || session->user() == user) out.push_back(session->process());
    }
  }
  co_await loop.enter();
  std::ranges::sort(out, {}, &Process::id);
  co_return out;
}

net::Task<GateLoop::KillOutcome> GateLoop::kill(uint32_t connection_id, std::string user, bool query) {
  KillOutcome outcome = KillOutcome::kUnknown;
  for (GateLoop* other : all) {
    co_await other->loop.enter();
    const auto found = std::ranges::find_if(
        other->sessions, [&](const ClientSession* session) { return session->connection_id() == connection_id; });
    if (found == other->sessions.end()) continue;
    ClientSession& session = **found;
    if (session.user() != user && !rules_processes(user)) {
      outcome = KillOutcome::kDenied;
    } else if (query) {
      outcome = KillOutcome::kDone;
      other->scope.spawn(session.kill_query());
    } else {
      outcome = KillOutcome::kDone;
      session.close();
    }
    break;
  }
  co_await loop.enter();
  co_return outcome;
}

bool GateLoop::stalled(const shard::Target& target) const {
  const auto* endpoints = view_->find_endpoints(target);
  if (endpoints == nullptr) return true;
  return std::all_of(endpoints->begin(), endpoints->end(), [&](const Endpoint& endpoint) {
    const auto group = groups_.find(endpoint.address.to_string());
    return group != groups_.end() && group->second->stalled(std::chrono::milliseconds(500));
  });
}

void GateLoop::end_lost() {
  if (view_->lost.empty()) return;
  const auto now = base::system_clock().now();
  for (auto& [key, pool] : pools_) {
    const auto lost = view_->lost.find(key.address);
    if (lost == view_->lost.end() || now - lost->second < settings.lost_tablet_timeout) continue;
    pool->abort_loans();
  }
}

void GateLoop::trim() {
  std::set<std::string> known;
  for (const auto& [target, endpoints] : view_->endpoints) {
    for (const auto& endpoint : endpoints) known.insert(endpoint.address.to_string());
  }
  for (auto it = pools_.begin(); it != pools_.end();) {
    if (!known.contains(it->first.address) && !it->second->in_use()) {
      it = pools_.erase(it);
      ++pools_epoch_;
    } else {
      it->second->trim();
      ++it;
    }
  }
  std::erase_if(groups_, [&](const auto& entry) { return !known.contains(entry.first) && entry.second->used() == 0; });
  for (auto it = carriers_.begin(); it != carriers_.end();) {
    it->second->trim();
    const bool used = std::ranges::any_of(pools_, [&](const auto& pool) { return pool.first.address == it->first; });
    if (known.contains(it->first) || used) {
      ++it;
    } else {
      it->second->close();
      it = carriers_.erase(it);
    }
  }
}

void GateLoop::close() {
  ++pools_epoch_;
  for (auto& [key, pool] : pools_) pool->close();
  pools_.clear();
  carriers_.clear();
}

}  // namespace vitrail::gate
