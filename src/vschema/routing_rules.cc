#include "vschema/routing_rules.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <fmt/core.h>

#include "shard/shard_name.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {

namespace {

using ::topodata::TabletType;
using ::vschema::RoutingRule;
using ::vschema::RoutingRules;

constexpr TabletType kReadTypes[] = {::topodata::REPLICA, ::topodata::RDONLY};

std::string qualified(std::string_view keyspace, std::string_view table) {
  return fmt::format("{}.{}", keyspace, table);
}

std::string typed(std::string_view name, TabletType type) { return fmt::format("{}@{}", name, tablet_type_word(type)); }

bool is_read_type(TabletType type) { return type == ::topodata::REPLICA || type == ::topodata::RDONLY; }

// Changes many rules of one record; each in constant time, for moves of thousands of tables.
class RuleEditor {
 public:
  explicit RuleEditor(RoutingRules& rules) : rules_(rules) {
    for (int i = 0; i < rules.rules_size(); ++i) index_.emplace(rules.rules(i).from_table(), i);
  }

  void set(const std::string& from, const std::string& to) {
    const auto [entry, is_new] = index_.emplace(from, rules_.rules_size());
    RoutingRule& rule = is_new ? *rules_.add_rules() : *rules_.mutable_rules(entry->second);
    rule.set_from_table(from);
    rule.clear_to_tables();
    rule.add_to_tables(to);
  }

  void remove(const std::string& from) { removed_.insert(from); }

  // Removes what remove() named. Not in between: it would move the others.
  void finish() {
    if (removed_.empty()) return;
    auto* list = rules_.mutable_rules();
    list->erase(std::remove_if(list->begin(), list->end(),
                               [&](const RoutingRule& rule) { return removed_.contains(rule.from_table()); }),
                list->end());
  }

 private:
  RoutingRules& rules_;
  std::unordered_map<std::string, int> index_;
  std::unordered_set<std::string> removed_;
};

void route_reads(RuleEditor& editor, const TableMove& move, std::span<const TabletType> types, std::string_view to) {
  for (const std::string& table : move.tables) {
    const std::string goal = qualified(to, table);
    for (TabletType type : types) {
      if (!is_read_type(type)) continue;
      editor.set(typed(table, type), goal);
      editor.set(typed(qualified(move.target_keyspace, table), type), goal);
      editor.set(typed(qualified(move.source_keyspace, table), type), goal);
    }
  }
}

void route_writes(RoutingRules& rules, std::span<const std::string> tables, std::string_view from,
                  std::string_view to) {
  RuleEditor editor(rules);
  for (const std::string& table : tables) {
    const std::string goal = qualified(to, table);
    editor.set(table, goal);
    editor.set(qualified(from, table), goal);
    editor.remove(goal);
  }
  editor.finish();
}

// Rules by from_table. Views into `rules`.
using RuleIndex = std::unordered_map<std::string_view, const RoutingRule*>;

RuleIndex index_of(const RoutingRules& rules) {
  RuleIndex index;
  for (const RoutingRule& rule : rules.rules()) index.emplace(rule.from_table(), &rule);
  return index;
}

bool leads_to(const RuleIndex& rules, std::string_view from, std::string_view to) {
  const auto found = rules.find(from);
  return found != rules.end() && found->second->to_tables_size() == 1 && found->second->to_tables(0) == to;
}

bool is_known_type_word(std::string_view word) {
  return word == "primary" || word == "master" || word == "replica" || word == "rdonly";
}

}  // namespace

const RoutingRule* find_rule(const RoutingRules& rules, std::string_view from_table) {
  for (const RoutingRule& rule : rules.rules()) {
    if (rule.from_table() == from_table) return &rule;
  }
  return nullptr;
}

void set_rule(RoutingRules& rules, std::string_view from_table, std::string_view to_table) {
  auto* list = rules.mutable_rules();
  const auto found =
      std::find_if(list->begin(), list->end(), [&](const RoutingRule& r) { return r.from_table() == from_table; });
  RoutingRule& rule = found == list->end() ? *list->Add() : *found;
  rule.set_from_table(std::string(from_table));
  rule.clear_to_tables();
  rule.add_to_tables(std::string(to_table));
}

