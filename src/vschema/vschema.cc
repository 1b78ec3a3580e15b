#include "vschema/vschema.h"

#include <algorithm>

#include <fmt/core.h>

namespace vitrail::vschema {

namespace {

using ::topodata::TabletType;
using TablePtr = std::shared_ptr<const Table>;

Error not_found(std::string_view table) {
  constexpr uint16_t kNoSuchTable = 1146;
  return fail(Code::kNotFound, fmt::format("table {} not found", table))
      .with_mysql(kNoSuchTable, "42S02")
      .with_origin({.rule = std::string(table)});
}

const std::vector<::vschema::Column>* find_columns(const TrackedColumns& tracked, std::string_view keyspace,
                                                   std::string_view table) {
  const auto tables = tracked.find(keyspace);
  if (tables == tracked.end()) return nullptr;
  const auto found = tables->second->find(table);
  return found == tables->second->end() ? nullptr : &found->second;
}

void set_columns(Table& table, const TrackedColumns& tracked) {
  const auto* columns = find_columns(tracked, table.keyspace, table.name);
  if (columns == nullptr || table.column_list_authoritative) return;
  table.columns = *columns;
  table.column_list_authoritative = true;
}

TablePtr unlisted_table(const Keyspace& keyspace, std::string_view name, const TrackedColumns& tracked) {
  auto table = std::make_shared<Table>();
  table->keyspace = keyspace.name;
  table->name = name;
  set_columns(*table, tracked);
  return table;
}

// "t@master" -> "t@primary", without backquotes.
std::string canonical_from(std::string_view from) {
  std::string out(from);
  std::erase(out, '`');
  constexpr std::string_view kOld = "@master";
  if (out.ends_with(kOld)) out.replace(out.size() - kOld.size(), kOld.size(), "@primary");
  return out;
}

std::string with_type(std::string_view name, TabletType type) {
  return fmt::format("{}@{}", name, tablet_type_word(type == ::topodata::UNKNOWN ? ::topodata::PRIMARY : type));
}

}  // namespace

std::string_view tablet_type_word(TabletType type) {
  switch (type) {
    case ::topodata::PRIMARY: return "primary";
    case ::topodata::REPLICA: return "replica";
    case ::topodata::RDONLY: return "rdonly";
    case ::topodata::SPARE: return "spare";
    case ::topodata::EXPERIMENTAL: return "experimental";
    case ::topodata::BACKUP: return "backup";
    case ::topodata::RESTORE: return "restore";
    case ::topodata::DRAINED: return "drained";
    default: return "unknown";
  }
}

std::shared_ptr<const VSchema> VSchema::build(const ::vschema::SrvVSchema& record, uint64_t version,
                                              ServedFrom served_from, std::shared_ptr<const TrackedColumns> tracked) {
  std::shared_ptr<VSchema> out(new VSchema);
  out->version_ = version;
  out->served_from_ = std::move(served_from);
  out->tracked_ = tracked != nullptr ? std::move(tracked) : std::make_shared<TrackedColumns>();
  for (const auto& [name, keyspace] : record.keyspaces()) out->keyspaces_.emplace(name, read_keyspace(name, keyspace));
  for (const auto& rule : record.keyspace_routing_rules().rules()) {
    out->keyspace_rules_.insert_or_assign(canonical_from(rule.from_keyspace()), rule.to_keyspace());
  }
  for (const auto& rule : record.shard_routing_rules().rules()) {
    out->shard_rules_.insert_or_assign(fmt::format("{}/{}", rule.from_keyspace(), rule.shard()), rule.to_keyspace());
  }
  for (const auto& rule : record.mirror_rules().rules()) {
    const std::string from = canonical_from(rule.from_table());
    const std::string to = canonical_from(rule.to_table());
    const size_t dot = to.find('.');
    if (rule.percent() <= 0 || dot == std::string::npos) continue;
    out->mirrors_.insert_or_assign(from.find('@') == std::string::npos ? from + "@primary" : from,
                                   Mirror{to.substr(0, dot), to.substr(dot + 1), rule.percent()});
  }
  out->add_tracked_columns();
  out->index_names();
  out->add_rules(record.routing_rules());
  out->resolve_sequences();
  return out;
}

void VSchema::add_tracked_columns() {
  // Not shared with anybody yet: the snapshot is still being built.
  for (auto& [name, keyspace] : keyspaces_) {
    for (auto& [table_name, table] : keyspace.tables) set_columns(const_cast<Table&>(*table), *tracked_);
  }
}

::vschema::SrvVSchema with_tracked_columns(::vschema::SrvVSchema record, const TrackedColumns& tracked) {
  for (auto& [name, keyspace] : *record.mutable_keyspaces()) {
    const auto tables = tracked.find(name);
    if (tables == tracked.end()) continue;
    for (const auto& [table_name, columns] : *tables->second) {
      if (keyspace.sharded() && !keyspace.tables().contains(table_name)) continue;
      ::vschema::Table& table = (*keyspace.mutable_tables())[table_name];
      if (table.column_list_authoritative()) continue;
      table.mutable_columns()->Assign(columns.begin(), columns.end());
      table.set_column_list_authoritative(true);
    }
  }
  return record;
}

void VSchema::index_names() {
  for (const auto& [name, keyspace] : keyspaces_) {
    if (keyspace.require_explicit_routing) continue;
    for (const auto& [table_name, table] : keyspace.tables) by_name_[table_name].push_back(table);
  }
  // A copy of a reference table gives way to its original.
  for (auto& [name, tables] : by_name_) {
    if (tables.size() < 2) continue;
    std::vector<TablePtr> originals;
    for (const TablePtr& table : tables) {
      const bool gives_way =
          table->type == TableType::kReference && std::any_of(tables.begin(), tables.end(), [&](const TablePtr& other) {
            if (other == table || other->name != table->source_table) return false;
            // A source without its keyspace: the table of that name that is no copy itself.
            return table->source_keyspace.empty() ? other->type != TableType::kReference
                                                  : other->keyspace == table->source_keyspace;
          });
      if (!gives_way) originals.push_back(table);
    }
    if (!originals.empty()) tables = std::move(originals);
  }
}

void VSchema::add_rules(const ::vschema::RoutingRules& rules) {
  for (const ::vschema::RoutingRule& record : rules.rules()) {
    const std::string from = canonical_from(record.from_table());
    const auto [entry, is_new] = rules_.try_emplace(from);
    Rule& rule = entry->second;
    rule.table = nullptr;
    if (!is_new) {
      rule.error = fail(Code::kFailedPrecondition, fmt::format("duplicate rule for entry {}", from));
      continue;
    }
    if (record.to_tables_size() > 1) {
      rule.error = fail(Code::kFailedPrecondition, fmt::format("table {} has more than one target", from));
      continue;
    }
    if (record.to_tables_size() == 0) {
      rule.error = not_found(from);
      continue;
    }
    const std::string to = canonical_from(record.to_tables(0));
    const size_t dot = to.find('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == to.size()) {
      rule.error = fail(Code::kFailedPrecondition, fmt::format("table {} must be qualified", to));
      continue;
    }
    auto table = find_in_keyspace(std::string_view(to).substr(0, dot), std::string_view(to).substr(dot + 1));
    if (table) {
      rule.table = std::move(*table);
    } else {
      rule.error = std::move(table).error();
    }
  }
}

void VSchema::resolve_sequences() {
  for (auto& [name, keyspace] : keyspaces_) {
    for (auto& [table_name, table] : keyspace.tables) {
      if (!table->auto_increment) continue;
      // Not shared with anybody yet: the snapshot is still being built.
      AutoIncrement& increment = *const_cast<Table&>(*table).auto_increment;
      const auto sequence = find_table(increment.sequence_keyspace, increment.sequence_table, ::topodata::PRIMARY);
      if (sequence) {
        increment.sequence_keyspace = sequence->table->keyspace;
        increment.sequence_table = sequence->table->name;
      } else {
        increment.problem = fmt::format("cannot resolve sequence {} of table {}.{}: {}", increment.sequence_table, name,
                                        table_name, sequence.error().message());
      }
    }
  }
}

const VSchema::Rule* VSchema::find_rule(std::string_view qualified, TabletType type) const {
  if (rules_.empty()) return nullptr;
  if (const auto typed = rules_.find(with_type(qualified, type)); typed != rules_.end()) return &typed->second;
  const auto general = rules_.find(qualified);
  return general == rules_.end() ? nullptr : &general->second;
}

Result<TablePtr> VSchema::usable(const TablePtr& table) const {
  const Keyspace& keyspace = keyspaces_.find(table->keyspace)->second;
  if (const auto problem = keyspace.table_problems.find(table->name); problem != keyspace.table_problems.end()) {
    return fail(Code::kFailedPrecondition, fmt::format("vschema of keyspace {}: {}", keyspace.name, problem->second));
  }
  return table;
}

Result<TablePtr> VSchema::find_in_keyspace(std::string_view keyspace_name, std::string_view table) const {
  const Keyspace* keyspace = find_keyspace(keyspace_name);
  if (keyspace == nullptr) {
    return fail(Code::kNotFound, fmt::format("VT05003: unknown database '{}' in vschema", keyspace_name))
        .with_mysql(1049, "42000");
  }
  if (const auto listed = keyspace->tables.find(table); listed != keyspace->tables.end()) return usable(listed->second);
  if (keyspace->sharded) return not_found(table);
  return unlisted_table(*keyspace, table, *tracked_);
}

Result<TablePtr> VSchema::find_anywhere(std::string_view table) const {
  if (const auto named = by_name_.find(table); named != by_name_.end()) {
    if (named->second.size() == 1) return usable(named->second.front());
    return fail(Code::kFailedPrecondition, fmt::format("ambiguous table reference: {}", table));
  }
  if (keyspaces_.size() == 1 && !keyspaces_.begin()->second.sharded) return find_in_keyspace(only_keyspace(), table);
  return not_found(table);
}

Result<RoutedTable> VSchema::find_table(std::string_view keyspace, std::string_view table, TabletType type) const {
  ASSIGN_OR_RETURN(RoutedTable found, find_ruled(keyspace, table, type));
  const std::string_view serving = serving_keyspace(found.table->keyspace, type);
  if (serving != found.table->keyspace) {
    ASSIGN_OR_RETURN(found.table, find_in_keyspace(serving, found.table->name));
    found.by_rule = true;
  }
  if (follows_mirrors_) {
    if (const Mirror* mirror = find_mirror(*found.table, type)) {
      ASSIGN_OR_RETURN(found.table, find_in_keyspace(mirror->keyspace, mirror->table));
      found.by_rule = true;
    }
  }
  return found;
}

const VSchema::Mirror* VSchema::find_mirror(const Table& table, TabletType type) const {
  if (mirrors_.empty()) return nullptr;
  const auto found = mirrors_.find(with_type(fmt::format("{}.{}", table.keyspace, table.name), type));
  return found == mirrors_.end() ? nullptr : &found->second;
}

float VSchema::mirror_percent(const Table& table, TabletType type) const {
  const Mirror* mirror = find_mirror(table, type);
  return mirror == nullptr ? 0 : mirror->percent;
}

std::shared_ptr<const VSchema> VSchema::as_mirror() const {
  std::shared_ptr<VSchema> out(new VSchema(*this));
  out->follows_mirrors_ = true;
  return out;
}

Result<RoutedTable> VSchema::find_ruled(std::string_view keyspace, std::string_view table, TabletType type) const {
  if (!keyspace.empty()) keyspace = route_keyspace(keyspace, type);
  if (!rules_.empty()) {
    const Rule* rule =
        keyspace.empty() ? find_rule(table, type) : find_rule(fmt::format("{}.{}", keyspace, table), type);
    if (rule != nullptr) {
      if (rule->error) return *rule->error;
      return RoutedTable{rule->table, true};
    }
  }
  // What a keyspace is served from knows its tables.
  if (!keyspace.empty()) keyspace = serving_keyspace(keyspace, type);
  ASSIGN_OR_RETURN(TablePtr found, keyspace.empty() ? find_anywhere(table) : find_in_keyspace(keyspace, table));
  return RoutedTable{std::move(found), false};
}

std::string_view VSchema::serving_keyspace(std::string_view keyspace, TabletType type) const {
  if (served_from_.empty()) return keyspace;
  const auto found = served_from_.find(with_type(keyspace, type));
  return found == served_from_.end() ? keyspace : found->second;
}

std::string_view VSchema::route_keyspace(std::string_view keyspace, TabletType type) const {
  if (keyspace_rules_.empty()) return keyspace;
  if (const auto typed = keyspace_rules_.find(with_type(keyspace, type)); typed != keyspace_rules_.end())
    return typed->second;
  const auto general = keyspace_rules_.find(keyspace);
  return general == keyspace_rules_.end() ? keyspace : general->second;
}

std::string_view VSchema::route_shard(std::string_view keyspace, std::string_view shard) const {
  if (shard_rules_.empty()) return keyspace;
  const auto found = shard_rules_.find(fmt::format("{}/{}", keyspace, shard));
  return found == shard_rules_.end() ? keyspace : found->second;
}

const Keyspace* VSchema::find_keyspace(std::string_view name) const {
  const auto found = keyspaces_.find(name);
  return found == keyspaces_.end() ? nullptr : &found->second;
}

std::string_view VSchema::only_keyspace() const {
  return keyspaces_.size() == 1 ? std::string_view(keyspaces_.begin()->first) : std::string_view();
}

std::vector<std::string> VSchema::problems() const {
  std::vector<std::string> out;
  for (const auto& [name, keyspace] : keyspaces_) {
    for (const auto& [vindex, problem] : keyspace.vindex_problems)
      out.push_back(fmt::format("{}: vindex {}: {}", name, vindex, problem));
    for (const auto& [table, problem] : keyspace.table_problems)
      out.push_back(fmt::format("{}.{}: {}", name, table, problem));
    for (std::string& problem : check_references(*this, name)) out.push_back(std::move(problem));
  }
  for (const auto& [from, rule] : rules_) {
    if (rule.error) out.push_back(fmt::format("routing rule {}: {}", from, rule.error->message()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> check_references(const VSchema& vschema, std::string_view keyspace_name) {
  std::vector<std::string> out;
  const Keyspace* keyspace = vschema.find_keyspace(keyspace_name);
  if (keyspace == nullptr) return out;
  for (const auto& [name, table] : keyspace->tables) {
    if (table->auto_increment && !table->auto_increment->problem.empty()) {
      out.push_back(fmt::format("{}.{}: {}", keyspace_name, name, table->auto_increment->problem));
    }
    if (table->source_keyspace.empty()) continue;
    const auto source = vschema.find_table(table->source_keyspace, table->source_table, ::topodata::PRIMARY);
    if (!source) {
      out.push_back(fmt::format("{}.{}: source {}.{}: {}", keyspace_name, name, table->source_keyspace,
                                table->source_table, source.error().message()));
    }
  }
  return out;
}

}  // namespace vitrail::vschema
