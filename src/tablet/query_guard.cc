#include "tablet/query_guard.h"

#include <array>
#include <charconv>

#include "sql/exact.h"
#include "sql/lexer.h"
#include "sql/parser.h"
#include "sql/normalize.h"
#include "sql/tables.h"
#include "tablet/shared_reads.h"

namespace vitrail::tablet {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool contains_word(std::string_view text, std::string_view word) {
  const std::string haystack = lower(text);
  for (size_t at = haystack.find(word); at != std::string::npos; at = haystack.find(word, at + 1)) {
    auto part_of_name = [&](size_t i) {
      return i < haystack.size() &&
             (std::isalnum(static_cast<unsigned char>(haystack[i])) || haystack[i] == '_' || haystack[i] == '$');
    };
    if (!(at > 0 && part_of_name(at - 1)) && !part_of_name(at + word.size())) return true;
  }
  return false;
}

void judge(std::string_view text, const sql::Ast* ast, const StatementPolicy& policy, StatementInfo& info) {
  PolicyVerdict verdict = judge_statement(text, ast, policy);
  info.refusal = std::move(verdict.refusal);
  info.of_this_text = verdict.by_literal;
  info.acl = acl_needs(ast);
}

void analyse(const sql::FingerprintResult& scan, std::string_view text, const StatementPolicy& policy,
             StatementInfo& info) {
  info.kind = scan.kind;
  info.sets_user_variable = scan.has_user_variable;
  info.effects = sql::unknown_effects();
  auto ast = sql::parse(text);
  judge(text, ast.ok() ? &*ast : nullptr, policy, info);
  if (scan.has_skipped_comment) info.acl.opaque = "a statement with an executable comment for another server";
  if (!ast.ok()) return;
  info.effects = sql::effects_of(ast->statement());
  if (!scan.has_skipped_comment) info.inexact = sql::inexact_part(ast->statement());
  info.fixed_columns = sql::fixed_columns(ast->statement());
  info.uses_clock = sql::uses_clock(ast->statement());
  info.skips_ids = sql::skips_ids(ast->statement());
  if (text.size() <= QueryGuard::kNormalizedMax) info.normalized = sql::normalized(ast->statement());
  info.kind = ast->kind();
  info.tables_known = info.kind != sql::StatementKind::kOther;
  for (const auto& use : sql::collect_tables(ast->statement())) {
    info.tables.push_back({lower(use.name), use.access == sql::TableAccess::kWrite});
    if (use.access == sql::TableAccess::kWrite && info.changed.empty()) info.changed = use.name;
  }
  if (const auto* show = sql::statement_as<sql::Show>(&ast->statement())) {
    info.shows_warnings = show->show == sql::ShowKind::kWarnings && !show->has_count && show->limit == nullptr;
  }
  if (const auto* query = sql::statement_as<sql::QueryStatement>(&ast->statement())) {
    const auto* select = sql::as<sql::Select>(query->query);
    info.next_value = select != nullptr && select->next_values != nullptr;
    info.shareable = is_shareable(ast->statement()) && !info.effects.runs_unseen_code;
  }
}

}  // namespace

std::shared_ptr<const StatementInfo> QueryGuard::classify(std::string_view text) {
  std::array<sql::LiteralPosition, 1> storage;
  const auto scan = sql::fingerprint(text, storage);
  const bool cacheable = !scan.malformed && !scan.has_more && !scan.has_skipped_comment;
  if (const auto found = known_.find(scan.fingerprint); cacheable && found != known_.end()) {
    found->second->counted();
    return found->second;
  }
  auto info = std::make_shared<StatementInfo>();
  analyse(scan, text, policy_, *info);
  if (metrics_ != nullptr) {
    info->counters = metrics_->of(info->kind, info->tables.empty() ? std::string() : info->tables.front().name);
  }
  info->counted();
  if (!cacheable || info->of_this_text) return info;
  const std::scoped_lock lock(mutex_);
  if (known_.size() >= kMaxEntries) known_.clear();
  known_.emplace(scan.fingerprint, info);
  return info;
}

std::vector<std::shared_ptr<const StatementInfo>> QueryGuard::known() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<const StatementInfo>> out;
  out.reserve(known_.size());
  for (const auto& [fingerprint, info] : known_) out.push_back(info);
  return out;
}

// DDL is none of it: the tables of a shard are made and changed before it serves.
bool QueryGuard::changes_rows(const StatementInfo& info) {
  using enum sql::StatementKind;
  switch (info.kind) {
    case kInsert:
    case kReplace:
    case kUpdate:
    case kDelete:
    case kLoad:
    case kCall:
    case kExecute:
    case kOther:
    case kUnknown: return true;
    case kDdl: return false;
    default: return !info.tables_known || info.effects.runs_unseen_code;
  }
}

std::optional<std::string> QueryGuard::denied_table(const StatementInfo& info, std::string_view text,
                                                    const ServingState& state) {
  if (state.denied_tables.empty()) return std::nullopt;
  for (const auto& table : info.tables) {
    if (state.denied_allow_reads && !table.write) continue;
    if (state.reaches(table.name, table.write)) return table.name;
  }
  if (!info.tables_known || info.effects.runs_unseen_code) return state.denied_tables.front();
  if (info.kind == sql::StatementKind::kDdl) {  // Bodies of triggers and views are not read.
    for (const auto& table : state.denied_tables) {
      if (contains_word(text, table)) return table;
    }
  }
  return std::nullopt;
}

Error QueryGuard::denied(std::string_view table, const ServingState& state) {
  std::string text = "disallowed due to rule: " + state.denied_description;
  // The older commands' text names no table.
  if (state.denied_description == ServingState().denied_description) text += " (table " + std::string(table) + ")";
  return fail(Code::kFailedPrecondition, std::move(text))
      .with_reason(Reason::kDeniedTable)
      .with_origin({.rule = std::string(table)})
      .with_retry(Retry::kAfterTopologyRefresh);
}

Status QueryGuard::check(const StatementInfo& info, std::string_view text, const ServingState& state) {
  if (!info.refusal.empty()) return fail(Code::kPermissionDenied, info.refusal).with_mysql(1227, "42000");
  if (!state.no_writes.empty() && changes_rows(info)) {
    return fail(Code::kClusterEvent, "operation not allowed: " + state.no_writes)
        .with_reason(Reason::kDraining)
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  if (const auto table = denied_table(info, text, state)) return denied(*table, state);
  return {};
}

Result<NextValueRequest> parse_next_value(std::string_view text) {
  ASSIGN_OR_RETURN(const auto ast, sql::parse(text));
  const auto* query = sql::statement_as<sql::QueryStatement>(&ast.statement());
  const auto* select = query == nullptr ? nullptr : sql::as<sql::Select>(query->query);
  const auto* source = select == nullptr || select->from.empty() ? nullptr : sql::as<sql::TableSource>(select->from[0]);
  if (source == nullptr || select->next_values == nullptr) {
    return fail(Code::kInvalidArgument, "give: select next <number> values from <sequence>");
  }
  NextValueRequest request;
  request.table = source->name.name.text;
  const auto* literal = sql::as<sql::Literal>(select->next_values);
  if (literal == nullptr || literal->literal != sql::LiteralKind::kInteger) {
    return fail(Code::kInvalidArgument, "the number of sequence values must be a whole number");
  }
  const auto [end, error] =
      std::from_chars(literal->text.data(), literal->text.data() + literal->text.size(), request.count);
  if (error != std::errc() || request.count < 1) {
    return fail(Code::kInvalidArgument, "the number of sequence values must be at least 1");
  }
  return request;
}

}  // namespace vitrail::tablet