bool delete_rule(RoutingRules& rules, std::string_view from_table) {
  auto* list = rules.mutable_rules();
  const auto kept =
      std::remove_if(list->begin(), list->end(), [&](const RoutingRule& r) { return r.from_table() == from_table; });
  const bool found = kept != list->end();
  list->erase(kept, list->end());
  return found;
}

Status check_routing_rules(const RoutingRules& rules) {
  std::set<std::string_view> seen;
  for (const RoutingRule& rule : rules.rules()) {
    const auto refuse = [&](std::string_view why) {
      return fail(Code::kInvalidArgument, fmt::format("routing rule for '{}': {}", rule.from_table(), why));
    };
    std::string_view from = rule.from_table();
    if (const size_t at = from.rfind('@'); at != std::string_view::npos) {
      if (!is_known_type_word(from.substr(at + 1))) {
        return refuse(fmt::format("'{}' is not primary, replica or rdonly", from.substr(at + 1)));
      }
      from = from.substr(0, at);
    }
    const size_t dot = from.find('.');
    if (from.empty() || dot == 0 || dot + 1 == from.size()) return refuse("a table name is needed");
    if (!seen.insert(rule.from_table()).second) return refuse("there is another one");
    for (const std::string& to : rule.to_tables()) {
      const size_t point = to.find('.');
      if (point == std::string::npos || point == 0 || point + 1 == to.size() || to.find('@') != std::string::npos) {
        return refuse(fmt::format("the target '{}' is not of the form keyspace.table", to));
      }
    }
  }
  return {};
}

Status check_shard_routing_rules(const ::vschema::ShardRoutingRules& rules) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const auto& rule : rules.rules()) {
    const auto refuse = [&](std::string_view why) {
      return fail(Code::kInvalidArgument,
                  fmt::format("shard routing rule for '{}/{}': {}", rule.from_keyspace(), rule.shard(), why));
    };
    if (rule.from_keyspace().empty() || rule.to_keyspace().empty()) return refuse("both keyspaces are needed");
    if (const auto name = shard::ShardName::parse(rule.shard()); !name.ok()) return refuse(name.error().message());
    if (!seen.emplace(rule.from_keyspace(), rule.shard()).second) return refuse("there is another one");
  }
  return {};
}

Status check_keyspace_routing_rules(const ::vschema::KeyspaceRoutingRules& rules) {
  std::set<std::string_view> seen;
  for (const auto& rule : rules.rules()) {
    const auto refuse = [&](std::string_view why) {
      return fail(Code::kInvalidArgument, fmt::format("keyspace routing rule for '{}': {}", rule.from_keyspace(), why));
    };
    std::string_view from = rule.from_keyspace();
    if (const size_t at = from.rfind('@'); at != std::string_view::npos) {
      if (!is_known_type_word(from.substr(at + 1))) {
        return refuse(fmt::format("'{}' is not primary, replica or rdonly", from.substr(at + 1)));
      }
      from = from.substr(0, at);
    }
    if (from.empty() || rule.to_keyspace().empty()) return refuse("both keyspaces are needed");
    if (rule.to_keyspace().contains('@')) {
      return refuse(fmt::format("the target '{}' is not a keyspace", rule.to_keyspace()));
    }
    if (!seen.insert(rule.from_keyspace()).second) return refuse("there is another one");
  }
  return {};
}

void add_move_rules(RoutingRules& rules, const TableMove& move) {
  RuleEditor editor(rules);
  for (const std::string& table : move.tables) {
    const std::string source = qualified(move.source_keyspace, table);
    editor.set(table, source);
    editor.set(qualified(move.target_keyspace, table), source);
  }
  route_reads(editor, move, kReadTypes, move.source_keyspace);
}

void switch_reads(RoutingRules& rules, const TableMove& move, std::span<const TabletType> types) {
  RuleEditor editor(rules);
  route_reads(editor, move, types, move.target_keyspace);
}

