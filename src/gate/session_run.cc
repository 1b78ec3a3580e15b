// Running plans: which shards a statement goes to, relaying or gathering what they answer, and the transaction over
// them.
#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "gate/hint_settings.h"
#include "gate/mirror.h"
#include "gate/reached_tables.h"
#include "gate/session.h"
#include "gate/shard_search.h"
#include "gate/shown_names.h"
#include "gate/sharded_only.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/given_id.h"
#include "plan/key_list.h"
#include "plan/key_value.h"
#include "plan/planner.h"
#include "plan/routing.h"
#include "plan/schema_names.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/names.h"
#include "sql/normalize.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

using mysql::Command;
using namespace std::chrono_literals;

constexpr uint16_t kInvalidGroupFunction = 1111;  // Invalid use of group function
constexpr uint16_t kNotLocked = 1100;             // Table was not locked with LOCK TABLES

bool may_lock(std::string_view text) {
  constexpr std::string_view kLock = "lock";
  return std::search(text.begin(), text.end(), kLock.begin(), kLock.end(),
                     [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; }) != text.end();
}

// What ends a transaction as DDL does.
bool commits_first(const Statement& statement) {
  return statement.scan.kind == sql::StatementKind::kTableAdmin && !is_checksum(statement.text);
}

// CREATE TABLE ... SELECT: its values are computed now, while those of a view or a routine are not.
bool makes_rows_of_query(const Statement& statement) {
  const auto ast = sql::parse(statement.text);
  const auto* ddl = ast.ok() ? sql::statement_as<sql::Ddl>(&ast->statement()) : nullptr;
  return ddl != nullptr && ddl->object == sql::DdlObject::kTable && ddl->query != nullptr;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

shard::VindexValue vindex_value(const mysql::Value& value) {
  if (value.is_null()) return shard::VindexValue::null();
  if (mysql::is_integer_type(value.type)) {
    auto number = shard::VindexValue::integer_text(value.bytes, value.is_unsigned);
    if (number.ok()) return *number;
  }
  return shard::VindexValue::bytes(value.bytes);
}

bool ends_transaction(const Error& error) {
  return error.code() == Code::kAborted || error.effect() == Effect::kUnknown ||
         error.reason() == Reason::kTransactionLost || error.mysql_errno() == mysql::errnos::kDeadlock;
}

RunResult ClientSession::refused(Error error) const {
  // A shard that was named explicitly is not replaced by another one: its refusal is the answer.
  const bool explicit_shard = !shard_.empty();
  const bool switching = error.code() == Code::kClusterEvent || error.reason() == Reason::kDeniedTable;
  const bool away = error.effect() == Effect::kNone && error.code() == Code::kUnavailable;
  if ((switching && !explicit_shard) || away) return RunResult::wait(std::move(error));
  return RunResult::failed(std::move(error));
}

Result<std::shared_ptr<const plan::Plan>> ClientSession::plan_for(const Statement& statement) {
  const bool keyable = !statement.scan.malformed && !statement.scan.has_more && !directives_.skip_plan_cache &&
                       statement.scan.literal_count <= statement.literals.size();
  if (!shard_.empty()) {
    auto plan = std::make_shared<plan::Plan>(named_shard_plan(statement));
    const PlanCounters*& counters = named_shard_counters_[statement.scan.kind];
    if (counters == nullptr) {
      counters = shared_.metrics.statistics.counters_of(*plan, statement.scan.kind, keyspace_, tablet_type_, {});
    }
    counters_ = counters;
    use_totals(shared_.totals_of(statement.scan.fingerprint, plan_context_, [&] {
      StatementTotals totals{.query = shown_text(statement)};
      describe_plan(*plan, totals);
      return totals;
    }));
    return plan;
  }
  if (keyable) {
    const auto* known = shared_.find_plan(statement.scan.fingerprint, plan_context_);
    if (known != nullptr && (!statement.binary() || plan::fits(known->plan->route, statement.parameters))) {
      counters_ = known->counters;
      use_totals(known->totals);
      return known->plan;
    }
    counters_ = shared_.find_counters(statement.scan.fingerprint, plan_context_);
  }
  std::string exact = keyable ? text_plan_key(statement) : "";
  if (const auto* known = exact.empty() ? nullptr : shared_.find_text_plan(exact)) {
    counters_ = known->counters;
    use_totals(known->totals);
    return known->plan;
  }
  std::optional<std::string> replaced;  // The values of an INSERT decide about the shards: they must be known now.
  if (statement.scan.kind == sql::StatementKind::kInsert || statement.scan.kind == sql::StatementKind::kReplace) {
    ASSIGN_OR_RETURN(replaced, with_session_values(statement.text));
  }
  ASSIGN_OR_RETURN(auto ast, sql::parse(replaced ? std::string_view(*replaced) : statement.text));
  const auto view = shared_.view();
  ASSIGN_OR_RETURN(const plan::PlanContext context, plan_context(*view, statement));
  const sql::Effects effects = sql::effects_of(ast.statement());
  const plan::FoundRows found_rows = plan::found_rows_of(ast.statement());
  ASSIGN_OR_RETURN(auto plan, plan_with_names(ast, context));
  if (const auto* insert = sql::statement_as<sql::Insert>(&ast.statement()); insert != nullptr && view->schema) {
    const std::string& home = plan->insert ? plan->insert->keyspace : plan->route.keyspace;
    const auto* table = schema::find_table(*view->schema, home, insert->table.name.text);
    auto id = plan::given_id(*insert, table);
    // An answer with rows has no place for the id.
    const bool untold = !insert->returning.empty() && plan->kind == plan::Plan::Kind::kRoute && plan::makes_ids(table);
    if (id || untold) {
      auto with_id = std::make_shared<plan::Plan>(*plan);
      with_id->given_id = std::move(id);
      with_id->asks_insert_id = untold;
      plan = std::move(with_id);
    }
  }
  if (plan->kind == plan::Plan::Kind::kChange && may_have_session_values(statement.scan)) {
    ASSIGN_OR_RETURN(replaced, with_session_values(statement.text));
    if (replaced) {
      ASSIGN_OR_RETURN(ast, sql::parse(*replaced));
      ASSIGN_OR_RETURN(plan, plan_with_names(ast, context));
    }
  }
  if (effects.runs_unseen_code || effects.leaves != sql::Left::kNothing || effects.ends != sql::Left::kNothing ||
      effects.uses_user_locks || found_rows != plan::FoundRows::kAnswer) {
    auto with_effects = std::make_shared<plan::Plan>(*plan);
    with_effects->effects = effects;
    with_effects->found_rows = found_rows;
    plan = std::move(with_effects);
  }
  if (!is_mirror_ && view->vschema->has_mirrors()) {
    if (const float percent = mirror_percent(ast.statement(), effects, *plan, context); percent > 0) {
      auto mirrored = std::make_shared<plan::Plan>(*plan);
      mirrored->mirror_percent = percent;
      plan = std::move(mirrored);
    }
  }
  const bool remember = keyable && (plan->cacheable || counters_ == nullptr);
  if (counters_ == nullptr) {
    const std::string& home = plan->insert ? plan->insert->keyspace : plan->route.keyspace;
    counters_ = shared_.metrics.statistics.counters_of(*plan, ast.kind(), home.empty() ? keyspace_ : home, tablet_type_,
                                                       sql::collect_tables(ast.statement()));
  }
  std::string query;
  if (statement.text.size() <= kQueryMax) query = sql::normalized(ast.statement());
  use_totals(shared_.totals_of(statement.scan.fingerprint, plan_context_, [&] {
    return StatementTotals{.query = query.empty() ? shown_text(statement) : query};
  }));
  describe_plan(*plan, *totals_);
  if (remember && plan->cacheable) {
    shared_.remember_plan(statement.scan.fingerprint, plan_context_, {plan, counters_, std::move(query), 1, totals_});
  } else if (!exact.empty() && plan->kind == plan::Plan::Kind::kFinish) {
    shared_.remember_text_plan(std::move(exact), {plan, counters_, {}, 1, totals_});
  } else if (remember) {
    shared_.remember_counters(statement.scan.fingerprint, plan_context_, counters_);
  }
  return plan;
}

// Of a SELECT whose plan is good for this text; "" for others.
std::string ClientSession::text_plan_key(const Statement& statement) const {
  const bool constant = statement.scan.kind == sql::StatementKind::kSelect && !statement.binary() &&
                        statement.scan.parameter_count == 0 && !mentions_processlist(statement.text);
  if (!constant || statement.text.size() > GateLoop::kTextMax) return "";
  const auto& settings = settings_.values();
  const auto mode = settings.find("sql_mode");
  std::string key(statement.text);
  (key += '\0') += plan_context_;
  (key += '\0') += client_charset();
  if (mode != settings.end()) (key += '\0') += mode->second;
  return key;
}

std::string ClientSession::home_keyspace() const { return plan::is_information_schema(keyspace_) ? "" : keyspace_; }

Result<std::shared_ptr<const plan::Plan>> ClientSession::plan_with_names(sql::Ast& ast,
                                                                         const plan::PlanContext& context) const {
  if (plan::is_information_schema(keyspace_)) RETURN_IF_ERROR(plan::check_routines(ast.statement()));
  plan::SchemaNames names{.databases = &shared_.view()->databases,
                          .schema = context.schema,
                          .keyspace = keyspace_,
                          .tables = numbers_->tables,
                          .statistics = numbers_->statistics,
                          .numbers_of = numbers_->keyspace};
  if (mentions_processlist(ast.text())) names.processlist = process_query(processes_, processlist_table());
  ASSIGN_OR_RETURN(auto of_names, plan::plan_information_schema(ast, names, context.parameters));
  if (of_names) return std::make_shared<const plan::Plan>(std::move(*of_names));
  if (!names.processlist.empty() && plan::names_processlist(ast.statement(), keyspace_)) {  // The server's is not told.
    return plan::unsupported("information_schema.PROCESSLIST beside other tables, or in anything but a SELECT");
  }
  auto* show = sql::statement_as<sql::Show>(&ast.statement());
  if (ast.kind() == sql::StatementKind::kTableAdmin) {
    ASSIGN_OR_RETURN(const auto planned, plan::plan_statement(ast, context));
    plan::Plan plan = *planned;
    plan.names = {names.database_of(plan.route.keyspace), plan.route.keyspace};
    return std::make_shared<const plan::Plan>(std::move(plan));
  }
  if (show == nullptr) return plan::plan_statement(ast, context);
  if (auto plan = plan::plan_show_create_database(*show, names)) {
    return std::make_shared<const plan::Plan>(std::move(*plan));
  }
  const bool at_home = plan::is_information_schema(keyspace_) && show->database.empty() && show->table.name.empty();
  if (at_home && show->show == sql::ShowKind::kTables) show->database.text = plan::kInformationSchema;
  ASSIGN_OR_RETURN(const auto planned, plan::plan_statement(ast, context));
  plan::Plan plan = *planned;
  if (at_home && !plan.text) plan.text = sql::print(ast.statement());
  plan::name_show(*show, names, plan);
  return std::make_shared<const plan::Plan>(std::move(plan));
}

std::string ClientSession::client_charset() const {
  const auto& settings = settings_.values();
  if (const auto set = settings.find("character_set_client"); set != settings.end()) {
    std::string charset = lower(set->second);
    std::erase_if(charset, [](char c) { return c == '\'' || c == '"'; });
    return charset;  // `default` too, which is the server's.
  }
  const auto* collation = mysql::find_collation(form_.collation);
  return std::string(collation == nullptr ? plan::PlanContext().charset : collation->charset);
}

std::string ClientSession::results_charset() const {
  const auto& settings = settings_.values();
  const auto set = settings.find("character_set_results");
  if (set == settings.end()) {
    const auto* collation = mysql::find_collation(form_.collation);
    return std::string(collation == nullptr ? "" : collation->charset);
  }
  std::string charset = lower(set->second);
  std::erase_if(charset, [](char c) { return c == '\'' || c == '"'; });
  return charset;
}

Result<plan::PlanContext> ClientSession::plan_context(const View& view, const Statement& statement) const {
  if (view.vschema == nullptr) {
    return fail(Code::kUnavailable, "no vschema has been read from the topology yet")
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  plan::PlanContext context;
  context.vschema = is_mirror_ && view.mirror != nullptr ? view.mirror.get() : view.vschema.get();
  context.schema = view.schema.get();
  context.keyspace = home_keyspace();
  context.tablet_type = tablet_type_;
  context.parameters = statement.parameters;
  context.has_parameters = statement.binary();
  context.literal_positions = statement.literals.size();
  context.charset = client_charset();
  const auto& settings = settings_.values();
  if (const auto mode = settings.find("sql_mode"); mode != settings.end()) {
    const std::string modes = lower(mode->second);
    context.strict = modes.find("strict_") != std::string::npos || modes.find("traditional") != std::string::npos ||
                     modes == "default";
    // MySQL's ANSI has it too.
    context.full_groups =
        modes.find("only_full_group_by") != std::string::npos || modes.find("ansi") != std::string::npos;
    context.zero_is_id = modes.find("no_auto_value_on_zero") != std::string::npos;
  }
  return context;
}

Result<mysql::Value> ClientSession::value_of(const plan::ValueSource& source, plan::KeyType type,
                                             const Statement& statement) const {
  switch (source.kind) {
    case plan::ValueSource::Kind::kConstant: return source.constant;
    case plan::ValueSource::Kind::kParameter: {
      if (source.index >= statement.parameters.size()) {
        return fail(Code::kInternal, "VT13001: [BUG] a plan asks for a parameter that is not there");
      }
      auto value = plan::compared_value(type, statement.parameters[source.index]);
      if (!value) return fail(Code::kInternal, "VT13001: [BUG] a plan does not fit its parameters");
      return std::move(*value);
    }
    case plan::ValueSource::Kind::kLiteral: break;
  }
  if (source.index >= statement.literals.size()) {
    return fail(Code::kInternal, "VT13001: [BUG] a plan asks for a literal that is not there");
  }
  const auto& literal = statement.literals[source.index];
  std::string text(literal.text(statement.text));
  switch (literal.type) {
    case sql::TokenType::kInteger: {
      mysql::Value value = mysql::Value::of_uint(0);
      value.is_unsigned = !source.negative;
      value.bytes = source.negative ? "-" + text : text;
      return value;
    }
    case sql::TokenType::kString:
    case sql::TokenType::kHex: {
      std::string decoded;
      if (!sql::append_bytes(literal.type, text, false, decoded)) {
        return fail(Code::kInvalidArgument, "not a string literal: " + text);
      }
      return mysql::Value::of_text(std::move(decoded));
    }
    default: return fail(Code::kUnimplemented, "VT12001: unsupported: routing by a literal of this kind: " + text);
  }
}

Result<std::vector<shard::Target>> ClientSession::resolve(const plan::Route& route, const Statement& statement) {
  const View& view = *shared_.view();
  auto target = [&](const std::string& shard) { return shard::Target{route.keyspace, shard, tablet_type_}; };
  if (!shard_.empty()) {
    const auto served =
        view.served_from.empty() ? view.served_from.end() : view.served_from.find(keyspace_ + "@" + tablet_type_);
    shard::Target named{served == view.served_from.end() ? keyspace_ : served->second, shard_, tablet_type_};
    view.follow_shard_rule(named);
    return std::vector{std::move(named)};
  }
  std::string keyspace = route.keyspace;
  if (keyspace.empty()) {  // A statement without tables: wherever it can run.
    keyspace = home_keyspace();
    for (auto it = view.shards.begin(); keyspace.empty() && it != view.shards.end(); ++it) {
      const auto* shards = view.find_shards(it->first, tablet_type_);
      if (shards != nullptr && !shards->empty()) keyspace = it->first;
    }
  }
  const auto* shards = view.find_shards(keyspace, tablet_type_);
  if (shards == nullptr || shards->empty()) {
    return fail(Code::kUnavailable, fmt::format("keyspace '{}' serves no tablets of type {}", keyspace, tablet_type_))
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  const auto being_switched = [&](const ActiveShard& shard) {
    return fail(Code::kClusterEvent, fmt::format("target: {}.{}.{}: current keyspace is being resharded", keyspace,
                                                 shard.name, tablet_type_))
        .with_reason(Reason::kResharding)
        .with_origin({.keyspace = keyspace, .shard = shard.name})
        .with_retry(Retry::kAfterTopologyRefresh);
  };
  std::vector<const ActiveShard*> chosen;
  std::vector<bool> has_been(shards->size(), false);
  auto choose = [&](const ActiveShard& shard) {
    const auto place = static_cast<size_t>(&shard - shards->data());
    if (!has_been[place]) chosen.push_back(&shard);
    has_been[place] = true;
  };
  // One that can answer: a shard that is away or stands still is nobody else's trouble. What a server holds for this
  // session is on the first one, and GET_LOCK() is for all only where all ask the same server.
  const auto any_shard = [&]() -> const ActiveShard& {
    if (may_lock(statement.text) || std::ranges::any_of(held_, &HeldConnection::pinned)) return shards->front();
    const auto good = std::find_if(shards->begin(), shards->end(), [&](const ActiveShard& shard) {
      return !shard.disabled && !shared_.stalled({keyspace, shard.name, tablet_type_});
    });
    return good == shards->end() ? shards->front() : *good;
  };
  using Kind = plan::Route::Kind;
  switch (route.kind) {
    case Kind::kAnyShard:
      if (route.only_shard && shards->size() > 1) {
        std::string names;
        for (const auto& shard : *shards) names += (names.empty() ? "" : " ") + shard.name;
        return fail(
            Code::kFailedPrecondition,
            fmt::format("VT09022: Destination does not have exactly one shard: keyspace '{}' has the shards [{}] and "
                        "this statement has no place among them; name one (USE `{}/{}`), or apply a sharded "
                        "vschema",
                        keyspace, names, keyspace, shards->front().name));
      }
      choose(any_shard());
      break;
    case Kind::kNoShard: choose(any_shard()); break;
    case Kind::kByIds:
      for (const auto& id : route.ids) {
        if (const auto* shard = find_shard(*shards, id)) choose(*shard);
      }
      if (chosen.empty()) choose(any_shard());
      break;
    case Kind::kByLookup:
    case Kind::kAllShards:
      for (const auto& shard : *shards) choose(shard);
      break;
    case Kind::kByValues:
    case Kind::kByList: {
      shard::Destination destination;
      auto add = [&](std::span<const shard::VindexValue> values) -> Status {
        RETURN_IF_ERROR(route.vindex->map_into(values, destination));
        each_shard(*shards, destination, [&](size_t place) { choose((*shards)[place]); });
        return {};
      };
      std::vector<mysql::Value> values;
      for (const auto& source : route.values) {
        ASSIGN_OR_RETURN(auto value, value_of(source, route.key_type, statement));
        values.push_back(std::move(value));
      }
      std::vector<shard::VindexValue> mapped;
      for (const auto& value : values) mapped.push_back(vindex_value(value));
      if (route.kind == Kind::kByValues) {
        RETURN_IF_ERROR(add(mapped));
      } else {
        for (const auto& value : mapped) RETURN_IF_ERROR(add({&value, 1}));
      }
      if (chosen.empty()) choose(any_shard());  // No row can match: any shard gives the empty answer.
      break;
    }
  }
  std::vector<shard::Target> targets;
  for (const ActiveShard* shard : chosen) {
    targets.push_back(target(shard->name));
    targets.back().keyspace = keyspace;
    view.follow_shard_rule(targets.back());
    // A transaction that is open there may go on: the switch waits for its end, and holding it back would make both
    // wait.
    if (shard->disabled && !in_transaction_on(targets.back())) return being_switched(*shard);
  }
  return targets;
}

// Which of the values of a kByList each of the targets, which resolve() chose, may have rows of.
Result<std::vector<std::vector<size_t>>> ClientSession::keys_of(const plan::Route& route, const Statement& statement,
                                                                std::span<const shard::Target> targets) {
  const View& view = *shared_.view();
  const auto* shards = view.find_shards(route.keyspace.empty() ? home_keyspace() : route.keyspace, tablet_type_);
  if (shards == nullptr) return fail(Code::kInternal, "VT13001: [BUG] a keyspace lost its shards");
  std::unordered_map<std::string, size_t> known;
  for (size_t i = 0; i < targets.size(); ++i) known.emplace(targets[i].to_string(), i);
  std::vector<size_t> places;  // In `targets`, of each shard.
  for (const ActiveShard& shard : *shards) {
    shard::Target target{targets.front().keyspace, shard.name, tablet_type_};
    view.follow_shard_rule(target);
    const auto place = known.find(target.to_string());
    places.push_back(place == known.end() ? targets.size() : place->second);
  }
  std::vector<std::vector<size_t>> chosen(targets.size());
  shard::Destination destination;
  for (size_t i = 0; i < route.values.size(); ++i) {
    ASSIGN_OR_RETURN(const auto value, value_of(route.values[i], route.key_type, statement));
    const shard::VindexValue key = vindex_value(value);
    RETURN_IF_ERROR(route.vindex->map_into({&key, 1}, destination));
    bool found = false;
    each_shard(*shards, destination, [&](size_t shard) {
      const size_t place = places[shard];
      if (place == targets.size()) return;
      found = true;
      if (chosen[place].empty() || chosen[place].back() != i) chosen[place].push_back(i);
    });
    if (!found) chosen.front().push_back(i);  // No row has it; any shard knows that.
  }
  return chosen;
}

Result<std::vector<ClientSession::ShardText>> ClientSession::texts_for(const plan::Route& route,
                                                                       const Statement& statement,
                                                                       std::vector<shard::Target> targets,
                                                                       const std::string& text) {
  std::optional<std::vector<std::string>> texts;
  if (route.kind == plan::Route::Kind::kByList && route.list_conjunct && targets.size() > 1 && shard_.empty()) {
    ASSIGN_OR_RETURN(const auto chosen, keys_of(route, statement, targets));
    texts = plan::split_key_list(text, *route.list_conjunct, route.values.size(), chosen);
  }
  std::vector<ShardText> out;
  for (size_t i = 0; i < targets.size(); ++i) out.push_back({std::move(targets[i]), texts ? (*texts)[i] : text});
  return out;
}

net::Task<Result<net::MysqlPool::Lease>> ClientSession::lease_for(const shard::Target& target, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const Endpoint endpoint, shared_.choose(target));
  auto lease = co_await shared_.connect(endpoint, target, form_, settings_text_, std::move(wait));
  if (!lease.ok()) co_return met_at(target, std::move(lease).error());
  co_return std::move(*lease);
}

// The keyspace's tables are being asked for the first time, or the table was made a moment ago: the tablets have yet to
// tell of it.
net::Task<bool> ClientSession::columns_will_come(Error error) {
  const auto view = shared_.view();
  const std::string keyspace = error.origin().keyspace;
  const std::string table = error.origin().rule;
  if (error.retry() != Retry::kAfterTopologyRefresh || table.empty() || view->schema == nullptr) co_return false;
  if (view->asked.contains(keyspace)) co_return true;
  if (!view->schema->contains(keyspace) || schema::find_table(*view->schema, keyspace, table) != nullptr) {
    co_return false;
  }
  const auto targets = resolve(plan::Route{.kind = plan::Route::Kind::kAllShards, .keyspace = keyspace}, {});
  if (!targets.ok()) co_return false;
  std::string text = "select 1 from information_schema.tables where table_schema = database() and table_name = ";
  mysql::append_sql_string(text, table);
  const auto found = co_await ask({targets->front(), std::move(text), Phase::kAlone});
  co_return found.ok() && !found->rows.empty();
}

net::Task<RunResult> ClientSession::run_once(const Statement& statement) {
  if (auto refused = co_await after_failed_transaction(statement)) co_return std::move(*refused);
  if (statement.scan.has_hint && !hinted_) {
    if (auto hints = set_var_hints(statement.text); !hints.empty()) {
      co_return co_await run_with_hints(statement, std::move(hints));
    }
  }
  using enum sql::StatementKind;
  if (statement.scan.kind == kPrepare || statement.scan.kind == kExecute) co_await look_at_source(statement);
  if (!std::exchange(warnings_begun_, false)) begin_warnings(statement);
  if (auto local = co_await run_local(statement)) co_return std::move(*local);
  if (statement.scan.kind == kVexplain) co_return co_await vexplain(statement);
  co_await look_at_processes(statement);
  Status numbers = co_await look_at_numbers(statement);
  if (!numbers.ok()) co_return refused(std::move(numbers).error());
  auto plan = plan_for(statement);
  numbers_.reset();
  if (plan.ok()) mirror_percent_ = (*plan)->mirror_percent;
  processes_ = {};
  if (!plan.ok() && co_await columns_will_come(plan.error())) co_return RunResult::wait(std::move(plan).error());
  if (!plan.ok() && plan.error().code() == Code::kNotFound) {
    const auto expanded = co_await expand_views(statement.text);
    if (!expanded.ok()) co_return RunResult::failed(expanded.error());
    if (*expanded) {
      Statement inner = statement;
      std::vector<sql::LiteralPosition> literals;
      scan_text(**expanded, literals, inner);
      co_return co_await run_once(inner);
    }
  }
  if (!plan.ok() && statement.scan.kind == kDo && plan.error().code() == Code::kUnimplemented) {
    co_return co_await run_do(statement);
  }
  if (!plan.ok() && plan.error().code() == Code::kNotFound && in_transaction_ && ends_transaction_first(statement)) {
    RunResult committed = co_await commit();  // The table is looked for behind that.
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  }
  if (!plan.ok() && tables_locked_ && plan.error().code() == Code::kNotFound && !plan.error().origin().rule.empty() &&
      !ends_transaction_first(statement)) {
    co_return RunResult::failed(
        fail(Code::kFailedPrecondition,
             fmt::format("Table '{}' was not locked with LOCK TABLES", plan.error().origin().rule))
            .with_mysql(kNotLocked, "HY000"));
  }
  if (!plan.ok()) {
    const bool early = plan.error().code() == Code::kUnavailable;
    co_return early ? RunResult::wait(std::move(plan).error()) : RunResult::failed(std::move(plan).error());
  }
  if (tablet_type_ != "primary" && !(*plan)->is_read) {
    co_return RunResult::failed(fail(
        Code::kFailedPrecondition,
        fmt::format("VT09002: {} statement with a replica target", sql::statement_kind_name(statement.scan.kind))));
  }
  if (Status few = check_scatter(**plan); !few.ok()) co_return RunResult::failed(std::move(few).error());
  if (Status home = check_one_home(**plan, statement); !home.ok()) co_return RunResult::failed(std::move(home).error());
  const bool temporary = ((*plan)->effects.leaves & sql::Left::kTemporaryTable) != sql::Left::kNothing;
  if (((*plan)->is_ddl || commits_first(statement)) && in_transaction_ && !temporary) {  // DDL commits, as everywhere.
    RunResult committed = co_await commit();
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  }
  if (shared_.settings.warn_sharded_only && statement.scan.kind != sql::StatementKind::kShow) {
    if (auto text = sharded_only_warning(statement.scan.kind, **plan)) {
      add_warning("Warning", kShardedOnlyCode, std::move(*text));
    }
  }
  if (!autocommit_ && !in_transaction_ && begins_transaction(**plan, statement)) start_transaction(true);
  const uint64_t found_rows = found_rows_;
  found_rows_settled_ = false;
  RunResult result = co_await run_plan(**plan, statement);
  settle_found_rows(**plan, result, found_rows);
  if (statement.scan.kind == kPrepare || statement.scan.kind == kDeallocate) {
    note_servers_prepared(statement, result.verdict == RunResult::Verdict::kAnswered);
  }
  co_return result;
}

// Whether a transaction begins with it while autocommit = 0: where it opens tables.
bool ClientSession::begins_transaction(const plan::Plan& plan, const Statement& statement) const {
  using enum sql::StatementKind;
  if (plan.is_ddl) {  // CREATE TEMPORARY TABLE ... SELECT reads, and commits nothing.
    const bool temporary = (plan.effects.leaves & sql::Left::kTemporaryTable) != sql::Left::kNothing;
    return temporary && makes_rows_of_query(statement);
  }
  switch (statement.scan.kind) {
    case kSelect:
    case kDo:
    case kExplain:
    case kCall:
    case kExecute:
    case kOther: break;
    case kTableAdmin: return is_checksum(statement.text);
    case kShow:
    case kPrepare:
    case kDeallocate:
    case kFlush: return false;
    default: return true;
  }
  // Of what code does the one server that runs it tells.
  const bool is_query = statement.scan.kind == kSelect || statement.scan.kind == kDo || statement.scan.kind == kExplain;
  const bool relayed = !is_query || (!may_have_session_values(statement.scan) && !plan.asks_found_rows &&
                                     !plan.asks_insert_id && trace_ == nullptr);
  const bool told = plan.effects.runs_unseen_code && relayed && plan.kind == plan::Plan::Kind::kRoute &&
                    plan.merge.empty() && plan.names.empty() && (!shard_.empty() || !several_shards());
  return !told && reaches_tables(statement);
}

net::Task<RunResult> ClientSession::run_plan(const plan::Plan& plan, const Statement& statement) {
  switch (plan.kind) {
    case plan::Plan::Kind::kInsert: return run_insert(plan, statement);
    case plan::Plan::Kind::kInsertRows:
    case plan::Plan::Kind::kChange: return run_rows(plan);
    case plan::Plan::Kind::kFinish: return run_finish(plan, statement);
    case plan::Plan::Kind::kLoad: return run_load(plan);
    default: break;
  }
  return plan.create_select != nullptr ? create_and_fill(plan, statement) : run_route(plan, statement);
}

net::Task<RunResult> ClientSession::run_route(const plan::Plan& plan, const Statement& statement) {
  if (plan.lookup_change != nullptr) co_return co_await change_with_lookups(plan, statement);
  if (plan.is_ddl) shared_.view_queries.clear();  // It may make one of them anew.
  auto targets = co_await targets_of(plan.route, statement, !plan.is_read);
  if (!targets.ok()) {
    Error error = std::move(targets).error();
    if (in_transaction_ && ends_transaction(error)) co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  count_statement(targets->size());
  std::string rewritten;
  const auto kind = statement.scan.kind;
  // @a := value: one server alone computes it, with the variables that it was told, and tells what became of them.
  const bool assigns = (plan.effects.leaves & sql::Left::kUserVariable) != sql::Left::kNothing;
  if (assigns && (targets->size() != 1 || !plan.merge.empty() || !plan.names.empty() || plan.asks_found_rows ||
                  plan.asks_insert_id)) {
    co_return co_await finish_instead(
        statement,
        fail(Code::kUnimplemented,
             "VT12001: unsupported: an assignment to a user variable in a statement that one shard does not answer "
             "alone; use SET"));
  }
  const bool makes_rows = kind == sql::StatementKind::kDdl && makes_rows_of_query(statement);
  // With one server a table of the values of variables gets their types, too.
  const bool tells = makes_rows && statement.scan.has_user_variable && targets->size() == 1;
  const bool runs_code = assigns || tells || kind == sql::StatementKind::kCall || kind == sql::StatementKind::kExecute;
  if ((kind != sql::StatementKind::kDdl || makes_rows) && (plan.text || may_have_session_values(statement.scan))) {
    // Code may write the variables, and is told them by relay().
    auto replaced = with_session_values(plan.text ? std::string_view(*plan.text) : statement.text, !runs_code);
    if (!replaced.ok()) co_return RunResult::failed(std::move(replaced).error());
    if (replaced->has_value()) rewritten = std::move(**replaced);
  }
  if (runs_code && (assigns || tells || !rewritten.empty()) && targets->size() == 1) {
    plan::Plan with_values = plan;
    with_values.effects.runs_unseen_code = true;
    if (!rewritten.empty()) with_values.text = std::move(rewritten);
    co_return co_await relay(with_values, statement, std::move(targets->front()));
  }
  const bool shows_variables = kind == sql::StatementKind::kShow && shows_session_variables(statement.text);
  using enum sql::StatementKind;  // What SET STATEMENT was warned of is told with the answer.
  const bool warned = fresh_warnings_ != 0 && !plan.effects.runs_unseen_code &&
                      (kind == kSelect || kind == kInsert || kind == kReplace || kind == kUpdate || kind == kDelete);
  const bool questions = plan.asks_found_rows || (plan.asks_insert_id && !gives_its_id(plan, statement));
  if (targets->size() == 1 && plan.merge.empty() && plan.names.empty() && plan.shown_parts == nullptr && !warned &&
      rewritten.empty() && !questions && !shows_variables && trace_ == nullptr) {
    co_return co_await relay(plan, statement, std::move(targets->front()));
  }
  // Parameters become literals, so that every shard can be asked in text form.
  auto with_values = text_of(statement, !rewritten.empty() ? &rewritten : plan.text ? &*plan.text : nullptr);
  if (!with_values.ok()) co_return RunResult::failed(std::move(with_values).error());
  std::string text = std::move(*with_values);
  if (targets->size() == 1 && questions) {
    co_return co_await run_with_questions(plan, statement, {std::move(targets->front()), std::move(text)});
  }
  auto split = texts_for(plan.route, statement, std::move(*targets), text);
  if (!split.ok()) co_return refused(std::move(split).error());
  std::vector<ShardText> texts = std::move(*split);
  const bool returns_rows =
      plan.is_read || kind == sql::StatementKind::kSelect || kind == sql::StatementKind::kTableAdmin;
  if (returns_rows) {
    const bool several = texts.size() > 1;
    RunResult result = co_await gather(plan, statement, std::move(texts));
    if (several && result.verdict == RunResult::Verdict::kFailed && plan.effects.runs_unseen_code &&
        result.error->mysql_errno() == kInvalidGroupFunction) {  // See plan/select.cc.
      result.error = fail(Code::kUnimplemented,
                          "VT12001: unsupported: an aggregate stored function over several shards, each of which would "
                          "make a row of its own; group by the column that decides the shard");
    }
    co_return result;
  }
  if (plan.is_ddl) {
    if ((plan.effects.leaves & sql::Left::kTemporaryTable) != sql::Left::kNothing) {
      co_return RunResult::failed(
          fail(Code::kUnimplemented, "VT12001: unsupported: a temporary table on several shards; name a shard"));
    }
    co_return co_await run_ddl(std::move(texts));
  }
  ChangeOutcome out;
  out.id_given = gives_its_id(plan, statement);
  out.copies = plan.copies;
  co_return co_await change(std::move(texts), std::move(out));
}

Result<std::string> ClientSession::text_of(const Statement& statement, const std::string* instead) const {
  std::string text(instead != nullptr ? std::string_view(*instead) : statement.text);
  const bool as_prepared = statement.places != nullptr && instead == nullptr;
  if (as_prepared && *statement.places == nullptr) {
    ASSIGN_OR_RETURN(auto ast, sql::parse(statement.text));
    *statement.places = plan::parameter_text(ast);
  }
  if (as_prepared && *statement.places != nullptr) return (*statement.places)->with(statement.parameters);
  if (!statement.binary() || statement.parameters.empty()) return text;
  ASSIGN_OR_RETURN(auto ast, sql::parse(text));
  sql::keep_column_names(ast);
  sql::PrintOptions options;
  options.expr = plan::parameter_printer(ast.statement(), statement.parameters);
  return sql::print(ast.statement(), options);
}

void ClientSession::mirror(const Statement& statement) {
  const bool of_session = statement.scan.has_user_variable || statement.scan.has_session_function;
  if (shared_.mirror == nullptr || statement.scan.kind != sql::StatementKind::kSelect || of_session ||
      trace_ != nullptr || !is_mirrored(mirror_percent_, shared_.random())) {
    return;
  }
  auto text = text_of(statement, nullptr);
  if (!text.ok()) return;
  shared_.mirror->offer({.text = std::move(*text), .target = target(), .settings = settings_text_, .who = client_});
}

// A statement after which the session has to know what its connection knows: a transaction keeps the connection.
net::Task<RunResult> ClientSession::run_with_questions(const plan::Plan& plan, const Statement& statement,
                                                       ShardText what) {
  const shard::Target target = what.target;
  // A connection that is the session's anyway needs none; under LOCK TABLES a BEGIN would unlock them.
  const HeldConnection* held = find_held(target);
  const bool own_transaction = !in_transaction_ && (held == nullptr || !held->pinned);
  const auto next = next_options_;
  if (own_transaction) start_transaction();
  std::optional<Result<net::QueryResult>> known;
  if (plan.asks_insert_id) {  // No row may come to the call; then the number stays this session's, not the
                              // connection's.
    known = co_await ask({target, fmt::format("do last_insert_id({})", last_insert_id_)});
  }
  auto result = known && !known->ok() ? std::move(*known) : co_await ask(std::move(what));
  if (result.ok()) {
    const auto once = std::exchange(next_options_, {});  // The statement was told of it, no other is.
    known =
        co_await ask({.target = target, .text = "select found_rows(), last_insert_id() limit 1", .own_words = true});
    next_options_ = once;
  }
  const Error* error = !result.ok() ? &result.error() : !known->ok() ? &known->error() : nullptr;
  if (error != nullptr) {
    if (own_transaction) {
      co_await rollback_all();
    } else if (ends_transaction(*error)) {
      co_return co_await fail_transaction(*error);
    }
    co_return refused(*error);
  }
  if (own_transaction) {
    RunResult committed = co_await commit();
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
    if (!reaches_tables(statement)) next_options_ = next;
  }
  const auto number = [&](size_t column) -> uint64_t {
    const auto value = shard::VindexValue::integer_text((*known)->text(0, column), true);
    return value.ok() ? value->to_u64().value_or(0) : 0;
  };
  if (plan.asks_insert_id) last_insert_id_ = number(1);
  Status sent;
  if (result->columns.empty()) {
    row_count_ = static_cast<int64_t>(result->ok.affected_rows);
    sent = co_await send_ok({.affected_rows = result->ok.affected_rows, .info = result->ok.info});
  } else {
    answered_with(result->rows.size());
    if (plan.asks_found_rows) found_rows_ = number(0);
    row_count_ = -1;
    sent = co_await send_result(*result);
  }
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// One text on several shards, all at once.
net::Task<Result<std::vector<net::QueryResult>>> ClientSession::ask_all(std::vector<ShardText> texts,
                                                                        base::MemoryBudget::Hold& memory, Digits digits,
                                                                        bool some) {
  std::vector<std::optional<Result<net::QueryResult>>> answers(texts.size());
  std::vector<net::Task<void>> tasks;
  auto one = [](ClientSession& self, ShardText what, base::MemoryBudget::Hold& held, Digits digits,
                std::optional<Result<net::QueryResult>>& out) -> net::Task<void> {
    out.emplace(co_await self.ask(std::move(what), "", &held, 0, digits));
  };
  for (size_t i = 0; i < texts.size(); ++i)
    tasks.push_back(one(*this, std::move(texts[i]), memory, digits, answers[i]));
  co_await net::when_all(std::move(tasks));
  some = some && std::ranges::any_of(answers, [](const auto& answer) { return answer->ok(); });
  std::vector<net::QueryResult> results;
  for (auto& answer : answers) {
    if (answer->ok()) {
      results.push_back(std::move(**answer));
    } else if (some) {
      warn_of(answer->error());
    } else {
      co_return std::move(*answer).error();
    }
  }
  co_return results;
}

Status ClientSession::check_scatter(const plan::Plan& plan) const {
  if (!shared_.settings.no_scatter || directives_.allow_scatter || plan.is_ddl) return {};
  const auto scatters = [&](const plan::Route& route) {
    const auto* shards = shared_.view()->find_shards(route.keyspace, tablet_type_);
    return route.kind == plan::Route::Kind::kAllShards && shards != nullptr && shards->size() > 1;
  };
  bool found = shard_.empty() && scatters(plan.route);
  if (plan.finish != nullptr) {
    found = std::ranges::any_of(plan.finish->inputs, [&](const auto& input) { return scatters(input.rows->route); });
  }
  if (!found) return {};
  return fail(Code::kFailedPrecondition,
              "plan includes scatter, which is disallowed using the `no_scatter` command line argument");
}

Result<ClientSession::RefinedPlan> ClientSession::plan_refined(const Statement& statement,
                                                               std::map<uint32_t, plan::KeyForm> forms) const {
  ASSIGN_OR_RETURN(auto ast, sql::parse(statement.text));
  const auto view = shared_.view();
  ASSIGN_OR_RETURN(plan::PlanContext context, plan_context(*view, statement));
  context.key_forms = std::move(forms);
  RefinedPlan out;
  ASSIGN_OR_RETURN(out.plan, plan::plan_statement(ast, context));
  if (!out.plan->text) return fail(Code::kInternal, "VT13001: [BUG] a refined plan without a text of its own");
  out.text = *out.plan->text;
  ASSIGN_OR_RETURN(auto replaced, with_session_values(out.text));
  if (replaced) out.text = std::move(*replaced);
  return out;
}

net::Task<Result<int64_t>> ClientSession::next_values(std::string keyspace, std::string table, uint64_t count) {
  const auto* shards = shared_.view()->find_shards(keyspace, "primary");
  if (shards == nullptr || shards->size() != 1) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("sequence {}.{} is not in an unsharded keyspace", keyspace, table));
  }
  const shard::Target target{keyspace, shards->front().name, "primary"};
  const net::Wait wait = query_wait();
  CO_ASSIGN_OR_RETURN(const Endpoint endpoint, shared_.choose(target));
  CO_ASSIGN_OR_RETURN(auto lease, co_await shared_.connect(endpoint, target, form_, "", wait));
  std::string name;
  mysql::append_sql_identifier(name, table);
  std::vector<mysql::QueryAttribute> attributes;
  add_caller(lease->client.capabilities(), attributes);
  std::string text = fmt::format("select next {} values from {}", count, name);
  note_rows(note_sent(target, text), 1);
  CO_ASSIGN_OR_RETURN(const auto result, co_await lease->client.query(std::move(text), wait, 1, std::move(attributes)));
  const auto value = shard::VindexValue::integer_text(result.text(0, 0), false);
  if (!value.ok() || !value->to_u64()) co_return fail(Code::kInternal, "sequence " + table + " gave no number");
  co_return static_cast<int64_t>(*value->to_u64());
}

net::Task<RunResult> ClientSession::run_insert(const plan::Plan& plan, const Statement& statement) {
  const plan::ShardedInsert& insert = *plan.insert;
  int64_t next = 0;
  uint64_t first_generated = 0;
  if (const uint64_t needed = insert.values_needed(); needed > 0) {
    auto value = co_await next_values(insert.sequence_keyspace, insert.sequence_table, needed);
    if (!value.ok()) co_return refused(std::move(value).error());
    next = *value;
    first_generated = static_cast<uint64_t>(next);
  }
  if (insert.table != nullptr || !insert.secondary.empty()) {
    auto rows = co_await place_rows(insert, next, statement);
    if (!rows.ok()) co_return refused(std::move(rows).error());
    if (insert.table != nullptr) {
      const bool id_given = first_generated == 0 && gives_its_id(plan, statement);
      co_return co_await insert_with_lookups(insert, std::move(*rows), first_generated, id_given);
    }
  }
  // Rows to shards, in the order of the statement.
  std::vector<ShardText> texts;
  std::vector<std::vector<uint64_t>> places;
  for (size_t place = 0; place < insert.rows.size(); ++place) {
    const auto& row = insert.rows[place];
    std::string text = row.text.empty() ? std::string() : row.text[0];
    std::optional<mysql::Value> generated;
    if (row.needs_value) {
      generated = mysql::Value::of_int(next++);
      text += generated->bytes;
      if (row.text.size() > 1) text += row.text[1];
    }
    std::vector<mysql::Value> values;
    if (insert.vindex != nullptr) {
      values = row.key_from_sequence ? std::vector{*generated} : row.key;
    }
    auto placed = place_row(insert.keyspace, insert.vindex, std::move(values));
    if (!placed.ok()) co_return refused(std::move(placed).error());
    shard::Target target = std::move(*placed);
    auto found = std::find_if(texts.begin(), texts.end(), [&](const ShardText& t) { return t.target == target; });
    if (found == texts.end()) {
      texts.push_back({std::move(target), insert.prefix + text});
      places.push_back({place});
    } else {
      found->text += "," + text;
      places[static_cast<size_t>(found - texts.begin())].push_back(place);
    }
  }
  for (auto& what : texts) what.text += insert.suffix;
  count_statement(texts.size());
  ChangeOutcome out;
  out.last_insert_id = first_generated;
  out.id_given = first_generated == 0 && gives_its_id(plan, statement);
  out.takes_servers_insert_id = insert.servers_insert_id;
  out.tells_found_id = insert.tells_found_id;
  out.given_id = insert.given_id.value_or(0);
  out.ignore = insert.prefix.starts_with("insert ignore");
  co_return co_await change(std::move(texts), std::move(out), std::move(places));
}

}  // namespace vitrail::gate