void reverse_reads(RoutingRules& rules, const TableMove& move, std::span<const TabletType> types) {
  RuleEditor editor(rules);
  route_reads(editor, move, types, move.source_keyspace);
}

void switch_writes(RoutingRules& rules, const TableMove& move) {
  route_writes(rules, move.tables, move.source_keyspace, move.target_keyspace);
}

void reverse_writes(RoutingRules& rules, const TableMove& move) {
  route_writes(rules, move.tables, move.target_keyspace, move.source_keyspace);
}

void delete_move_rules(RoutingRules& rules, const TableMove& move) {
  RuleEditor editor(rules);
  for (const std::string& table : move.tables) {
    for (const std::string& name :
         {table, qualified(move.source_keyspace, table), qualified(move.target_keyspace, table)}) {
      editor.remove(name);
      for (TabletType type : kReadTypes) editor.remove(typed(name, type));
    }
  }
  editor.finish();
}

void add_shard_rules(::vschema::ShardRoutingRules& rules, std::string_view source_keyspace,
                     std::string_view target_keyspace, std::span<const std::string> shards) {
  for (const std::string& shard : shards) {
    const bool known = std::ranges::any_of(rules.rules(), [&](const auto& rule) {
      return rule.shard() == shard &&
             ((rule.from_keyspace() == source_keyspace && rule.to_keyspace() == target_keyspace) ||
              (rule.from_keyspace() == target_keyspace && rule.to_keyspace() == source_keyspace));
    });
    if (!known) route_shards(rules, target_keyspace, source_keyspace, {&shard, 1});
  }
}

void route_shards(::vschema::ShardRoutingRules& rules, std::string_view from, std::string_view to,
                  std::span<const std::string> shards) {
  for (const std::string& shard : shards) {
    auto* list = rules.mutable_rules();
    list->erase(std::remove_if(list->begin(), list->end(),
                               [&](const auto& rule) {
                                 return rule.shard() == shard &&
                                        (rule.from_keyspace() == from || rule.from_keyspace() == to);
                               }),
                list->end());
    auto& rule = *rules.add_rules();
    rule.set_from_keyspace(std::string(from));
    rule.set_to_keyspace(std::string(to));
    rule.set_shard(shard);
  }
}

void delete_shard_rules(::vschema::ShardRoutingRules& rules, std::string_view one_keyspace,
                        std::string_view other_keyspace) {
  auto* list = rules.mutable_rules();
  list->erase(std::remove_if(list->begin(), list->end(),
                             [&](const auto& rule) {
                               return (rule.from_keyspace() == one_keyspace && rule.to_keyspace() == other_keyspace) ||
                                      (rule.from_keyspace() == other_keyspace && rule.to_keyspace() == one_keyspace);
                             }),
              list->end());
}

std::vector<std::string> routed_shards(const ::vschema::ShardRoutingRules& rules, std::string_view from,
                                       std::string_view to) {
  std::vector<std::string> out;
  for (const auto& rule : rules.rules()) {
    if (rule.from_keyspace() == from && rule.to_keyspace() == to) out.push_back(rule.shard());
  }
  std::ranges::sort(out);
  return out;
}

bool are_reads_switched(const RoutingRules& rules, const TableMove& move, TabletType type) {
  const RuleIndex index = index_of(rules);
  return !move.tables.empty() && std::all_of(move.tables.begin(), move.tables.end(), [&](const std::string& table) {
    return leads_to(index, typed(qualified(move.source_keyspace, table), type), qualified(move.target_keyspace, table));
  });
}

bool are_writes_switched(const RoutingRules& rules, const TableMove& move) {
  const RuleIndex index = index_of(rules);
  return !move.tables.empty() && std::all_of(move.tables.begin(), move.tables.end(), [&](const std::string& table) {
    return leads_to(index, qualified(move.source_keyspace, table), qualified(move.target_keyspace, table));
  });
}

}  // namespace vitrail::vschema
